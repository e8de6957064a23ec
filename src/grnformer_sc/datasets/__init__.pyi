from ._drug_response import simulate_drug_response as simulate_drug_response
from ._registry import fetch as fetch
from ._registry import registry as registry
from ._sequence import simulated_genome as simulated_genome
from ._simulate import simulate_multiome as simulate_multiome
from ._simulate_drug_lines import simulate_drug_lines as simulate_drug_lines
from ._simulate_perturbations import simulate_perturbations as simulate_perturbations
from ._snare import snare_cortex as snare_cortex
