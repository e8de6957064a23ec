from ._sequence import simulated_genome as simulated_genome
from ._simulate import simulate_multiome as simulate_multiome
