"""Reading Geneformer: embeddings of cells and genes, and their shift when a gene is deleted. Batched by length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64
from torch import Tensor
from torch.nn import functional

from .geneformer import GeneformerNet
from .geneformer_tokens import RankTokens

Pool = Literal["mean", "cls"]
Precision = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True)
class Reading:
    """How hidden states become embeddings.

    Attributes
    ----------
    depth
        Layers that are run.
    framed
        Whether sequences have <cls> and <eos>, which no mean includes.
    pool
        Cell embedding: the mean of its genes, or <cls>.
    batch_size
        Sequences that pass the network at once.
    device, precision
        Where, and in what numbers; embeddings are float32 always.
    """

    depth: int
    framed: bool
    pool: Pool = "mean"
    batch_size: int = 32
    device: str = "cpu"
    precision: Precision = "float32"


@dataclass(frozen=True, slots=True)
class Sequences:
    """Padded sequences of one batch, on the device of the network.

    Attributes
    ----------
    index
        Tokens.
    length
        Tokens of each.
    genes
        Places that hold genes.
    """

    index: Int64[Tensor, "cells places"]
    length: Int64[Tensor, " cells"]
    genes: Bool[Tensor, "cells places"]


@dataclass(slots=True)
class GeneSums:
    """Sums over cells by token, and how many cells were added to each."""

    total: Float64[Tensor, "tokens width"]
    seen: Float64[Tensor, "tokens counts"]

    @classmethod
    def zeros(cls, n_tokens: int, width: int, *, counts: int, device: str) -> GeneSums:
        """Nothing added yet; `counts` is 1 for all columns of `total`, or `width` for one each."""
        return cls(*(torch.zeros(n_tokens, n, dtype=torch.float64, device=device) for n in (width, counts)))

    def mean(self) -> Float32[np.ndarray, "tokens width"]:
        """Means; NaN where nothing was added."""
        return (self.total / self.seen).float().cpu().numpy()


def embed(
    net: GeneformerNet, cells: RankTokens, how: Reading, genes: GeneSums | None
) -> Float32[np.ndarray, "cells dim"]:
    """Embeddings of cells; those of their genes are added to `genes`."""
    out = np.empty((cells.length.size, net.config.dim), dtype=np.float32)
    for rows in _batches(cells.length, how.batch_size):
        x = _without(cells, rows, None, how)
        h = _hidden(net, x, how)
        out[rows] = _pooled(h, x.genes, how).cpu().numpy()
        if genes is not None:
            token = x.index[x.genes]
            genes.total.index_add_(0, token, h[x.genes].double())
            genes.seen.index_add_(0, token, genes.seen.new_ones(token.numel(), 1))
    return out


def delete(
    net: GeneformerNet, cells: RankTokens, deleted: Int64[np.ndarray, " deleted"], how: Reading, genes: GeneSums | None
) -> Float32[np.ndarray, "cells deleted"]:
    """Cosine shift (1 - cosine) of every cell when the token of a gene is taken out of it; NaN where it is not in it.

    The shift of every gene that stays is added to `genes` (tokens x deleted). The rest of the sequence moves up one place.
    """
    out = np.full((cells.length.size, deleted.size), np.nan, dtype=np.float32)
    column = np.full(net.config.n_tokens, -1)
    column[deleted] = np.arange(deleted.size)
    for rows in _batches(cells.length, how.batch_size):
        before = _without(cells, rows, None, how)
        h = _hidden(net, before, how)
        pooled = _pooled(h, before.genes, how)
        tokens, is_gene = before.index.cpu().numpy(), before.genes.cpu().numpy()
        others = is_gene.sum(axis=1, keepdims=True) > 1  # nothing is left of a cell with one gene
        cell, place = np.nonzero((column[tokens] >= 0) & is_gene & others)
        which = column[tokens[cell, place]]
        for first in range(0, cell.size, how.batch_size):
            part = slice(first, first + how.batch_size)
            at = torch.from_numpy(cell[part]).to(h.device)
            x = _without(cells, rows[cell[part]], place[part], how)
            after = _hidden(net, x, how)
            shift = 1 - functional.cosine_similarity(pooled[at], _pooled(after, x.genes, how))
            out[rows[cell[part]], which[part]] = shift.cpu().numpy()
            if genes is not None:
                places = torch.arange(x.index.shape[1], device=h.device)
                source = (places + (places >= torch.from_numpy(place[part]).to(h.device)[:, None])).clamp(
                    max=h.shape[1] - 1
                )
                moved = 1 - functional.cosine_similarity(h[at[:, None], source], after, dim=2)
                _add_shifts(genes, x, moved, which[part])
    return out


def _add_shifts(genes: GeneSums, x: Sequences, moved: Tensor, which: np.ndarray) -> None:
    """Add the shifts of genes to the sums, at (token, deleted gene)."""
    flat = (x.index * genes.total.shape[1] + torch.from_numpy(which).to(x.index.device)[:, None])[x.genes]
    genes.total.view(-1).index_add_(0, flat, moved[x.genes].double())
    genes.seen.view(-1).index_add_(0, flat, genes.seen.new_ones(flat.numel()))


def _batches(length: Int64[np.ndarray, " cells"], size: int) -> Iterator[np.ndarray]:
    """Cells of like length together, the longest first, so that too large a batch fails at once."""
    order = np.argsort(-length, kind="stable")
    return (order[first : first + size] for first in range(0, order.size, size))


def _without(cells: RankTokens, rows: np.ndarray, place: np.ndarray | None, how: Reading) -> Sequences:
    """Padded sequences of some cells, each without the token at its `place` if one is given."""
    length = cells.length[rows] - (place is not None)
    places = np.arange(length.max())
    source = cells.starts[rows][:, None] + places
    if place is not None:
        source += places >= place[:, None]
    real = places < length[:, None]
    index = np.where(real, cells.tokens[np.minimum(source, cells.tokens.size - 1)], 0)
    genes = real & (places > 0) & (places < length[:, None] - 1) if how.framed else real
    device = torch.device(how.device)
    return Sequences(*(torch.from_numpy(part).to(device) for part in (index, length, genes)))


@torch.inference_mode()
def _hidden(net: GeneformerNet, x: Sequences, how: Reading) -> Float[Tensor, "cells places dim"]:
    low = how.precision != "float32"
    with torch.autocast(x.index.device.type, dtype=getattr(torch, how.precision) if low else None, enabled=low):
        return net(x.index, x.length, depth=how.depth).float()


def _pooled(h: Tensor, genes: Tensor, how: Reading) -> Float[Tensor, "cells dim"]:
    if how.pool == "cls":
        return h[:, 0]
    return h.masked_fill(~genes[..., None], 0).sum(dim=1) / genes.sum(dim=1, keepdim=True)
