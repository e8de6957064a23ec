"""Geneformer, GeneCompass, scGenePT and scPRINT as backbones of GRNFormer; importing them registers their names."""

from .genecompass import GeneCompassBackbone, GeneCompassBackboneConfig
from .geneformer import GeneformerBackbone, GeneformerBackboneConfig
from .scgenept import ScGenePTBackbone, ScGenePTBackboneConfig
from .scprint import ScPRINTBackbone, ScPRINTBackboneConfig

__all__ = [
    "GeneCompassBackbone",
    "GeneCompassBackboneConfig",
    "GeneformerBackbone",
    "GeneformerBackboneConfig",
    "ScGenePTBackbone",
    "ScGenePTBackboneConfig",
    "ScPRINTBackbone",
    "ScPRINTBackboneConfig",
]
