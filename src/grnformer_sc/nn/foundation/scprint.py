"""The encoder of scPRINT (Kalfon et al. 2025): tokens of genes, counts, places on the genome, cells; pre-norm layers.

Written from its published description and file layout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn
from torch.nn import functional

from ..._core.checks import fail, need_one_of
from ..backbones.layers import SelfAttention
from ..backbones.published import fill
from .base import FoundationNet, Sequences

Normalisation = Literal["sum", "log"]
NORMALISATIONS: tuple[Normalisation, ...] = get_args(Normalisation)
EPS = 1e-6  # of the normalisations of layers; those of the values have torch's
RENAMED = (
    (r"^gene_encoder\.(0\.)?embeddings?\.", "genes."),
    (r"^class_encoder\.(0\.)?embeddings?\.", "classes."),
    (r"^pos_encoder\.pe$", "positions"),
    (r"^(expr|depth)_encoder\.encoder\.", r"\1_encoder."),
    (r"^transformer\.norm\.", "norm."),
    (r"^transformer\.blocks\.(\d+)\.mixer\.Wqkv\.", r"layers.\1.attention.in_proj_"),
    (r"^transformer\.blocks\.(\d+)\.mixer\.", r"layers.\1.attention."),
    (r"^transformer\.blocks\.(\d+)\.mlp\.", r"layers.\1."),
    (r"^transformer\.blocks\.", "layers."),
)
# heads of its training, and what makes smaller embeddings of classes out of the last layer
UNUSED = (
    "expr_decoder.", "cls_decoders.", "mvc_decoder.", "bottleneck_mlps.", "grad_reverse_discriminator_loss.",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ScPRINTConfig:
    """Sizes of the encoder.

    Attributes
    ----------
    n_genes, n_classes
        Genes; tokens that stand for a cell, that of its depth aside.
    dim, layers, heads, hidden
        Width, layers, attention heads, width of the feed-forward part (None: four times `dim`).
    depth
        Whether the first token holds the depth of the cell.
    positions
        Whether genes have a place on the genome.
    normalisation
        What becomes of counts: `"sum"` divides by the sum of the genes that are read, `"log"` is log2(1 + count).
    n_context
        Genes of a cell that are read.
    """

    n_genes: int
    n_classes: int = 1
    dim: int = 64
    layers: int = 3
    heads: int = 4
    hidden: int | None = None
    depth: bool = True
    positions: bool = True
    normalisation: Normalisation = "log"
    n_context: int = 2000

    def __post_init__(self) -> None:
        need_one_of(self.normalisation, NORMALISATIONS, name="normalisation")
        if self.dim % self.heads:
            raise fail(
                ValueError, "heads (nhead) must divide dim (d_model).", f"{self.heads} and {self.dim}.",
                "give the file as it was published, or other sizes.",
            )  # fmt: skip


def _number_encoder(dim: int) -> nn.Sequential:
    """Embedding of a number; where the original has a dropout, which does nothing here, stands an identity."""
    return nn.Sequential(nn.Linear(1, dim), nn.LayerNorm(dim), nn.ReLU(), nn.Identity(), nn.Linear(dim, dim))


class _Layer(nn.Module):
    """Attention and the feed-forward part, each added to what it reads after a normalisation."""

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.attention = SelfAttention(dim, heads)
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.norm1, self.norm2 = (nn.LayerNorm(dim, eps=EPS) for _ in range(2))

    def after_attention(self, h: Tensor, heard: Tensor) -> Tensor:
        h = h + self.attention.out_proj(heard)
        return h + self.fc2(functional.gelu(self.fc1(self.norm2(h))))


class ScPRINTNet(FoundationNet):
    """Encoder of tokens and counts.

    Tokens that stand for the cell come before its genes and have the numbers after theirs: those of the classes in the
    order of their table, then that of the depth, which is the first of a sequence.
    """

    positions: Tensor | None

    def __init__(self, config: ScPRINTConfig) -> None:
        super().__init__()
        self.config, dim = config, config.dim
        self.front = config.n_classes + config.depth
        self.n_tokens, self.n_places = config.n_genes + self.front, config.n_context + self.front
        self.dim, self.n_layers, self.heads = dim, config.layers, config.heads
        self.genes = nn.Embedding(config.n_genes, dim)
        self.classes = nn.Embedding(config.n_classes, dim)
        self.expr_encoder = _number_encoder(dim)
        self.depth_encoder = _number_encoder(dim) if config.depth else None
        self.register_buffer("positions", torch.zeros(config.n_genes, dim) if config.positions else None)
        hidden = 4 * dim if config.hidden is None else config.hidden
        self.layers = nn.ModuleList(_Layer(dim, config.heads, hidden) for _ in range(config.layers))
        self.norm = nn.LayerNorm(dim, eps=EPS)

    def front_tokens(self) -> list[int]:
        """Tokens before the genes of every sequence."""
        first, depth = self.config.n_genes, self.config.n_genes + self.config.n_classes
        classes = list(range(first, depth))
        return [depth, *classes] if self.config.depth else classes

    def embed(self, x: Sequences) -> Float[Tensor, "cells places dim"]:
        """Tokens of the cell, then for each gene the sum of the embeddings of its token, its value and its place."""
        index = x.index[:, self.front :]
        values = torch.zeros_like(index, dtype=torch.float32) if x.values is None else x.values[:, self.front :]
        h = self.embed_genes(index, self.expr_encoder(values[..., None]))
        return torch.cat([self.embed_cell(cast("Tensor", x.context)[:, 0]), h], dim=1)

    def embed_genes(
        self, index: Int64[Tensor, "cells tokens"], values: Float[Tensor, "cells tokens dim"]
    ) -> Float[Tensor, "cells tokens dim"]:
        """Sum of the embeddings of token, value and place."""
        h = self.genes(index) + values
        return h if self.positions is None else h + self.positions[index]

    def embed_cell(self, total: Float[Tensor, " cells"]) -> Float[Tensor, "cells front dim"]:
        """Tokens that stand for cells with these total counts."""
        cell = self.classes.weight.expand(total.shape[0], -1, -1)
        if self.depth_encoder is None:
            return cell
        return torch.cat([self.depth_encoder(torch.log2(1 + total)[:, None, None]), cell], dim=1)

    def projections(self, number: int, h: Float[Tensor, "cells places dim"]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of one layer."""
        layer = self._layer(number)
        return layer.attention.projections(layer.norm1(h))

    def after_attention(
        self, number: int, h: Float[Tensor, "cells places dim"], heard: Float[Tensor, "cells places dim"]
    ) -> Float[Tensor, "cells places dim"]:
        """Rest of one layer."""
        return self._layer(number).after_attention(h, heard)

    def _layer(self, number: int) -> _Layer:
        return cast("_Layer", self.layers[number])

    def token_embedding(self) -> Float[Tensor, "tokens dim"]:
        """Tables of genes and classes; the token of the depth has no embedding without its value, and is 0."""
        parts = [self.genes.weight, self.classes.weight, self.genes.weight.new_zeros(int(self.config.depth), self.dim)]
        return torch.cat(parts)

    def finish(self, h: Float[Tensor, "cells places dim"]) -> Float[Tensor, "cells places dim"]:
        """Normalisation after the last layer."""
        return self.norm(h)


