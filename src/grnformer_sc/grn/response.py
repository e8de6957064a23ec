"""How genes answer to their TFs: ridge coefficients of every group, or boosted trees; both along the network alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int, UInt64
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

from .._core.logging import progress
from .._core.rows import Rows
from ._kernels.moments import add_moments
from .embedding import log_normalise
from .wiring import Wiring

PENALTY = 0.05  # ridge, in units of the variance of each TF
POOLED_CELLS = 1000  # that the other groups stand for in the fit of a group; chosen on simulator seeds 1 and 2
SMALLEST_VARIANCE = 1e-9  # of a TF whose coefficient can be known
FITTED_CELLS = 3000  # cells that trees are grown on, where every group has its share
LEAST_CELLS = 500  # of a group at most, where there are many groups
BLOCK_GENES = 50  # grown by one task: as long as a process takes to start
TREES = {"max_iter": 50, "learning_rate": 0.2, "max_leaf_nodes": 8, "early_stopping": False}

# expression (cells x genes), its change so far, and the group of every cell -> the change one link further on
Response: TypeAlias = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class Cells:
    """Counts of some genes, the total of all genes in every cell, and its group (-1: none)."""

    counts: Rows
    depth: Float[np.ndarray, " cells"]
    codes: Int[np.ndarray, " cells"]
    n_groups: int

    def blocks(self) -> Iterator[tuple[int, sp.csr_matrix]]:
        """Log-normalised expression in blocks of cells."""
        for first, part in self.counts.blocks():
            yield first, self._normalised(first, part)

    def tasks(self) -> Iterator[tuple[int, Callable[[], sp.csr_matrix]]]:
        """The same for threads."""
        for first, load in self.counts.tasks():
            yield first, partial(self._loaded, first, load)

    def take(self, rows: Int[np.ndarray, " taken"]) -> Float[np.ndarray, "taken genes"]:
        """Log-normalised expression of some cells (ascending), dense."""
        return log_normalise(self.counts.take(rows), size=self.depth[rows]).toarray().astype(np.float64)

    def _loaded(self, first: int, load: Callable[[], sp.csr_matrix]) -> sp.csr_matrix:
        return self._normalised(first, load())

    def _normalised(self, first: int, part: sp.csr_matrix) -> sp.csr_matrix:
        return log_normalise(part, size=self.depth[first : first + part.shape[0]])


@dataclass(frozen=True, slots=True)
class Moments:
    """Means of groups, ranges over all cells, and centred sums of products: of TFs, and of the ends of every link."""

    n_cells: Int[np.ndarray, " groups"]
    mean: Float[np.ndarray, "groups genes"]
    low: Float[np.ndarray, " genes"]
    high: Float[np.ndarray, " genes"]
    tfs: Int[np.ndarray, " tfs"]
    gram: Float[np.ndarray, "groups tfs tfs"]
    cross: Float[np.ndarray, "groups links"]


def moments_of(cells: Cells, wiring: Wiring) -> Moments:
    """Read all cells once, in blocks; nothing of the size cells x genes is held."""
    tfs = np.unique(wiring.tf)
    n_genes, n_groups = wiring.n_genes, cells.n_groups
    place = np.full(n_genes, -1, dtype=np.int64)
    place[tfs] = np.arange(tfs.size)
    total, n_seen = np.zeros((n_groups, n_genes)), np.zeros(n_genes, dtype=np.int64)
    low, high = np.full(n_genes, np.inf), np.zeros(n_genes)
    gram, cross = np.zeros((n_groups, tfs.size, tfs.size)), np.zeros((n_groups, wiring.tf.size))
    linked = place, wiring.start, place[wiring.tf]
    working = np.zeros(tfs.size), np.zeros(tfs.size, dtype=np.int64)
    for first, part in cells.blocks():
        codes = cells.codes[first : first + part.shape[0]]
        arrays = part.indptr, part.indices, part.data, codes
        add_moments(*arrays, *linked, total, low, high, n_seen, gram, cross, *working)
    n_cells = np.bincount(cells.codes, minlength=n_groups)
    mean = total / np.maximum(n_cells, 1)[:, None]
    gram -= n_cells[:, None, None] * mean[:, tfs, None] * mean[:, None, tfs]
    cross -= n_cells[:, None] * mean[:, wiring.tf] * mean[:, wiring.gene]
    low[n_seen < cells.codes.size] = 0
    return Moments(n_cells, mean, low, high, tfs, gram, cross)


def linear_response(moments: Moments, wiring: Wiring) -> Response:
    """The change of a gene is the sum over its TFs of coefficient times change."""
    coefficients = ridge_coefficients(moments, wiring)
    shape = wiring.n_genes, wiring.n_genes
    matrices = [sp.csr_matrix((own, (wiring.tf, wiring.gene)), shape) for own in coefficients]

    def respond(_: np.ndarray, change: np.ndarray, codes: np.ndarray) -> np.ndarray:
        out = np.empty_like(change)
        for group in np.unique(codes):
            out[codes == group] = change[codes == group] @ matrices[group]
        return out

    return respond


def ridge_coefficients(
    moments: Moments, wiring: Wiring, *, penalty: float = PENALTY, pooled_cells: float = POOLED_CELLS
) -> Float[np.ndarray, "groups links"]:
    """Coefficients of every gene on the TFs whose links hold in a group; 0 for links that do not.

    With the covariance C_g of the n_g cells of a group and the mean C of these over all cells, both from deviations from
    the mean of the group, the fit is that to (n_g C_g + k C) / (n_g + k): a normal prior centred at the coefficients of
    all groups that weighs as much as k cells. Large groups speak for themselves, small ones lean on the others.
    """
    weight = moments.n_cells + pooled_cells
    share = pooled_cells / max(int(moments.n_cells.sum()), 1)
    gram = (moments.gram + share * moments.gram.sum(axis=0)) / weight[:, None, None]
    cross = (moments.cross + share * moments.cross.sum(axis=0)) / weight[:, None]
    start, rows = wiring.start, np.searchsorted(moments.tfs, wiring.tf)
    out = np.zeros(cross.shape)
    with threadpool_limits(1):
        for gene in np.unique(wiring.gene):
            own = slice(start[gene], start[gene + 1])
            a = gram[:, rows[own, None], rows[own]]
            variance = np.diagonal(a, axis1=1, axis2=2)
            known = wiring.holds[own].T & (variance > SMALLEST_VARIANCE)
            a = np.where(known[:, :, None] & known[:, None, :], a, 0)
            diagonal = np.arange(a.shape[1])
            a[:, diagonal, diagonal] = np.where(known, variance * (1 + penalty), 1)
            out[:, own] = np.linalg.solve(a, np.where(known, cross[:, own], 0)[:, :, None])[:, :, 0]
    return out


def sample_evenly(codes: Int[np.ndarray, " cells"], n_groups: int, rng: np.random.Generator) -> np.ndarray:
    """Cells of every group (ascending): equal numbers, or all where there are fewer."""
    most = max(LEAST_CELLS, FITTED_CELLS // n_groups)
    return np.sort(np.concatenate([rng.permutation(np.flatnonzero(codes == g))[:most] for g in range(n_groups)]))


def boosted_response(
    x: Float[np.ndarray, "cells genes"], wiring: Wiring, seeds: UInt64[np.ndarray, " genes"], *, n_jobs: int
) -> Response:
    """The change of a gene is what its trees say with its TFs changed, minus what they say without.

    One set of trees per gene on all TFs of its links. In a group where a link does not hold, its TF stays as it is.
    """
    targets, start = np.unique(wiring.gene), wiring.start
    parents = {int(gene): wiring.tf[start[gene] : start[gene + 1]] for gene in targets}
    blocks = [targets[a : a + BLOCK_GENES].tolist() for a in range(0, targets.size, BLOCK_GENES)]
    # processes: scikit-learn sets the filters of warnings while it bins, and threads share these
    jobs = Parallel(n_jobs=min(n_jobs, max(len(blocks), 1)), return_as="generator")
    tasks = (delayed(_grow)(x, block, [parents[gene] for gene in block], seeds[block], TREES) for block in blocks)
    grown = [trees for part in progress(jobs(tasks), title="boosting", total=len(blocks)) for trees in part]
    forest = dict(zip(targets.tolist(), grown, strict=True))
    holds = {gene: wiring.holds[start[gene] : start[gene + 1]] for gene in parents}

    def respond(x: np.ndarray, change: np.ndarray, codes: np.ndarray) -> np.ndarray:
        out = np.zeros_like(change)
        with threadpool_limits(1, user_api="openmp"):
            for gene, trees in forest.items():
                shift = change[:, parents[gene]] * holds[gene].T[codes]
                moved = np.flatnonzero(shift.any(axis=1))
                if moved.size:
                    before = x[np.ix_(moved, parents[gene])]
                    out[moved, gene] = trees.predict(before + shift[moved]) - trees.predict(before)
        return out

    return respond


def _grow(
    x: np.ndarray, genes: list[int], parents: list[np.ndarray], seeds: np.ndarray, trees: dict[str, Any]
) -> list[Any]:
    from sklearn.ensemble import HistGradientBoostingRegressor

    with threadpool_limits(1, user_api="openmp"):
        return [
            HistGradientBoostingRegressor(**trees, random_state=int(seed % 2**32)).fit(x[:, tfs], x[:, gene])
            for gene, tfs, seed in zip(genes, parents, seeds, strict=True)
        ]
