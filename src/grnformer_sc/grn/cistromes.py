"""From hits of motifs in database regions to hits of TFs in the regions of the data."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

ROWS_AT_ONCE = 4096


def strongest(
    row: Int[np.ndarray, " hits"],
    column: Int[np.ndarray, " hits"],
    value: Float[np.ndarray, " hits"],
    shape: tuple[int, int],
) -> sp.csr_matrix:
    """CSR of the largest value of every (row, column)."""
    order = np.lexsort((-value, column, row))
    row, column, value = row[order], column[order], value[order]
    first = np.r_[True, (row[1:] != row[:-1]) | (column[1:] != column[:-1])] if row.size else np.empty(0, bool)
    return sp.csr_matrix((value[first].astype(np.float32), (row[first], column[first])), shape)


def max_product(a: sp.csr_matrix, b: sp.csr_matrix) -> sp.csr_matrix:
    """Like the product of two non-negative matrices, with the largest instead of the sum of the terms."""
    parts = [sp.csr_matrix((0, b.shape[1]), dtype=np.float32)]
    for first in range(0, a.shape[0], ROWS_AT_ONCE):
        part = a[first : first + ROWS_AT_ONCE].tocoo()
        count = np.diff(b.indptr)[part.col]
        at = np.repeat(b.indptr[part.col] - (np.cumsum(count) - count), count) + np.arange(count.sum())
        value = np.repeat(part.data, count) * b.data[at]
        parts.append(strongest(np.repeat(part.row, count), b.indices[at], value, (part.shape[0], b.shape[1])))
    return sp.csr_matrix(sp.vstack(parts))
