"""Reading a foundation model: embeddings of cells and genes, and their shift when a gene is deleted or over-expressed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64
from torch import Tensor
from torch.nn import functional

from .base import CellTokens, FoundationNet, Reading, Sequences, batches, hidden, padded, sequences
from .options import Measure, Perturbation

NOWHERE = 2**40  # place of a gene that is not in the sequence: behind all others


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
    net: FoundationNet, cells: CellTokens, how: Reading, genes: GeneSums | None
) -> Float32[np.ndarray, "cells dim"]:
    """Embeddings of cells; those of their genes are added to `genes`."""
    out = np.empty((cells.length.size, net.dim), dtype=np.float32)
    for rows in batches(cells.length, how.batch_size):
        x = sequences(cells, rows, how)
        h = hidden(net, x, how)
        out[rows] = _pooled(h, x.genes, how).cpu().numpy()
        if genes is not None:
            token = x.index[x.genes]
            genes.total.index_add_(0, token, h[x.genes].double())
            genes.seen.index_add_(0, token, genes.seen.new_ones(token.numel(), 1))
    return out


@dataclass(frozen=True, slots=True)
class _Edits:
    """Sequences to be made of others: cells of a batch, place of the gene in each, its token and its column."""

    cell: Int64[np.ndarray, " edits"]
    place: Int64[np.ndarray, " edits"]
    which: Int64[np.ndarray, " edits"]

    def parts(self, size: int) -> Iterator[_Edits]:
        for first in range(0, self.cell.size, size):
            part = slice(first, first + size)
            yield _Edits(self.cell[part], self.place[part], self.which[part])


def perturb(
    net: FoundationNet,
    cells: CellTokens,
    tokens: Int64[np.ndarray, " perturbed"],
    how: Reading,
    genes: GeneSums | None,
    *,
    kind: Perturbation = "deletion",
    measure: Measure = "embedding",
    own: Float32[np.ndarray, "cells perturbed"] | None = None,
) -> Float32[np.ndarray, "cells perturbed"]:
    """Cosine shift (1 - cosine) of every cell when one gene is perturbed; NaN where it cannot be.

    A deleted gene is taken out of the sequence and the rest moves up one place. An over-expressed one comes first among
    the genes with the largest value of the cell, whether it was there or not; a sequence that is full loses its last gene.
    A model that is told which genes are perturbed (`how.flag`) keeps a deleted gene, first among the genes with value 0;
    `"flag"` tells it so and leaves the value, one of `own`. The shift of every other gene of the cell, or the change of the
    predicted expression of every gene that is a token before and after, is added to `genes` (tokens x perturbed).
    """
    out = np.full((cells.length.size, tokens.size), np.nan, dtype=np.float32)
    for rows in batches(cells.length, how.batch_size):
        before = sequences(cells, rows, how)
        h = hidden(net, before, how)
        pooled, said = _pooled(h, before.genes, how), _said(net, h, measure)
        edits = _edits(before, tokens, net.n_tokens, how, kind)
        for part in edits.parts(how.batch_size):
            x, source = _edited(cells, rows[part.cell], part.place, tokens[part.which], net.n_places, how, kind)
            at = torch.from_numpy(part.cell).to(h.device)
            if x.values is not None and before.values is not None and kind == "overexpression":
                x.values[:, how.front] = before.values[at].amax(dim=1)  # those of padding are 0, none is below
            if x.values is not None and own is not None:
                x.values[:, how.front] = torch.from_numpy(own[rows[part.cell], part.which]).to(h.device)
            after = hidden(net, x, how)
            shift = 1 - functional.cosine_similarity(pooled[at], _pooled(after, x.genes, how))
            out[rows[part.cell], part.which] = shift.cpu().numpy()
            if genes is not None:
                if measure == "expression" and (kind != "deletion" or how.flag):  # the gene itself is there, too
                    source[:, how.front] = torch.from_numpy(np.where(part.place < NOWHERE, part.place, -1))
                both, index = x.genes & (source >= 0), x.index.remainder(how.flag) if how.flag else x.index
                old, new = said[at[:, None], source.clamp(0, h.shape[1] - 1)], _said(net, after, measure)
                moved = new - old if measure == "expression" else 1 - functional.cosine_similarity(old, new, dim=2)
                _add_shifts(genes, index, both, moved, part.which)
    return out


@torch.inference_mode()
def _said(net: FoundationNet, h: Float[Tensor, "cells places dim"], measure: Measure) -> Tensor:
    """What is compared of every gene."""
    return net.expression(h) if measure == "expression" else h


def _edits(before: Sequences, tokens: np.ndarray, n_tokens: int, how: Reading, kind: Perturbation) -> _Edits:
    """All that can be made of a batch."""
    column = np.full(n_tokens, -1)
    column[tokens] = np.arange(tokens.size)
    index, is_gene = before.index.cpu().numpy(), before.genes.cpu().numpy()
    cell, place = np.nonzero((column[index] >= 0) & is_gene)
    which = column[index[cell, place]]
    if kind == "deletion":
        left = is_gene.sum(axis=1)[cell] > (not how.flag)  # nothing is left of a cell with one gene
        return _Edits(cell[left], place[left], which[left])
    at = np.full((index.shape[0], tokens.size), NOWHERE)
    at[cell, which] = place
    return _Edits(*(part.ravel() for part in (np.indices(at.shape)[0], at, np.indices(at.shape)[1])))


def _edited(
    cells: CellTokens, rows: np.ndarray, place: np.ndarray, token: np.ndarray, n_places: int, how: Reading,
    kind: Perturbation,
) -> tuple[Sequences, Int64[Tensor, "cells places"]]:  # fmt: skip
    """Edited sequences, the value of a perturbed gene still 0, and the place that every token had before (-1: that gene)."""
    old = cells.length[rows]
    taken_out = kind == "deletion" and not how.flag
    if taken_out:
        length = old - 1
        places = np.arange(length.max())
        source = places + (places >= place[:, None])
    else:
        length = np.minimum(np.where(place < NOWHERE, old, old + 1), n_places)
        places = np.arange(length.max())
        source = places - (places > how.front)
        source = source + ((source >= place[:, None]) & (places > how.front))
        ends = places >= (length - how.back)[:, None]
        source = np.where(ends, places + (old - length)[:, None], source)
    x = padded(cells, rows, np.maximum(cells.starts[rows][:, None] + source, 0), length, how)
    if not taken_out:
        x.index[:, how.front] = torch.from_numpy(token + how.flag).to(x.index.device)
        if x.values is not None:
            x.values[:, how.front] = 0
        source[:, how.front] = -1
    return x, torch.from_numpy(source).to(x.index.device)


def _add_shifts(
    genes: GeneSums, index: Tensor, both: Bool[Tensor, "cells places"], moved: Tensor, which: np.ndarray
) -> None:
    """Add the shifts of genes to the sums, at (token, perturbed gene)."""
    flat = (index * genes.total.shape[1] + torch.from_numpy(which).to(index.device)[:, None])[both]
    genes.total.view(-1).index_add_(0, flat, moved[both].double())
    genes.seen.view(-1).index_add_(0, flat, genes.seen.new_ones(flat.numel()))


def _pooled(h: Tensor, genes: Tensor, how: Reading) -> Float[Tensor, "cells dim"]:
    if how.pool == "cls":
        return h[:, : how.front].mean(dim=1)
    return h.masked_fill(~genes[..., None], 0).sum(dim=1) / genes.sum(dim=1, keepdim=True)
