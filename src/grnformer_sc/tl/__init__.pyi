from ._aucell import aucell as aucell
from ._build_grn import build_grn as build_grn
from ._cell_grn import cell_grn as cell_grn
from ._compare_grns import compare_grns as compare_grns
from ._consensus_grn import consensus_grn as consensus_grn
from ._differential_edges import differential_edges as differential_edges
from ._fit import fit as fit
from ._rank_eregulons import rank_eregulons as rank_eregulons
