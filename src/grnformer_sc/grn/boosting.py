"""Histogram gradient boosting of many small regressions, one gene at a time, in blocks of genes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int, UInt8
from joblib import Parallel, delayed

from .._core.checkpoint import NO_CHECKPOINT, Checkpoint
from .._core.checks import need_between
from .._core.logging import progress
from ._kernels.boosting import boost_genes, quantile_bins

BLOCK_PAIRS = 5_000  # candidate pairs per block of genes: about a second of work, some MB of bins


@dataclass(frozen=True, slots=True, kw_only=True)
class BoostSettings:
    """Boosting of depth-3 trees on squared error (Friedman 2002); the nodes of a level choose among the same features.

    With `subsample` < 1 boosting stops when the mean improvement over the last `window` trees, each measured on the cells
    that its own tree left out, is negative.
    """

    n_trees: int = 500
    rate: float = 0.01
    max_features: float = 0.1
    subsample: float = 1.0
    window: int = 25
    depth: int = 3
    min_leaf: int = 1
    n_bins: int = 64

    def __post_init__(self) -> None:
        for name in ("rate", "max_features", "subsample"):
            need_between(getattr(self, name), 1e-6, 1, name=name)
        need_between(self.n_bins, 2, 256, name="n_bins")
        need_between(self.depth, 1, 8, name="depth")


REGION_GENE = BoostSettings(n_trees=500, rate=0.01, max_features=0.1, n_bins=32)
# chosen on simulator seeds 1 and 2: better links than with the settings of GRNBoost2, in a seventh of the time
TF_GENE = BoostSettings(n_trees=5000, rate=0.07, max_features=0.3, subsample=0.9, depth=2, n_bins=16)


@dataclass(frozen=True, slots=True)
class Binned:
    """Binned columns: rows with a value (`indices` between two `indptr`), their bins from 1, the largest bin of each.

    `best` and `best_bins` are the same rows and bins, in every column from the highest bin to the lowest.
    """

    indptr: Int[np.ndarray, " features_and_1"]
    indices: Int[np.ndarray, " values"]
    bins: UInt8[np.ndarray, " values"]
    best: Int[np.ndarray, " values"]
    best_bins: UInt8[np.ndarray, " values"]
    top: Int[np.ndarray, " features"]


def bin_columns(x: sp.csc_matrix, n_bins: int) -> Binned:
    """Bin non-negative columns by rank; zeros form a bin of their own and are not stored."""
    bins, best_bins = np.zeros(x.nnz, dtype=np.uint8), np.zeros(x.nnz, dtype=np.uint8)
    best, top = np.zeros_like(x.indices), np.zeros(x.shape[1], dtype=np.int64)
    quantile_bins(x.indptr, x.indices, x.data, x.shape[0], n_bins, bins, top, best, best_bins)
    return Binned(x.indptr, x.indices, bins, best, best_bins, top)


def boost_block(
    features: Binned,
    start: Int[np.ndarray, " genes_and_1"],
    feature: Int[np.ndarray, " pairs"],
    target: Float[np.ndarray, "genes cells"],
    seeds: np.ndarray,
    settings: BoostSettings,
) -> tuple[Float[np.ndarray, " pairs"], Int[np.ndarray, " genes"], Float[np.ndarray, " genes"]]:
    """Boost every gene on its candidate features.

    Returns
    -------
    Importances (sum 1 per gene, or all 0 when nothing was learnt), numbers of trees, and the share of every gene's variance
    that its trees explained, each in the cells that it left out (0 where `subsample` is 1). That is less than they explain
    in new cells, since earlier trees have seen the left-out ones.
    """
    importance = np.zeros(feature.size, dtype=np.float32)
    trees = np.zeros(target.shape[0], dtype=np.int64)
    explained = np.zeros(target.shape[0], dtype=np.float32)
    boost_genes(
        features.indptr, features.indices, features.bins, features.best, features.best_bins, features.top, start,
        feature, np.ascontiguousarray(target, dtype=np.float32), seeds, settings.n_trees, settings.rate,
        settings.max_features, settings.subsample, settings.window, settings.depth, settings.min_leaf, importance, trees,
        explained,
    )  # fmt: skip
    return importance, trees, explained


def blocks_of(work: Int[np.ndarray, " genes"], limit: int = BLOCK_PAIRS) -> list[tuple[int, int]]:
    """Cut genes into consecutive blocks of about `limit` candidate pairs; the cut never changes a result."""
    if work.size == 0:
        return []
    block = np.cumsum(work) // limit
    first = np.flatnonzero(np.r_[True, block[1:] != block[:-1]])
    return list(zip(first.tolist(), [*first[1:].tolist(), work.size], strict=True))


def run_blocks(
    function: Callable[..., Float[np.ndarray, "*any"]],
    blocks: list[tuple[int, int]],
    *shared: Any,
    n_jobs: int,
    title: str,
    checkpoint: Checkpoint = NO_CHECKPOINT,
) -> Float[np.ndarray, "*any"]:
    """Join the results of ``function(first, last, *shared)`` for blocks of genes, along their first axis.

    Blocks are run by joblib: on threads, or where `joblib.parallel_config` sends them (what they share is passed as
    arguments, so that dask sends it to each worker once). Finished blocks are kept in the checkpoint.
    """
    jobs = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator")
    tasks = (delayed(_block)(checkpoint, function, first, last, *shared) for first, last in blocks)
    parts = list(progress(jobs(tasks), title=title, total=len(blocks)))
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


def _block(
    checkpoint: Checkpoint, function: Callable[..., np.ndarray], first: int, last: int, *shared: Any
) -> Float[np.ndarray, "*any"]:
    return checkpoint.keep(f"{first}-{last}", lambda: function(first, last, *shared))
