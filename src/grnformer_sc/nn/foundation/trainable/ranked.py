"""Backbones that rank the genes of a cell: places for visible genes, an embedding of its own for what is asked."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from ...._core.checks import need_one_of
from ...batch import CellBatch
from ..backbone import FoundationBackbone, FoundationBackboneConfig
from ..base import FoundationNet
from ..geneformer import ACTIVATIONS, GeneformerConfig, GeneformerNet


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedConfig(FoundationBackboneConfig):
    """Settings of models that rank the genes of a cell.

    Attributes
    ----------
    n_places
        Most genes of a cell that are ranked; those behind are attended to by nobody.
    activation
        `"relu"` or `"gelu"`.
    eps
        Added to the variance by the normalisation of layers.
    """

    n_places: int = 2048
    activation: str = "relu"
    eps: float = 1e-12

    def __post_init__(self) -> None:
        need_one_of(self.activation, ACTIVATIONS, name="activation")

    def bert(self, n_tokens: int) -> GeneformerConfig:
        """Sizes of the encoder."""
        return GeneformerConfig(
            n_tokens=n_tokens, dim=self.dim, layers=self.n_layers, heads=self.heads, hidden=self.width,
            n_places=self.n_places, n_types=1, activation=self.activation, eps=self.eps,
        )  # fmt: skip


class Ranked(FoundationBackbone):
    """Backbone that reads the rank of a gene among the visible ones: that of its count over its usual count.

    A masked gene has no rank. What is asked about it is its token with an embedding of its own where that of the place would
    be (at first the mean of those), so that nothing of its count is told.
    """

    config: RankedConfig
    net: GeneformerNet
    usual: Tensor

    def __init__(self, config: RankedConfig, net: GeneformerNet) -> None:
        super().__init__(config, net)
        self.register_buffer("usual", torch.ones(config.n_genes))
        self.asked = nn.Parameter(net.positions.weight.detach().mean(dim=0))

    def ranks(self, batch: CellBatch) -> tuple[Int64[Tensor, "cells tokens"], Bool[Tensor, "cells tokens"]]:
        """Rank of every visible token from 0, ties in the order of the genes; and which tokens are visible."""
        shown = ~(batch.masked | batch.padding)
        score = (batch.values / self.usual[batch.genes]).masked_fill(~shown, -torch.inf)
        return score.argsort(dim=1, descending=True, stable=True).argsort(dim=1), shown

    def at(self, rank: Int64[Tensor, "cells tokens"], batch: CellBatch) -> Float[Tensor, "cells tokens dim"]:
        """Embedding of the place of every token, or of being asked for."""
        places = self.net.positions(rank.clamp(max=self.config.n_places - 1))
        return torch.where(batch.masked[..., None], self.asked, places)

    def _weights(self, net: FoundationNet, tokens: Tensor, own: list[int]) -> dict[str, Tensor]:
        state = super()._weights(net, tokens, own)
        first_type = state["net.types.weight"][:1]  # the only one that is read
        return state | {"net.types.weight": first_type, "asked": state["net.positions.weight"].mean(dim=0)}
