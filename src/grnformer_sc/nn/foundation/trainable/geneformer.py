"""Geneformer as a backbone: what goes into its first layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ...backbones.base import register_backbone
from ...batch import CellBatch
from ..backbone import Parts
from ..geneformer import GeneformerNet
from .ranked import Ranked, RankedConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneformerBackboneConfig(RankedConfig):
    """Settings of Geneformer.

    Attributes
    ----------
    framed
        Whether sequences have <cls> and <eos>, as in version 2. Without them the cell is the mean of its genes.
    """

    framed: bool = False


@register_backbone("geneformer")
class GeneformerBackbone(Ranked):
    """Geneformer (Theodoris et al. 2023): the rank of a gene is all that is told about its count.

    Trained from scratch, a count is compared with the mean count of the gene in the training cells.
    """

    config: GeneformerBackboneConfig
    Config = GeneformerBackboneConfig
    gene_table = "net.tokens.weight"
    gene_rows = ("usual",)
    published: ClassVar[Mapping[str, Any]] = {
        "dim": 256, "layers": 6, "heads": 4, "dropout": 0.02, "hidden": 512, "n_places": 2048,
    }  # fmt: skip

    def __init__(self, config: GeneformerBackboneConfig) -> None:
        super().__init__(config, GeneformerNet(config.bert(config.n_genes + 2 * config.framed)))
        self.front = self.ends = int(config.framed)

    def parts(self, batch: CellBatch) -> Parts:
        """<cls> at the first place, <eos> behind the last visible gene, genes at the place of their rank."""
        rank, shown = self.ranks(batch)
        first, last = self.front + rank, self.config.n_places - 1
        h = self.net.embed_tokens(batch.genes, self.at(first, batch))
        left_out = shown & (first > last - self.ends)
        if not self.config.framed:
            return Parts(h[:, :0], h, left_out)
        end = (1 + shown.sum(dim=1)).clamp(max=last)
        place = torch.stack([torch.zeros_like(end), end], dim=1)
        index = torch.tensor(self.own_rows(), device=place.device).expand(place.shape)
        return Parts(self.net.embed_tokens(index, self.net.positions(place)), h, left_out)

    def own_rows(self) -> list[int]:
        """Rows of <cls> and <eos>."""
        return [self.config.n_genes, self.config.n_genes + 1] if self.config.framed else []

    def note_usual(self, counts: Float[Tensor, " genes"]) -> None:
        """Compare counts with these."""
        self.usual.copy_(counts)
