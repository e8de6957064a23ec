from ._aucell import aucell as aucell
from ._build_grn import build_grn as build_grn
from ._cell_grn import cell_grn as cell_grn
from ._fit import fit as fit
from ._simulate_ko import simulate_ko as simulate_ko
