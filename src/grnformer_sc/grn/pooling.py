"""Which cells the regressions see, and pools of neighbouring cells where single ones are too sparse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int, UInt64
from sklearn.neighbors import NearestNeighbors

from .metacells import DEEP, apportion

FRAGMENTS = 2_000  # counts that a pool should reach
MOST_NEIGHBOURS = 100
DEEP_ROWS = 3000  # deep cells that links are fitted to, where there are more
POOLS = 1000  # pools of shallow cells for region -> gene links
FEWEST_POOLED, MOST_POOLED = 20, 100  # cells of such a pool
SHALLOW_ROWS = 5000  # shallow cells that TF -> gene links are fitted to


@dataclass(frozen=True, slots=True)
class RowPlan:
    """Rows of the regressions.

    `n_pools` pools of `n_neighbours` cells (1: single cells) for region -> gene links; `n_single` single cells for TF ->
    gene links, 0 where these use the same rows.
    """

    n_pools: int
    n_neighbours: int
    n_single: int


def plan_rows(n_cells: int, depth: float) -> RowPlan:
    """Deep cells are used as they are, up to 3,000 of them; of shallow cells accessibility is pooled.

    `depth` is the median of counts per cell in the sparser modality. On simulations pooling loses TF -> gene links at any
    depth (average precision .26 against .19 on 2,000 cells of 250 RNA and 90 ATAC counts), and with them repeatability;
    region -> gene links are found better on pools where cells are shallow (.21 against .15) and on single cells where
    they are deep (.42 against .40).
    """
    if depth >= DEEP:
        return RowPlan(min(n_cells, DEEP_ROWS), 1, 0)
    return RowPlan(min(n_cells, POOLS), cells_of_pool(n_cells, depth), min(n_cells, SHALLOW_ROWS))


def cells_of_pool(n_cells: int, depth: float) -> int:
    """Cells of a pool: the more, the shallower cells are and the more there are, for then neighbours are more alike.

    The rule was chosen on simulations, benchmarks/bench_pools.py has others.
    """
    return int(np.clip(2 * n_cells / max(depth, 1), FEWEST_POOLED, MOST_POOLED))


def sample_cells(codes: Int[np.ndarray, " cells"], n: int, rng: np.random.Generator) -> Int[np.ndarray, " sampled"]:
    """Draw so many cells (ascending), every group by its size and none left out."""
    drawn = [rng.permutation(own)[:wanted] for own, wanted in _shares(codes, n)]
    return np.sort(np.concatenate(drawn))


def cells_by_seed(
    codes: Int[np.ndarray, " cells"], n: int, seeds: UInt64[np.ndarray, " cells"]
) -> Int[np.ndarray, " drawn"]:
    """Take those with the smallest seeds, else as `sample_cells`.

    With seeds hashed from the names of the cells, the same ones are drawn in any order of the cells, and nearly the same
    ones when a few cells come or go: a network changes by what these cells say, not by another draw of all rows.
    """
    drawn = [own[np.argsort(seeds[own], kind="stable")[:wanted]] for own, wanted in _shares(codes, n)]
    return np.sort(np.concatenate(drawn))


def _shares(codes: Int[np.ndarray, " cells"], n: int) -> Iterator[tuple[np.ndarray, int]]:
    """Cells of every group, and how many of them are drawn."""
    size = np.bincount(codes)
    wanted = apportion(size, max(n, int((size > 0).sum())))
    for group in range(size.size):
        yield np.flatnonzero(codes == group), int(wanted[group])


def neighbour_pools(
    embedding: Float[np.ndarray, "cells comps"],
    codes: Int[np.ndarray, " cells"],
    centres: Int[np.ndarray, " pools"],
    n_neighbours: int,
) -> sp.csr_matrix:
    """Pools x cells: each centre with its nearest neighbours of the same group (itself among them)."""
    if n_neighbours == 1:
        ones = np.ones(centres.size, dtype=np.float32)
        return sp.csr_matrix((ones, (np.arange(centres.size), centres)), (centres.size, codes.size))
    rows, members = [], []
    for group in np.unique(codes[centres]):
        cells, own = np.flatnonzero(codes == group), np.flatnonzero(codes[centres] == group)
        search = NearestNeighbors(n_neighbors=min(n_neighbours, cells.size)).fit(embedding[cells])
        found = search.kneighbors(embedding[centres[own]], return_distance=False)
        rows.append(np.repeat(own, found.shape[1]))
        members.append(cells[found].ravel())
    row, member = np.concatenate(rows), np.concatenate(members)
    return sp.csr_matrix((np.ones(row.size, dtype=np.float32), (row, member)), (centres.size, codes.size))


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
