"""Cross-attention from expression to structure, in the place of the backbone's last layer."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from .post_norm import normed

QUERY_CHUNK = 256


class GraphAdapter(nn.Module):
    r"""Multi-head cross-attention: queries are expression embeddings, keys and values structure embeddings.

    .. math:: h = h_{expr} + \tanh(\beta)\, W_O\,\mathrm{softmax}(QK^\top / \sqrt{d_h}) V

    One learned key without a gene (the sink, last) lets a cell opt out, and takes all attention where a network has no
    genes. A new adapter changes nothing: :math:`W_O` starts at 0, and `beta`, which is learned too, at 1. (A factor that
    starts at 0 before a random :math:`W_O` moves by one learning rate a step: most of the network goes unheard for hundreds
    of steps.) A number as `beta` fixes the factor, and :math:`W_O` starts at random.

    Parameters
    ----------
    dim, heads
        Width and attention heads.
    beta
        Factor of what the network says; None learns it.
    dropout
        Dropout of the fused part.
    attention_dropout
        Dropout of attention weights, in training.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        beta: float | None = None,
        dropout: float = 0.1,
        attention_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.heads, self.attention_dropout = heads, attention_dropout
        self.query, self.key, self.value, self.out = (nn.Linear(dim, dim) for _ in range(4))
        self.norm_query, self.norm_key = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.sink = nn.Parameter(torch.randn(dim) * dim**-0.5)
        self.dropout = nn.Dropout(dropout)
        self.beta = nn.Parameter(torch.ones(1)) if beta is None else None
        self.fixed_beta = beta
        if beta is None:
            nn.init.zeros_(self.out.weight)
            nn.init.zeros_(self.out.bias)

    @property
    def strength(self) -> Tensor | float:
        """Factor of the fused part."""
        if self.beta is not None:
            return torch.tanh(self.beta)
        return float(self.fixed_beta or 0.0)

    def forward(
        self,
        expression: Float[Tensor, "cells tokens dim"],
        structure: Float[Tensor, "cells keys dim"],
        present: Bool[Tensor, "cells keys"] | None,
    ) -> Float[Tensor, "cells tokens dim"]:
        """Add what the network says to every token; None as `present` is all keys."""
        q, k, v, mask = self._project(expression, structure, present)
        dropout = self.attention_dropout if self.training else 0.0
        fused = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        fused = self.out(fused.transpose(1, 2).reshape(expression.shape))
        return expression + (self.strength * self.dropout(fused)).to(expression.dtype)

    def attention(
        self,
        expression: Float[Tensor, "cells tokens dim"],
        structure: Float[Tensor, "cells keys dim"],
        present: Bool[Tensor, "cells keys"],
    ) -> Iterator[tuple[slice, Float[Tensor, "cells queries keys_and_1"]]]:
        """Attention weights, mean over heads, in chunks of queries; the last key is the sink."""
        q, k, _, mask = self._project(expression, structure, present)
        for first in range(0, q.shape[2], QUERY_CHUNK):
            part = slice(first, min(first + QUERY_CHUNK, q.shape[2]))
            score = q[:, :, part] @ k.transpose(2, 3) * q.shape[3] ** -0.5
            if mask is not None:
                score = score.masked_fill(~mask, -torch.inf)
            yield part, score.softmax(dim=-1).mean(dim=1)

    def _project(
        self, expression: Tensor, structure: Tensor, present: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        n_cells = expression.shape[0]
        keys = normed(self.norm_key, structure)
        keys = torch.cat([keys, self.sink.to(keys.dtype).expand(n_cells, 1, -1)], dim=1)
        mask = None if present is None else functional.pad(present, (0, 1), value=True)[:, None, None, :]
        return (
            self._split(self.query(normed(self.norm_query, expression))),
            self._split(self.key(keys)),
            self._split(self.value(keys)),
            mask,
        )

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)
