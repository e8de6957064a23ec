from ._harmonize_genes import harmonize_genes as harmonize_genes
from ._link_regions import link_regions as link_regions
from ._metacells import metacells as metacells
from ._pair_unpaired import pair_unpaired as pair_unpaired
