"""The scGPT architecture (Cui et al. 2024): gene tokens, binned values, a post-norm encoder.

Written from its published description and file layout; parameter names follow that layout.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from ..batch import CellBatch
from .base import register_backbone

MASK_VALUE = -1.0
LARGEST_VALUE = 512.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScGPTConfig:
    """Sizes; `layers` counts all encoder layers, the last one included."""

    n_genes: int
    dim: int = 64
    layers: int = 3
    heads: int = 4
    hidden: int = 128
    dropout: float = 0.1
    keep_last: bool = True


class _TokenEncoder(nn.Module):
    def __init__(self, n_tokens: int, dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_tokens, dim)
        self.enc_norm = nn.LayerNorm(dim)

    def forward(self, index: Tensor) -> Tensor:
        return self.enc_norm(self.embedding(index))


class _ValueEncoder(nn.Module):
    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.linear1 = nn.Linear(1, dim)
        self.linear2 = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, value: Tensor) -> Tensor:
        h = functional.relu(self.linear1(value[..., None].clamp(max=LARGEST_VALUE)))
        return self.dropout(self.norm(self.linear2(h)))


class _SelfAttention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = nn.Linear(dim, dim)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, h: Tensor, mask: Tensor) -> Tensor:
        n_cells, n_tokens, dim = h.shape
        q, k, v = functional.linear(h, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        q, k, v = (part.view(n_cells, n_tokens, self.heads, -1).transpose(1, 2) for part in (q, k, v))
        out = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out_proj(out.transpose(1, 2).reshape(n_cells, n_tokens, dim))


class _EncoderLayer(nn.Module):
    def __init__(self, dim: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = _SelfAttention(dim, heads)
        self.linear1, self.linear2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor, mask: Tensor) -> Tensor:
        h = self.norm1(h + self.dropout(self.self_attn(h, mask)))
        return self.norm2(h + self.dropout(self.linear2(self.dropout(functional.relu(self.linear1(h))))))


class _Encoder(nn.Module):
    def __init__(self, config: ScGPTConfig) -> None:
        super().__init__()
        n_layers = config.layers if config.keep_last else config.layers - 1
        self.layers = nn.ModuleList(
            [_EncoderLayer(config.dim, config.heads, config.hidden, config.dropout) for _ in range(n_layers)]
        )


@register_backbone("scgpt")
class ScGPT(nn.Module):
    """Gene token + value embedding, CLS first, then post-norm encoder layers; the last token of the vocabulary is CLS."""

    def __init__(self, config: ScGPTConfig) -> None:
        super().__init__()
        self.config, self.dim = config, config.dim
        self.encoder = _TokenEncoder(config.n_genes + 1, config.dim)
        self.value_encoder = _ValueEncoder(config.dim, config.dropout)
        self.transformer_encoder = _Encoder(config)

    def embed(self, batch: CellBatch) -> Float[Tensor, "cells tokens_and_1 dim"]:
        """Sum of gene and value embeddings; masked genes have the mask value, CLS has value 0."""
        values = torch.where(batch.masked, batch.values.new_tensor(MASK_VALUE), batch.values)
        index = functional.pad(batch.genes, (1, 0), value=self.config.n_genes)
        return self.encoder(index) + self.value_encoder(functional.pad(values, (1, 0)))

    def encode(
        self, h: Float[Tensor, "cells tokens_and_1 dim"], padding: Bool[Tensor, "cells tokens"]
    ) -> Float[Tensor, "cells tokens_and_1 dim"]:
        """Run all layers but the last."""
        mask = self._mask(padding)
        for layer in list(self.transformer_encoder.layers)[: self.config.layers - 1]:
            h = layer(h, mask)
        return h

    def last_layer(
        self, h: Float[Tensor, "cells tokens_and_1 dim"], padding: Bool[Tensor, "cells tokens"]
    ) -> Float[Tensor, "cells tokens_and_1 dim"]:
        """Run the last layer (only where the model was built with it)."""
        return self.transformer_encoder.layers[self.config.layers - 1](h, self._mask(padding))

    def gene_embedding(self) -> Float[Tensor, "genes dim"]:
        """Embedding of every gene (without CLS)."""
        return self.encoder.embedding.weight[: self.config.n_genes]

    @staticmethod
    def _mask(padding: Bool[Tensor, "cells tokens"]) -> Bool[Tensor, "cells 1 1 tokens_and_1"]:
        return ~functional.pad(padding, (1, 0), value=False)[:, None, None, :]
