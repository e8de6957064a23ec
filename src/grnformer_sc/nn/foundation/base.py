"""What a foundation model must offer to be read: cells as sequences of tokens, and an encoder that runs layer by layer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor, nn
from torch.nn import functional

from ..._core.checks import fail, need_between

CPU_KERNEL = "_scaled_dot_product_flash_attention_for_cpu"
Pool = Literal["mean", "cls"]
Precision = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True)
class CellTokens:
    """Cells as sequences of tokens, one after the other.

    Attributes
    ----------
    tokens
        All of them: those that stand for the cell first, then genes, then those that end a sequence.
    starts
        Where each cell begins, and the end.
    values
        Value of every token, for models that read values; 0 where a token has none.
    context
        Numbers of every cell that the model reads besides (its depth, its species).
    """

    tokens: Int64[np.ndarray, " tokens"]
    starts: Int64[np.ndarray, " edges"]
    values: Float32[np.ndarray, " tokens"] | None = None
    context: Float32[np.ndarray, "cells facts"] | None = None

    @property
    def length(self) -> Int64[np.ndarray, " cells"]:
        """Tokens of every cell."""
        return np.diff(self.starts)


@dataclass(frozen=True, slots=True)
class Sequences:
    """Padded sequences of one batch, on the device of the network.

    Attributes
    ----------
    index
        Tokens, 0 at padding.
    length
        Tokens of each cell.
    genes
        Places that hold genes.
    values, context
        As in `CellTokens`.
    """

    index: Int64[Tensor, "cells places"]
    length: Int64[Tensor, " cells"]
    genes: Bool[Tensor, "cells places"]
    values: Float[Tensor, "cells places"] | None = None
    context: Float[Tensor, "cells facts"] | None = None

    def mask(self) -> Bool[Tensor, "cells 1 1 places"] | None:
        """Places that may be attended to; None where all of them may."""
        real = torch.arange(self.index.shape[1], device=self.index.device) < self.length[:, None]
        return None if bool(real.all()) else real[:, None, None, :]


@dataclass(frozen=True, slots=True)
class Reading:
    """How cells pass a network.

    Attributes
    ----------
    depth
        Layers that are run.
    front, back
        Tokens before and behind the genes of a sequence, which no mean of genes includes.
    pool
        Cell embedding: the mean of its genes, or of the tokens in front of them.
    batch_size
        Sequences that pass the network at once.
    device, precision
        Where, and in what numbers; what is read is float32 always.
    flag
        Added to the token of a perturbed gene, for a model that is told which genes are perturbed; 0: it is not.
    """

    depth: int
    front: int = 0
    back: int = 0
    pool: Pool = "mean"
    batch_size: int = 32
    device: str = "cpu"
    precision: Precision = "float32"
    flag: int = 0


class FoundationNet(nn.Module, ABC):
    """Encoder of sequences of tokens.

    Attributes
    ----------
    n_tokens, n_places
        Rows of the token table, the tokens that stand for cells included; longest sequence.
    dim, n_layers, heads
        Width, layers, attention heads.
    """

    n_tokens: int
    n_places: int
    dim: int
    n_layers: int
    heads: int

    @abstractmethod
    def embed(self, x: Sequences) -> Float[Tensor, "cells places dim"]:
        """Input of the first layer."""

    @abstractmethod
    def projections(
        self, number: int, h: Float[Tensor, "cells places dim"]
    ) -> tuple[
        Float[Tensor, "cells heads places width"],
        Float[Tensor, "cells heads places width"],
        Float[Tensor, "cells heads places width"],
    ]:
        """Queries, keys and values of layer `number` (from 0), given its input."""

    @abstractmethod
    def after_attention(
        self, number: int, h: Float[Tensor, "cells places dim"], heard: Float[Tensor, "cells places dim"]
    ) -> Float[Tensor, "cells places dim"]:
        """Rest of layer `number`, given its input and what its heads heard, side by side."""

    @abstractmethod
    def token_embedding(self) -> Float[Tensor, "tokens dim"]:
        """Embedding of every token before the first layer, without values and places."""

    @property
    def decodes(self) -> bool:
        """Whether it has a head that reads expression off its tokens."""
        return False

    def expression(self, h: Float[Tensor, "cells places dim"]) -> Float[Tensor, "cells places"]:
        """Expression of every token's gene as the model's own head predicts it from the last layer."""
        raise fail(
            ValueError, "expression is predicted by models with a head for it.", f"{type(self).__name__} has none.",
            "read embeddings, or give weights with such a head.",
        )  # fmt: skip

    def finish(self, h: Float[Tensor, "cells places dim"]) -> Float[Tensor, "cells places dim"]:
        """What follows the last layer."""
        return h

    def depth(self, emb_layer: int) -> int:
        """Layers that are run for the embeddings of `emb_layer`: 0 the last one, -1 the one before it, and so on."""
        need_between(emb_layer, -self.n_layers, 0, name="emb_layer")
        return self.n_layers + emb_layer

    def attended(
        self, x: Sequences, depth: int, *, norms: bool = False
    ) -> Iterator[tuple[int, Tensor, Tensor, Tensor | None]]:
        """Number, queries, keys of the layers before `depth` in turn; what comes out of the last is not computed.

        With `norms` also the log of the sum of each softmax (cells heads places).
        """
        h, mask = self.embed(x), x.mask()
        for number in range(depth):
            q, k, v = self.projections(number, h)
            last = number == depth - 1
            if last and not norms:
                yield number, q, k, None
                return
            heard, norm = attend(q, k, v, mask, norms=norms)
            yield number, q, k, norm
            if not last:
                h = self.after_attention(number, h, heard)

    def inputs(self, x: Sequences, depth: int | None = None) -> Iterator[Float[Tensor, "cells places dim"]]:
        """Input of every layer in turn, then what comes out after `depth` layers (all by default)."""
        h, mask, depth = self.embed(x), x.mask(), self.n_layers if depth is None else depth
        for number in range(depth):
            yield h
            heard, _ = attend(*self.projections(number, h), mask)
            h = self.after_attention(number, h, heard)
        yield self.finish(h) if depth == self.n_layers else h

    def forward(self, x: Sequences, *, depth: int | None = None) -> Float[Tensor, "cells places dim"]:
        """Hidden states after `depth` layers (all by default)."""
        return deque(self.inputs(x, depth), maxlen=1)[0]


def attend(
    q: Float[Tensor, "cells heads places width"],
    k: Float[Tensor, "cells heads places width"],
    v: Float[Tensor, "cells heads places width"],
    mask: Bool[Tensor, "cells 1 1 places"] | None,
    *,
    norms: bool = False,
) -> tuple[Float[Tensor, "cells places dim"], Float[Tensor, "cells heads places"] | None]:
    """What every head hears, side by side; with `norms` also the log of the sum of each query's softmax.

    On a CPU the sum comes out of the kernel that attends, at no cost.
    """
    bias = None if mask is None else torch.zeros(mask.shape, device=q.device).masked_fill_(~mask, -float("inf"))
    norm = None
    if norms and q.device.type == "cpu" and q.dtype == torch.float32 and hasattr(torch.ops.aten, CPU_KERNEL):
        heard, norm = getattr(torch.ops.aten, CPU_KERNEL)(q, k, v, attn_mask=bias)
    else:
        heard = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        if norms:
            square = q.float() @ k.float().transpose(2, 3) * q.shape[3] ** -0.5
            norm = (square if bias is None else square + bias).logsumexp(dim=3)
    return heard.transpose(1, 2).flatten(2), norm


def batches(length: Int64[np.ndarray, " cells"], size: int) -> Iterator[np.ndarray]:
    """Cells of like length together, the longest first, so that too large a batch fails at once."""
    order = np.argsort(-length, kind="stable")
    return (order[first : first + size] for first in range(0, order.size, size))


def sequences(cells: CellTokens, rows: np.ndarray, how: Reading) -> Sequences:
    """Padded sequences of some cells."""
    length = cells.length[rows]
    source = cells.starts[rows][:, None] + np.arange(length.max())
    return padded(cells, rows, source, length, how)


def padded(
    cells: CellTokens, rows: np.ndarray, source: Int64[np.ndarray, "cells places"], length: np.ndarray, how: Reading
) -> Sequences:
    """Sequences made of the tokens at `source`, of which those before `length` count."""
    places, device = np.arange(source.shape[1]), torch.device(how.device)
    real = places < length[:, None]
    genes = real & (places >= how.front) & (places < length[:, None] - how.back)
    at = np.minimum(source, cells.tokens.size - 1)

    def give(part: np.ndarray) -> Tensor:
        return torch.from_numpy(part).to(device)

    return Sequences(
        give(np.where(real, cells.tokens[at], 0)),
        give(length),
        give(genes),
        None if cells.values is None else give(np.where(real, cells.values[at], np.float32(0))),
        None if cells.context is None else give(cells.context[rows]),
    )


@torch.inference_mode()
def hidden(net: FoundationNet, x: Sequences, how: Reading) -> Float[Tensor, "cells places dim"]:
    """Hidden states in float32, computed in the precision of the reading."""
    with autocast(how):
        return net(x, depth=how.depth).float()


def autocast(how: Reading) -> torch.autocast:
    """Context in which the network computes in the precision of the reading."""
    low = how.precision != "float32"
    return torch.autocast(
        torch.device(how.device).type, dtype=getattr(torch, how.precision) if low else None, enabled=low
    )
