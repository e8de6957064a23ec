"""scPaLM (Chen et al. 2024) as far as its publications define it: patches of genes, pathway codes, a growing cell token.

Neither code nor equations are public. Each step below is our reading of a sentence of the abstracts and says which.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from ..._core.checks import fail
from ..batch import CellBatch
from ..layer import Layer
from ..values import count_of_log, log_of
from .base import Backbone, BackboneConfig, Encoded, Read, built, register_backbone
from .layers import Heard, feed_forward_of, post_norm_layers, split_heads

TEMPERATURE = 0.1  # of the contrast between cells


@dataclass(frozen=True, slots=True, kw_only=True)
class ScPaLMConfig(BackboneConfig):
    """Settings of scPaLM.

    Attributes
    ----------
    patches
        Tokens into which the genes of a cell are patched.
    codes
        Size of the code book of pathways.
    commitment
        Weight of the code book's loss.
    contrast
        Weight of the contrast between cell tokens.
    """

    patches: int = 16
    codes: int = 64
    commitment: float = 0.25
    contrast: float = 0.05

    def __post_init__(self) -> None:
        if self.patches < 1 or self.codes < 2:
            raise fail(
                ValueError, "scpalm needs at least 1 patch and 2 codes.", f"patches={self.patches}, codes={self.codes}.",
                "raise them.",
            )  # fmt: skip


class GenePatches(nn.Module):
    r"""Few tokens from many genes, blind to their order.

    Every gene belongs to the patches by :math:`a_{gp} = \mathrm{softmax}_p(e_g \cdot q_p / \sqrt d)`, which follows from its
    identity alone, and a patch is the mean of what its genes show:
    :math:`t_p = q_p + \sum_g a_{gp} (e_g + v(x_g)) / \sum_g a_{gp}`.
    """

    def __init__(self, n_genes: int, n_patches: int, dim: int) -> None:
        super().__init__()
        self.genes = nn.Embedding(n_genes, dim)
        self.patches = nn.Parameter(torch.randn(n_patches, dim))
        self.value = nn.Sequential(nn.Linear(1, dim), nn.GELU(), nn.Linear(dim, dim))
        self.norm = nn.LayerNorm(dim)

    def membership(self, genes: Int[Tensor, "*tokens"]) -> Float[Tensor, "*tokens patches"]:
        """Share of each gene in each patch."""
        return (self.genes(genes) @ self.patches.T * self.patches.shape[1] ** -0.5).softmax(dim=-1)

    def forward(
        self, genes: Int[Tensor, "cells tokens"], values: Float[Tensor, "cells tokens"], silent: Tensor
    ) -> Float[Tensor, "cells patches dim"]:
        """Patch the tokens that are not silent."""
        share = self.membership(genes) * ~silent[..., None]
        shown = self.genes(genes) + self.value(values[..., None])
        total = share.sum(dim=1)[..., None].clamp(min=1e-6)
        return self.norm(self.patches + share.transpose(1, 2) @ shown / total)


class PathwayCodes(nn.Module):
    """Nearest vector of a code book, added to each patch.

    Quantised in the manner of van den Oord et al. 2017; the patch itself stays, so that what a code leaves out is not lost.
    """

    def __init__(self, codes: int, dim: int, commitment: float) -> None:
        super().__init__()
        self.book = nn.Embedding(codes, dim)
        self.commitment = commitment

    def nearest(self, h: Float[Tensor, "cells patches dim"]) -> Int[Tensor, "cells patches"]:
        """Code of every patch."""
        book = self.book.weight
        return ((book**2).sum(dim=1) - 2 * h @ book.T).argmin(dim=-1)

    def forward(
        self, h: Float[Tensor, "cells patches dim"]
    ) -> tuple[Float[Tensor, "cells patches dim"], Float[Tensor, ""]]:
        """Add the codes; the loss draws codes to patches and, by `commitment`, patches to codes."""
        code = self.book(self.nearest(h))
        loss = functional.mse_loss(code, h.detach()) + self.commitment * functional.mse_loss(h, code.detach())
        return h + code, loss


class GeneReader(Layer):
    """Read genes out of the cell token and the patches by cross-attention, the gene as the query."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(dim, dim) for _ in range(4))
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.linear1, self.linear2 = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, genes: Float[Tensor, "cells tokens dim"], h: Float[Tensor, "cells places dim"]
    ) -> Float[Tensor, "cells tokens dim"]:
        """Embedding of each gene in its cell."""
        q, k, v = (split_heads(x, self.heads) for x in (self.query(genes), self.key(h), self.value(h)))
        read = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(genes.shape)
        g = self.norm1(genes + self.dropout(self.out(read)))
        return self.norm2(g + self.dropout(self.linear2(functional.gelu(self.linear1(g)))))


