"""Heads that turn token embeddings into predictions of masked genes."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .rows import rows_of


class CountHead(nn.Module):
    """Log rate of a count: visible size factor + gene + what the cell adds.

    The last layer starts at zero and the gene part at the gene's mean, so an untrained head predicts the gene's rate
    times the visible size factor exactly, and training can only add to that baseline.
    """

    def __init__(self, dim: int, log_rate: Float[Tensor, " genes"]) -> None:
        super().__init__()
        self.gene = nn.Parameter(log_rate.detach().clone().to(torch.float32))
        self.decoder = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, 1))
        for start in self.decoder[-1].parameters():
            nn.init.zeros_(start)

    def forward(
        self,
        h: Float[Tensor, "cells tokens dim"],
        genes: Int[Tensor, "cells tokens"],
        log_size: Float[Tensor, " cells"],
    ) -> Float[Tensor, "cells tokens"]:
        """Log rate of every token's gene."""
        return log_size[:, None] + rows_of(self.gene, genes) + self.decoder(h).squeeze(-1)


class NegativeBinomialHead(CountHead):
    """Log rate of a count, and how much more than Poisson each gene varies (log of the inverse dispersion)."""

    def __init__(self, dim: int, log_rate: Float[Tensor, " genes"]) -> None:
        super().__init__(dim, log_rate)
        self.log_inverse = nn.Parameter(torch.ones_like(self.gene))
