from ._differential_regions import differential_regions as differential_regions
from ._link_regions import link_regions as link_regions
from ._metacells import metacells as metacells
from ._read_cistarget import read_cistarget as read_cistarget