def normalised(
    counts: Float32[np.ndarray, " entries"], length: Int64[np.ndarray, " cells"], how: Normalisation
) -> Float32[np.ndarray, " entries"]:
    """Values that the encoder reads, of the counts of one cell after the other."""
    if how == "log":
        return np.log2(1 + counts)
    total = np.add.reduceat(counts, np.r_[0, np.cumsum(length[:-1])].astype(np.int64))
    return counts / np.repeat(total, length)


def sinusoids(places: Int64[np.ndarray, " genes"], dim: int) -> Float[Tensor, "genes dim"]:
    """Sines and cosines of places at wavelengths from 2 pi to 20,000 pi (Vaswani et al. 2017)."""
    rate = torch.exp(torch.arange(0, dim, 2, dtype=torch.float64) * (-np.log(10_000) / dim))
    angle = torch.from_numpy(places)[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)[:, :dim].float()


def net_of(
    config: ScPRINTConfig, state: Mapping[str, Tensor], file: Path, *, strict: bool
) -> tuple[ScPRINTNet, pd.DataFrame]:
    """Encoder with the weights of a file, and what became of every key."""
    net = ScPRINTNet(config).eval().requires_grad_(requires_grad=False)
    unused = UNUSED if config.depth else (*UNUSED, "depth_encoder.")
    return net, fill(net, state, source=file, rules=RENAMED, unused=unused, strict=strict)
