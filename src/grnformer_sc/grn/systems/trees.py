"""Scores of TF -> gene links from ensembles of trees: GRNBoost2 and GENIE3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float

from ..._core.rng import seeds_for
from .._kernels.forest import forest_genes
from ..boosting import Binned, BoostSettings, bin_columns, blocks_of, boost_block, run_blocks
from ..links import Pools, Work

GRNBOOST2 = BoostSettings(n_trees=5000, rate=0.01, max_features=0.1, subsample=0.9)
N_TREES, N_BINS = 1000, 256  # of a forest of GENIE3, and of its features
FOREST_PAIRS = 1_000  # candidate pairs per block of genes
BOOST_PAIRS = 4_000


def grnboost2(pools: Pools, work: Work) -> Float[np.ndarray, "tfs genes"]:
    """Importance x number of trees of stochastic gradient boosting on all TFs (Moerman et al. 2019).

    Its settings, on binned values; boosting stops when the trees no longer help the cells that they left out, each tree
    measured on the same cells before and after it.
    """
    columns = pools.for_tfs[0][:, pools.tfs]
    features = bin_columns(sp.csc_matrix(columns - columns.min(axis=0)), GRNBOOST2.n_bins)
    return _of_all_pairs(_boost, pools, work, features, limit=BOOST_PAIRS, title="grnboost2")


def genie3(pools: Pools, work: Work) -> Float[np.ndarray, "tfs genes"]:
    """Variance of a gene that its TFs explain in a random forest of 1,000 trees (Huynh-Thu et al. 2010).

    The gene has variance 1, trees are grown on bootstrap samples until their leaves are pure, and a split sees the square
    root of the number of TFs, in at most 256 bins.
    """
    columns = pools.for_tfs[0][:, pools.tfs]
    binned = bin_columns(sp.csc_matrix(columns - columns.min(axis=0)), N_BINS)
    dense = sp.csc_matrix((binned.bins, binned.indices, binned.indptr), columns.shape).toarray()
    return _of_all_pairs(_grow, pools, work, np.ascontiguousarray(dense.T), limit=FOREST_PAIRS, title="genie3")


def _of_all_pairs(
    function: Callable[..., np.ndarray], pools: Pools, work: Work, features: Any, *, limit: int, title: str
) -> Float[np.ndarray, "tfs genes"]:
    """Scores of every TF for every gene but itself, in blocks of genes."""
    x, tfs = pools.for_tfs[0], pools.tfs
    gene, tf = np.nonzero((tfs[:, None] != np.arange(x.shape[1])).T)
    start = np.searchsorted(gene, np.arange(x.shape[1] + 1)).astype(np.int64)
    shared = start, tf, np.ascontiguousarray(x.T), seeds_for(work.root, title, pools.genes)
    out = np.zeros((tfs.size, x.shape[1]), dtype=np.float32)
    out[tf, gene] = run_blocks(
        function, blocks_of(np.diff(start), limit=limit), features, *shared, n_jobs=work.n_jobs, title=title,
        checkpoint=work.checkpoint.of(title, tfs, *shared),
    )  # fmt: skip
    return out


def _boost(
    first: int, last: int, features: Binned, start: np.ndarray, tf: np.ndarray, target: np.ndarray, seeds: np.ndarray
) -> Float[np.ndarray, " pairs"]:
    offsets = start[first : last + 1] - start[first]
    own = tf[start[first] : start[last]]
    share, trees, _ = boost_block(features, offsets, own, target[first:last], seeds[first:last], GRNBOOST2)
    return share * np.repeat(trees, np.diff(offsets)).astype(np.float32)


def _grow(
    first: int, last: int, columns: np.ndarray, start: np.ndarray, tf: np.ndarray, target: np.ndarray, seeds: np.ndarray
) -> Float[np.ndarray, " pairs"]:
    own = tf[start[first] : start[last]]
    out = np.zeros(own.size, dtype=np.float32)
    offsets = start[first : last + 1] - start[first]
    forest_genes(columns, offsets, own, target[first:last], seeds[first:last], N_TREES, out)
    return out