@register_backbone("scpalm")
class ScPaLM(Backbone):
    """Patches with pathway codes, layers in which the cell token sees ever more patches, a read-out by gene."""

    config: ScPaLMConfig
    Config = ScPaLMConfig
    gene_table = "embedding.genes.weight"
    typical = 2.0

    def __init__(self, config: ScPaLMConfig) -> None:
        super().__init__(config)
        dim, heads = config.dim, config.heads
        self.embedding = GenePatches(config.n_genes, config.patches, dim)
        self.pathways = PathwayCodes(config.codes, dim, config.commitment)
        self.cell = nn.Parameter(torch.randn(dim) * dim**-0.5)
        self.layers = post_norm_layers(config, 2 * dim)
        self.reader = GeneReader(dim, heads, config.dropout)
        self.decoder = nn.Linear(dim, 1) if config.value_head else None

    def embed(self, batch: CellBatch, silent: Bool[Tensor, "cells tokens"]) -> Encoded:
        """Cell token, then the coded patches of all tokens that are not silent."""
        values = self.values(batch.values, batch) / self.typical
        silent = silent | batch.masked  # a masked gene has no value to bring into a patch
        patches, loss = self.pathways(self.embedding(batch.genes, values, silent))
        h = torch.cat([self.cell.expand(patches.shape[0], 1, -1), patches], dim=1)
        return Encoded(h, silent.new_zeros(h.shape[:2]), loss=loss)

    def encode(self, x: Encoded) -> Encoded:
        """Run all layers but the last; the cell token sees all patches by the last of them."""
        h, n_layers = x.h, self.config.layers - 1
        for i, layer in enumerate(list(self.layers)[:n_layers]):
            h = layer(h, self._heard(h, (i + 1) / n_layers))
        return x.with_h(h)

    def last_layer(self, x: Encoded) -> Encoded:
        """Run the last layer, in which the cell token sees all patches."""
        return x.with_h(self.layers[self.config.layers - 1](x.h, self._heard(x.h, 1.0)))

    def feed_forward(self, x: Encoded) -> Encoded:
        """Run the feed-forward part of the last layer."""
        return x.with_h(feed_forward_of(self.layers, x.h))

    @staticmethod
    def _heard(h: Tensor, share: float) -> Heard:
        """The cell token sees itself and a growing share of the patches; patches see patches only, never the cell token."""
        n_places = h.shape[1]
        mask = torch.ones(n_places, n_places, dtype=torch.bool, device=h.device)
        mask[1:, 0] = False
        mask[0, 1 + math.ceil(share * (n_places - 1)) :] = False
        return Heard(n_places, mask[None, None])

    def read(self, x: Encoded, batch: CellBatch) -> Read:
        """Genes by cross-attention to all places, the cell from its token."""
        tokens = self.reader(self.embedding.genes(batch.genes), x.h)
        return Read(
            tokens, x.h[:, 0], {"codes": x.h.new_zeros(()) if x.loss is None else x.loss, "contrast": _contrast(x.h)}
        )

    def extra_loss(self, extra: Mapping[str, Tensor], batch: CellBatch) -> Float[Tensor, ""]:
        """Loss of the code book and contrast of the cell tokens."""
        return extra["codes"] + self.config.contrast * extra["contrast"]

    def places(self, batch: CellBatch) -> Int[Tensor, "cells tokens"]:
        """The patch to which a gene belongs most."""
        return 1 + self.embedding.membership(batch.genes).argmax(dim=-1)

    def predict(self, tokens: Float[Tensor, "cells tokens out_dim"]) -> Float[Tensor, "cells tokens"]:
        """Predicted log counts per 10,000."""
        return built(self.decoder, "value_head")(tokens).squeeze(-1)

    def values(self, counts: Float[Tensor, "cells tokens"], batch: CellBatch) -> Float[Tensor, "cells tokens"]:
        """Log counts per 10,000."""
        return log_of(counts, batch.depth[:, 0])

    def counts(self, values: Float[Tensor, "cells tokens"], batch: CellBatch) -> Float[Tensor, "cells tokens"]:
        """Counts that values stand for."""
        return count_of_log(values, batch.depth[:, 0])

    def gene_embedding(self) -> Float[Tensor, "genes dim"]:
        """Embedding of every gene."""
        return self.embedding.genes.weight


def _contrast(h: Float[Tensor, "cells places dim"]) -> Float[Tensor, ""]:
    """Tell from each cell token which patches are those of its cell, among the cells of the batch (InfoNCE)."""
    cell, patches = (functional.normalize(x, dim=-1) for x in (h[:, 0], h[:, 1:].mean(dim=1)))
    score = cell @ patches.T / TEMPERATURE
    return functional.cross_entropy(score, torch.arange(score.shape[0], device=h.device))
