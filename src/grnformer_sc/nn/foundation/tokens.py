"""Genes of cells in the order of a score, cut and framed, for all cells of a block at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int, Int64

RADIX = 2**16  # numpy sorts integers of 16 bits in linear time


def ranked(
    score: Float[np.ndarray, " entries"], indptr: Int[np.ndarray, " edges"], limit: int
) -> tuple[Int64[np.ndarray, " kept"], Int64[np.ndarray, " cells"]]:
    """Entries of every row of a sparse matrix by falling score, at most `limit`; and how many of each row.

    Ties are in the order of the columns.
    """
    n_cells, size = indptr.size - 1, np.diff(indptr).astype(np.int64)
    row = np.repeat(np.arange(n_cells, dtype=np.uint16 if n_cells <= RADIX else np.int64), size)
    order = np.argsort(-score, kind="stable")
    order = order[np.argsort(row[order], kind="stable")]
    rank = np.arange(order.size) - np.repeat(indptr[:-1], size)
    kept = np.minimum(size, limit)
    return order[rank < np.repeat(kept, size)], kept


def with_zeros(counts: sp.csr_matrix, columns: Int64[np.ndarray, " columns"]) -> sp.csr_matrix:
    """Some columns of a block, zeros stored too; the shape stays."""
    n_cells = counts.shape[0]
    starts = np.arange(n_cells + 1) * columns.size
    return sp.csr_matrix((counts[:, columns].toarray().ravel(), np.tile(columns, n_cells), starts), counts.shape)


def framed(
    inside: np.ndarray,
    length: Int64[np.ndarray, " cells"],
    front: Sequence[int] | Sequence[float],
    back: Sequence[int] | Sequence[float] = (),
) -> tuple[np.ndarray, Int64[np.ndarray, " edges"]]:
    """Put the same tokens (or values) before and behind every sequence; and where each begins, and the end."""
    starts = np.r_[0, np.cumsum(length + len(front) + len(back))].astype(np.int64)
    out = np.empty(starts[-1], dtype=inside.dtype)
    free = np.ones(out.size, dtype=bool)
    for at, token in ((starts[:-1] + i, token) for i, token in enumerate(front)):
        out[at], free[at] = token, False
    for at, token in ((starts[1:] - 1 - i, token) for i, token in enumerate(reversed(back))):
        out[at], free[at] = token, False
    out[free] = inside
    return out, starts
