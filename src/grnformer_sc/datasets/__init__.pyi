from ._fetch import fetch as fetch
from ._registry import registry as registry
from ._simulate import simulate_multiome as simulate_multiome
from ._snare import snare_cortex as snare_cortex
