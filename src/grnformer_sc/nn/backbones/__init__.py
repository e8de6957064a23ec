"""Expression models that GRNFormer can be built on."""

from .base import Backbone, BackboneConfig, Encoded, Read, get_backbone, register_backbone, registered_backbones
from .published import Published
from .scfoundation import ScFoundation, ScFoundationConfig
from .scgpt import ScGPT, ScGPTConfig
from .scpalm import ScPaLM, ScPaLMConfig

__all__ = [
    "Backbone",
    "BackboneConfig",
    "Encoded",
    "Published",
    "Read",
    "ScFoundation",
    "ScFoundationConfig",
    "ScGPT",
    "ScGPTConfig",
    "ScPaLM",
    "ScPaLMConfig",
    "get_backbone",
    "register_backbone",
    "registered_backbones",
]
