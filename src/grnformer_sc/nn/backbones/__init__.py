"""Expression models that GRNFormer can be built on."""

from .base import Backbone, get_backbone, register_backbone
from .scgpt import ScGPT, ScGPTConfig

__all__ = ["Backbone", "ScGPT", "ScGPTConfig", "get_backbone", "register_backbone"]
