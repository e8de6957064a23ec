from .attention import AttentionSummary as AttentionSummary
from .config import ModelConfig as ModelConfig
from .geneformer import Geneformer as Geneformer
from .grnformer import GRNFormer as GRNFormer
from .lpm import LPM as LPM
from .lpm import LPMConfig as LPMConfig
from .pretrained import load_backbone as load_backbone
from .train_config import TrainConfig as TrainConfig
