"""What a masked cell still shows: its unmasked counts and the size factor that follows from them alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Float32, Float64, Int64

from .._core.checks import fail
from .._core.rows import Rows, members


@dataclass(frozen=True, slots=True)
class VisibleCounts:
    """Unmasked counts of a batch (CSR), which genes are hidden, and the total count expected without hiding.

    `size` is the visible total divided by the share that the visible genes have of all counts in the training cells: an
    estimate of the cell's total which no masked count can change.
    """

    counts: sp.csr_matrix
    hidden: Bool[np.ndarray, "cells genes"]
    size: Float64[np.ndarray, " cells"]


def hide(
    rows: sp.csr_matrix, hidden: Bool[np.ndarray, "cells genes"], rates: Float[np.ndarray, " genes"]
) -> VisibleCounts:
    """Remove the hidden counts of a batch and estimate the totals from what is left."""
    row = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    keep = ~hidden[row, rows.indices]
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row[keep], minlength=rows.shape[0]))])
    left = sp.csr_matrix((rows.data[keep], rows.indices[keep], indptr), shape=rows.shape)
    share = rates.sum() - np.where(hidden, rates, 0.0).sum(axis=1)
    total = np.asarray(left.sum(axis=1), dtype=np.float64).ravel()
    size = np.divide(total, share, out=np.zeros_like(total), where=share > 0)
    return VisibleCounts(left, hidden, np.maximum(size, 1.0))  # a cell that shows nothing counts as one molecule


@dataclass(frozen=True, slots=True)
class CountRates:
    """Share of each gene in all counts (sums to 1) and in those of each group, and the mean total count of a cell."""

    genes: Float64[np.ndarray, " genes"]
    groups: Float64[np.ndarray, "groups genes"]
    mean_size: float


def count_rates(
    counts: Rows, codes: Int64[np.ndarray, " cells"], n_groups: int, chosen: Int64[np.ndarray, " chosen"]
) -> CountRates:
    """Add up the counts of the chosen cells in one pass.

    Genes never seen get half a molecule, and groups are shrunk to the overall rates by one mean cell: no rate is zero.
    """
    label = np.full(codes.size, -1, dtype=np.int64)
    label[chosen] = np.where(codes[chosen] >= 0, codes[chosen], n_groups)  # a last row for cells without a group
    sums = np.zeros((n_groups + 1, counts.shape[1]))
    for first, part in counts.blocks():
        own = members(label[first : first + part.shape[0]], n_groups + 1)
        sums += (own @ part.astype(np.float64)).toarray()
    total = sums.sum(axis=0)
    if not total.any():
        raise fail(ValueError, "training needs cells with counts.", "no counts.", "give another layer=.")
    rates = np.maximum(total, 0.5)
    rates, prior, own = rates / rates.sum(), total.sum() / chosen.size, sums[:-1]
    return CountRates(rates, (own + prior * rates) / (own.sum(axis=1, keepdims=True) + prior), float(prior))


def quantile_edges(counts: sp.csr_matrix, n_bins: int) -> Float32[np.ndarray, "cells edges"]:
    """Quantiles of the stored counts of every row, n_bins - 1 of them from the least to the largest (scGPT's bin edges).

    Equal to ``np.quantile(row, np.linspace(0, 1, n_bins - 1))``; rows without counts get zeros.
    """
    per_row = np.diff(counts.indptr)
    row = np.repeat(np.arange(counts.shape[0]), per_row)
    value = np.append(counts.data[np.lexsort((counts.data, row))].astype(np.float64), 0.0)  # a last one for empty rows
    last = np.maximum(per_row - 1, 0)[:, None]
    place = last * np.linspace(0, 1, n_bins - 1)
    low = np.floor(place).astype(np.int64)
    left, right = (value[counts.indptr[:-1, None] + step] for step in (low, np.minimum(low + 1, last)))
    edges = left + (right - left) * (place - low)
    return np.where(per_row[:, None] > 0, edges, 0.0).astype(np.float32)


def thin(visible: VisibleCounts, rng: np.random.Generator) -> VisibleCounts:
    """Thin half of the cells, each to a share from Beta(2, 2), as if they had been sequenced less (scFoundation).

    Molecules are kept independently; the size shrinks as the visible total does.
    """
    n_cells = visible.counts.shape[0]
    share = np.where(rng.random(n_cells) < 0.5, rng.beta(2, 2, n_cells), 1.0)
    before = visible.counts
    kept = rng.binomial(before.data.astype(np.int64), np.repeat(share, np.diff(before.indptr)))
    counts = sp.csr_matrix((kept.astype(before.dtype), before.indices.copy(), before.indptr.copy()), before.shape)
    counts.eliminate_zeros()
    total, left = (np.asarray(x.sum(axis=1), dtype=np.float64).ravel() for x in (before, counts))
    size = visible.size * np.divide(left, total, out=np.ones_like(total), where=total > 0)
    return VisibleCounts(counts, visible.hidden, np.maximum(size, 1.0))
