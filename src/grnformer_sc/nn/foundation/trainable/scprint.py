"""scPRINT as a backbone: what goes into its first layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from ...._core.checks import need_one_of
from ...backbones.base import register_backbone
from ...batch import CellBatch
from ..backbone import FoundationBackbone, FoundationBackboneConfig, Parts
from ..scprint import NORMALISATIONS, ScPRINTConfig, ScPRINTNet


@dataclass(frozen=True, slots=True, kw_only=True)
class ScPRINTBackboneConfig(FoundationBackboneConfig):
    """Settings of scPRINT.

    Attributes
    ----------
    n_classes
        Tokens that stand for a cell, that of its depth aside.
    depth
        Whether the first token holds the depth of the cell.
    positions
        Whether genes have places on the genome; only a published file holds them.
    normalisation
        What becomes of counts: `"sum"` divides by the sum of the visible ones, `"log"` is log2(1 + count).
    """

    n_classes: int = 1
    depth: bool = True
    positions: bool = False
    normalisation: str = "log"

    def __post_init__(self) -> None:
        need_one_of(self.normalisation, NORMALISATIONS, name="normalisation")


@register_backbone("scprint")
class ScPRINTBackbone(FoundationBackbone):
    """scPRINT (Kalfon et al. 2025): genes with counts and places on the genome, tokens of the cell in front, pre-norm.

    A masked gene has an embedding of its own where that of the value would be.
    """

    config: ScPRINTBackboneConfig
    net: ScPRINTNet
    Config = ScPRINTBackboneConfig
    gene_table = "net.genes.weight"

    def __init__(self, config: ScPRINTBackboneConfig) -> None:
        sizes = ScPRINTConfig(
            n_genes=config.n_genes, n_classes=config.n_classes, dim=config.dim, layers=config.n_layers,
            heads=config.heads, hidden=config.width, depth=config.depth, positions=config.positions,
            normalisation=config.normalisation, n_context=config.n_genes,  # type: ignore[arg-type]  # checked
        )  # fmt: skip
        super().__init__(config, ScPRINTNet(sizes))
        self.front = self.net.front
        self.gene_rows = ("net.positions",) if config.positions else ()
        self.asked = nn.Parameter(torch.zeros(config.dim))

    def parts(self, batch: CellBatch) -> Parts:
        """Tokens of the cell with its total count, as the visible genes estimate it; then its genes."""
        counts = batch.values
        if self.config.normalisation == "log":
            counts = torch.log2(1 + counts)
        else:
            counts = counts / counts.sum(dim=1, keepdim=True).clamp(min=1)
        values = torch.where(batch.masked[..., None], self.asked, self.net.expr_encoder(counts[..., None]))
        return Parts(self.net.embed_cell(10 ** batch.depth[:, 0]), self.net.embed_genes(batch.genes, values))
