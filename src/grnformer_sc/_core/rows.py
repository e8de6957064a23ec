"""Matrices of cells read in blocks of rows: in memory, in an open h5ad or zarr file, or in a dask graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float

from .settings import settings


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a matrix as CSR float32 blocks without stored zeros, columns in ascending order.

    Attributes
    ----------
    source
        CSR matrix without stored zeros, or anything with `shape` that slices by rows: an array, a dask array, a matrix on
        disk. What is not in memory is read anew in every pass.
    columns
        Order of the columns, -1 for an empty one; `None` keeps them as they are.
    check
        Called with every block; raises when its values cannot be used. What is in memory is checked once instead.
    """

    source: Any
    columns: np.ndarray | None = None
    check: Callable[[sp.csr_matrix], None] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Cells and columns."""
        n_cols = self.source.shape[1] if self.columns is None else self.columns.size
        return int(self.source.shape[0]), int(n_cols)

    @property
    def in_memory(self) -> bool:
        """Whether all values are held in memory as CSR."""
        return sp.issparse(self.source)

    def block(self, first: int, last: int) -> sp.csr_matrix:
        """Rows `first` to `last` (left out)."""
        return self._finish(self.source[first : min(last, self.shape[0])])

    def blocks(self, size: int | None = None) -> Iterator[tuple[int, sp.csr_matrix]]:
        """All rows in turn: number of the first row, and the block; `settings.chunk_cells` rows by default.

        The partitions of a dask array are computed once each.
        """
        step = size or settings.chunk_cells
        chunks = getattr(self.source, "chunks", None)
        if chunks and isinstance(chunks[0], tuple):  # dask; the chunks of an array on disk are plain numbers
            edges = np.r_[0, np.cumsum(chunks[0])]
        else:
            edges = np.r_[np.arange(0, self.shape[0], step), self.shape[0]]
        for first, last in pairwise(edges.tolist()):
            part = self.block(first, last)
            for a in range(0, last - first, step):
                yield first + a, part if step >= last - first else part[a : a + step]

    def tasks(self) -> Iterator[tuple[int, Callable[[], sp.csr_matrix]]]:
        """All rows for threads: number of the first row, and a call that gives the block.

        What is in memory is cut by the thread that calls; files are read one after the other as tasks are handed out.
        """
        if self.in_memory:
            step = settings.chunk_cells
            yield from ((a, partial(self.block, a, a + step)) for a in range(0, self.shape[0], step))
        else:
            yield from ((first, partial(_itself, part)) for first, part in self.blocks())

    def weighted(self, weights: sp.csr_matrix) -> sp.csr_matrix:
        """Weighted sums of rows; only rows with a weight are read."""
        if self.in_memory:
            return self._finish(sp.csr_matrix(weights @ self.source))
        used = np.unique(weights.indices)
        return sp.csr_matrix(weights[:, used] @ self.take(used))

    def take(self, rows: np.ndarray) -> sp.csr_matrix:
        """Rows of these numbers, in any order, also several times."""
        if self.in_memory:
            return self._finish(self.source[rows])
        unique, place = np.unique(rows, return_inverse=True)
        part = self._finish(getattr(self.source, "oindex", self.source)[unique])
        return part if np.array_equal(unique, rows) else part[place]

    def to_memory(self) -> sp.csr_matrix:
        """Read the whole matrix."""
        return self.block(0, self.shape[0])

    def _finish(self, part: Any) -> sp.csr_matrix:
        if hasattr(part, "compute"):  # dask
            part = part.compute()
        out = part if self.in_memory else clean(part)
        if self.check is not None:
            self.check(out)
        if self.columns is not None:
            return ordered(out, self.columns)
        return out if out.has_sorted_indices else sp.csr_matrix(out.tocsc().tocsr())


def members(codes: np.ndarray, n_codes: int, weights: np.ndarray | None = None) -> sp.csr_matrix:
    """Matrix (codes x rows) that adds up the rows of each code, each times its weight; negative codes are left out."""
    row = np.flatnonzero(codes >= 0)
    value = np.ones(row.size) if weights is None else weights[row]
    return sp.csr_matrix((value, (codes[row], row)), (n_codes, codes.size))


def ordered(x: sp.csr_matrix, columns: np.ndarray) -> sp.csr_matrix:
    """Columns in another order, -1 for an empty one."""
    found = columns >= 0
    out = x.tocsc()[:, columns[found]]
    if not found.all():
        indptr = np.r_[0, np.cumsum(np.bincount(np.flatnonzero(found), np.diff(out.indptr), columns.size))]
        out = sp.csc_matrix((out.data, out.indices, indptr.astype(out.indptr.dtype)), (x.shape[0], columns.size))
    return sp.csr_matrix(out.tocsr())  # rows come out sorted, in linear time


def _itself(part: sp.csr_matrix) -> sp.csr_matrix:
    return part


def row_sums(x: Rows) -> tuple[Float[np.ndarray, " cells"], int]:
    """Sum of every row, and the number of values, in one pass."""
    sums, n_values = [], 0
    for _, part in x.blocks():
        sums.append(np.asarray(part.sum(axis=1), dtype=np.float64).ravel())
        n_values += part.nnz
    return np.concatenate(sums), n_values


def as_rows(x: Rows | sp.csr_matrix) -> Rows:
    """Wrap a matrix in memory; rows stay as they are."""
    return x if isinstance(x, Rows) else Rows(clean(x))


def clean(x: Any) -> sp.csr_matrix:
    """CSR float32 without stored zeros; the input is never changed."""
    out = sp.csr_matrix(x, dtype=np.float32)
    if (out.data == 0).any():
        out = out.copy()
        out.eliminate_zeros()
    return out
