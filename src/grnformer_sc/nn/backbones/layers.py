"""Transformer layers that several backbones share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from ..._core.checks import fail
from ..layer import Layer
from ..post_norm import add_norm, relu_drop
from .base import BackboneConfig, Encoded


@dataclass(frozen=True, slots=True)
class Heard:
    """Places that are attended to.

    Attributes
    ----------
    stop
        No place from here on.
    mask
        Which of the places before `stop`, for all queries or for each; None is all of them, for which attention has faster
        kernels.
    """

    stop: int
    mask: Bool[Tensor, "cells_or_1 1 queries_or_1 stop"] | None

    @classmethod
    def all_but(cls, silent: Bool[Tensor, "cells places"]) -> Heard:
        """Every place that is not silent."""
        told = ~silent
        place = torch.arange(1, silent.shape[1] + 1, device=silent.device)
        stop, total = torch.stack([(told.any(dim=0) * place).amax(), told.sum()]).tolist()
        stop = stop or silent.shape[1]
        return cls(stop, None if total == silent.shape[0] * stop else told[:, None, None, :stop])


class SelfAttention(nn.Module):
    """Multi-head self-attention with one projection for queries, keys and values (torch's parameter names)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = nn.Linear(dim, dim)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def projections(self, h: Float[Tensor, "cells places dim"]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each cells x heads x places x dim of a head."""
        q, k, v = functional.linear(h, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        return split_heads(q, self.heads), split_heads(k, self.heads), split_heads(v, self.heads)

    def forward(self, h: Float[Tensor, "cells places dim"], heard: Heard) -> Float[Tensor, "cells places dim"]:
        """What each place hears, before the last projection (`out_proj`)."""
        q, k, v = self.projections(h)
        if heard.stop < h.shape[1]:
            k, v = k[:, :, : heard.stop], v[:, :, : heard.stop]
        out = functional.scaled_dot_product_attention(q, k, v, attn_mask=heard.mask)
        return out.transpose(1, 2).reshape(h.shape)

    def weights(self, h: Float[Tensor, "cells places dim"], mask: Tensor) -> Float[Tensor, "cells heads places places"]:
        """Attention weights, which `forward` does not hold."""
        q, k, _ = self.projections(h)
        score = q @ k.transpose(2, 3) * q.shape[3] ** -0.5
        return score.masked_fill(~mask, -torch.inf).softmax(dim=-1)


class FeedForward(Layer):
    """Second half of `PostNormLayer`, which may stay where an adapter takes the place of its attention."""

    def __init__(self, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def feed_forward(self, h: Float[Tensor, "cells places dim"]) -> Float[Tensor, "cells places dim"]:
        """Update each place by itself."""
        return add_norm(h, relu_drop(h, self.linear1, self.dropout), self.linear2, self.norm2, self.dropout)


class PostNormLayer(FeedForward):
    """Transformer encoder layer that normalises after each residual (ReLU feed-forward)."""

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__(dim, hidden, dropout)
        self.self_attn = SelfAttention(dim, heads)
        self.norm1 = nn.LayerNorm(dim)

    def forward(self, h: Float[Tensor, "cells places dim"], heard: Heard) -> Float[Tensor, "cells places dim"]:
        """Update all places, which attend to those that are heard."""
        attention = self.self_attn
        return self.feed_forward(add_norm(h, attention(h, heard), attention.out_proj, self.norm1, self.dropout))


def post_norm_layers(config: BackboneConfig, hidden: int) -> nn.ModuleList:
    """Layers that the settings ask for; the last one whole, without its attention, or not at all."""
    layers: list[nn.Module] = [
        PostNormLayer(config.dim, config.heads, hidden, config.dropout) for _ in range(config.n_layers)
    ]
    if config.keep_ffn and not config.keep_last:
        layers.append(FeedForward(config.dim, hidden, config.dropout))
    return nn.ModuleList(layers)


def run_layers(x: Encoded, layers: Iterable[nn.Module]) -> Encoded:
    """Run some layers; places that show nothing are not attended to.

    From there on embeddings are held in the type that autocast takes products in: they are what a step moves most.
    """
    h, heard = x.h.to(_stream_type(x.h)), Heard.all_but(x.silent)
    for layer in layers:
        h = layer(h, heard)
    return x.with_h(h)


def _stream_type(h: Tensor) -> torch.dtype:
    kind = h.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else h.dtype


def feed_forward_of(layers: nn.ModuleList, h: Float[Tensor, "cells places dim"]) -> Float[Tensor, "cells places dim"]:
    """Run the feed-forward part of the last layer, the attention of which was not built."""
    last = layers[-1]
    if not isinstance(last, FeedForward):
        raise fail(
            TypeError, "the last layer must have a feed-forward part.", f"{type(last).__name__}.", "turn keep_ffn on."
        )
    return last.feed_forward(h)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Cells x places x dim to cells x heads x places x dim of a head."""
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)
