"""Performer layers (Choromanski et al. 2021): attention in linear time by positive random features."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ..layer import Layer
from .layers import split_heads

EPS = 1e-4  # keeps every feature positive


def orthogonal_features(n_features: int, dim: int) -> Float[Tensor, "features dim"]:
    """Random directions, orthogonal within blocks of `dim`, with the lengths of Gaussian vectors."""
    n_blocks = -(-n_features // dim)
    blocks = [torch.linalg.qr(torch.randn(dim, dim))[0].T for _ in range(n_blocks)]
    return torch.cat(blocks)[:n_features] * torch.randn(n_features, dim).norm(dim=1, keepdim=True)


def softmax_features(
    x: Float[Tensor, "cells heads places dim"], projection: Float[Tensor, "features dim"], *, shared: bool
) -> Float[Tensor, "cells heads places features"]:
    r"""Features whose inner products approximate :math:`\exp(q \cdot k / \sqrt{d})` up to a factor.

    The largest exponent is taken off: of every place (queries), or of the cell (`shared`: keys, which must keep their
    ratios). A cell's result therefore does not depend on the other cells of its batch.
    """
    x = x * x.shape[3] ** -0.25
    exponent = x @ projection.T
    top = exponent.amax(dim=(1, 2, 3) if shared else 3, keepdim=True)
    return projection.shape[0] ** -0.5 * (torch.exp(exponent - (x**2).sum(dim=3, keepdim=True) / 2 - top) + EPS)


class FavorAttention(nn.Module):
    """Multi-head self-attention over all places; cost and memory are linear in their number."""

    def __init__(self, dim: int, heads: int, dim_head: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(dim, heads * dim_head) for _ in range(3))
        self.to_out = nn.Linear(heads * dim_head, dim)
        n_features = max(1, int(dim_head * math.log(dim_head)))
        self.register_buffer("projection", orthogonal_features(n_features, dim_head))
        self.projection: Tensor

    def forward(self, h: Float[Tensor, "cells places dim"]) -> Float[Tensor, "cells places dim"]:
        """Update all places."""
        q, k, v = (split_heads(to(h), self.heads) for to in (self.to_q, self.to_k, self.to_v))
        with torch.autocast(h.device.type, enabled=False):  # exponentials in full precision
            q = softmax_features(q.float(), self.projection.float(), shared=False)
            k = softmax_features(k.float(), self.projection.float(), shared=True)
            total = torch.einsum("chpf,chf->chp", q, k.sum(dim=2))
            out = (q @ (k.transpose(2, 3) @ v.float())) / total[..., None]
        return self.to_out(out.to(v.dtype).transpose(1, 2).reshape(*h.shape[:2], -1))


class PerformerLayer(Layer):
    """Attention and feed-forward part, each with a norm before and a residual around it."""

    def __init__(self, dim: int, heads: int, dim_head: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = FavorAttention(dim, heads, dim_head)
        self.w1, self.w2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Float[Tensor, "cells places dim"]) -> Float[Tensor, "cells places dim"]:
        """Update all places."""
        h = h + self.dropout(self.attention(self.norm1(h)))
        return h + self.dropout(self.w2(self.dropout(functional.gelu(self.w1(self.norm2(h))))))
