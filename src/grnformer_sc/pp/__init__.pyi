from ._differential_regions import differential_regions as differential_regions
from ._harmonize_genes import harmonize_genes as harmonize_genes
from ._link_regions import link_regions as link_regions
from ._map_reference import map_reference as map_reference
from ._metacells import metacells as metacells
from ._pair_unpaired import pair_unpaired as pair_unpaired
from ._read_cistarget import read_cistarget as read_cistarget
from ._scan_motifs import scan_motifs as scan_motifs
