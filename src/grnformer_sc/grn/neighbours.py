"""Nearest reference cells of other cells, and what these neighbours say about bits and groups."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Float32, Float64, Int64

BLOCK = 2**24  # numbers that are held at once
SPARE = 8  # candidates beyond k: the product in float32 ranks nearly equal distances at random


def nearest(
    query: Float[np.ndarray, "cells comps"],
    reference: Float[np.ndarray, "reference comps"],
    k: int,
    *,
    itself: Int64[np.ndarray, " cells"] | None = None,
) -> tuple[Int64[np.ndarray, "cells neighbours"], Float64[np.ndarray, "cells neighbours"]]:
    """Nearest reference rows of every query row, nearest first (of equals the first row), and their distances.

    `itself` is the reference row that a query row must not find (-1: none). Candidates come from one product per block of
    query rows; their distances are then taken anew, so that a row finds the same neighbours in any block.
    """
    n_rows = reference.shape[0]
    k = min(k, n_rows if itself is None or (itself < 0).all() else n_rows - 1)
    n_found = min(k + SPARE, n_rows)
    step = max(1, BLOCK // max(n_rows, n_found * reference.shape[1]))
    half = (reference**2).sum(axis=1) / 2
    index = np.empty((query.shape[0], k), dtype=np.int64)
    distance = np.empty(index.shape)
    for first in range(0, query.shape[0], step):
        block = slice(first, first + step)
        rough = half - query[block] @ reference.T
        if itself is not None:
            own = np.flatnonzero(itself[block] >= 0)
            rough[own, itself[block][own]] = np.inf
        found = np.argpartition(rough, n_found - 1, axis=1)[:, :n_found]
        apart = query[block, None].astype(np.float64) - reference[found]
        exact = np.where(np.isinf(np.take_along_axis(rough, found, axis=1)), np.inf, (apart**2).sum(axis=2))
        order = np.lexsort((found, exact))[:, :k]
        index[block] = np.take_along_axis(found, order, axis=1)
        distance[block] = np.sqrt(np.take_along_axis(exact, order, axis=1))
    return index, distance


def pooled(
    neighbours: Int64[np.ndarray, "cells neighbours"], values: sp.csr_matrix
) -> Float[np.ndarray, "cells columns"]:
    """Sum of the rows of the neighbours."""
    n_cells, k = neighbours.shape
    ones, indptr = np.ones(neighbours.size, dtype=np.float32), np.arange(0, neighbours.size + 1, k)
    member = sp.csr_matrix((ones, neighbours.ravel(), indptr), shape=(n_cells, values.shape[0]))
    return np.asarray((member @ values).toarray())


def bit_shares(
    neighbours: Int64[np.ndarray, "cells neighbours"], bits: sp.csr_matrix
) -> Float32[np.ndarray, "cells eregulons"]:
    """Share of the neighbours in which a bit is on."""
    return pooled(neighbours, bits.astype(np.float32)) / np.float32(neighbours.shape[1])


def group_votes(
    neighbours: Int64[np.ndarray, "cells neighbours"], codes: Int64[np.ndarray, " reference"], n_groups: int
) -> Int64[np.ndarray, "cells groups"]:
    """Number of neighbours in every group; those of no group (-1) do not vote."""
    of_neighbour = codes[neighbours]
    votes = np.zeros((neighbours.shape[0], n_groups), dtype=np.int64)
    rows = np.arange(neighbours.shape[0])[:, None]
    np.add.at(votes, (rows, np.maximum(of_neighbour, 0)), of_neighbour >= 0)
    return votes
