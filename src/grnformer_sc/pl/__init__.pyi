from ._activity import activity as activity
from ._attention import attention as attention
from ._network import network as network
from ._perturbation import perturbation as perturbation
from ._region_gene import region_gene as region_gene
from ._specificity import specificity as specificity
from ._thresholds import thresholds as thresholds
from ._training import training as training
