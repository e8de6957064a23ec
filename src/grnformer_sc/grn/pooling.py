"""Accessibility pooled over neighbouring cells: single-cell ATAC is too sparse for an AUC."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int
from sklearn.neighbors import NearestNeighbors

FRAGMENTS = 2_000  # counts that a pool should reach
MOST_NEIGHBOURS = 100


def pooling_matrix(
    depth: Float[np.ndarray, " cells"], embedding: Float[np.ndarray, "cells comps"], *, n_jobs: int
) -> tuple[sp.csr_matrix, Int[np.ndarray, " cells"]]:
    """Boolean cells x cells: each cell and its nearest neighbours until they hold 2,000 counts, at most 100 cells.

    Returns the matrix (multiply it with the counts, in chunks) and the pool size of every cell.
    """
    n_cells = depth.size
    k = min(MOST_NEIGHBOURS, n_cells)
    neighbours = (
        NearestNeighbors(n_neighbors=k, n_jobs=n_jobs).fit(embedding).kneighbors(embedding, return_distance=False)
    )
    itself = neighbours == np.arange(n_cells)[:, None]
    missing = ~itself.any(axis=1)  # more than k identical cells
    neighbours[missing, -1] = np.flatnonzero(missing)
    first = np.argmax(neighbours == np.arange(n_cells)[:, None], axis=1)
    neighbours[np.arange(n_cells), first] = neighbours[:, 0]
    neighbours[:, 0] = np.arange(n_cells)
    reached = np.cumsum(depth[neighbours], axis=1)
    size = np.minimum((reached < FRAGMENTS).sum(axis=1) + 1, k)
    used = np.arange(k)[None, :] < size[:, None]
    indptr = np.r_[0, np.cumsum(size)]
    return sp.csr_matrix((np.ones(indptr[-1], np.float32), neighbours[used], indptr), (n_cells, n_cells)), size
