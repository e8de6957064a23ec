from .attention import AttentionSummary as AttentionSummary
from .config import ModelConfig as ModelConfig
from .config import TrainConfig as TrainConfig
from .grnformer import GRNFormer as GRNFormer
from .pretrained import load_backbone as load_backbone
