from ._annotation import gene_annotation as gene_annotation
from ._gdsc import read_gdsc as read_gdsc
from ._guess_species import guess_species as guess_species
from ._motifs import read_motifs as read_motifs
from ._networks import prior_network as prior_network
from ._read_network import read_network as read_network
from ._tfs import tf_names as tf_names
