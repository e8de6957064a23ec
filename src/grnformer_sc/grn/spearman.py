"""Spearman correlation of region-gene pairs from nonzeros only."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from ._kernels.spearman import dense_ranks, pair_products, shifted_ranks
from .boosting import run_blocks

BLOCK_GENES = 512


def spearman_pairs(
    expression: Float[np.ndarray, "cells genes"],
    accessibility: sp.csc_matrix,
    gene: Int[np.ndarray, " pairs"],
    region: Int[np.ndarray, " pairs"],
    *,
    n_jobs: int,
) -> Float[np.ndarray, " pairs"]:
    """Spearman correlation of every (gene, region) pair; `gene` must be sorted.

    All zeros of a column share one rank; subtracting it keeps the ranks as sparse as the counts and changes no
    correlation. Pairs with a constant member get 0.
    """
    itself = np.arange(expression.shape[1])[None]
    return spearman_swapped(expression, accessibility, gene, region, itself, n_jobs=n_jobs)[:, 0]


def spearman_swapped(
    expression: Float[np.ndarray, "cells genes"],
    accessibility: sp.csc_matrix,
    gene: Int[np.ndarray, " pairs"],
    region: Int[np.ndarray, " pairs"],
    donors: Int[np.ndarray, "runs genes"],
    *,
    n_jobs: int,
) -> Float[np.ndarray, "pairs runs"]:
    """Correlations where every gene has the expression of another one in each run; regions are ranked once for all runs."""
    n_genes = expression.shape[1]
    start = np.searchsorted(gene, np.arange(n_genes + 1))
    blocks = [(a, min(a + BLOCK_GENES, n_genes)) for a in range(0, n_genes, BLOCK_GENES)]
    shared = expression, accessibility, start, gene, region, donors
    found = run_blocks(_correlate, blocks, *shared, n_jobs=n_jobs, title="region-gene correlation")
    return found.reshape(-1, len(donors))


def _correlate(  # noqa: PLR0917  (called by joblib, which sends arguments by place)
    first: int, last: int, expression: np.ndarray, accessibility: sp.csc_matrix, start: np.ndarray, gene: np.ndarray,
    region: np.ndarray, donors: np.ndarray,
) -> Float[np.ndarray, "pairs runs"]:  # fmt: skip
    own = slice(start[first], start[last])
    used, local = np.unique(region[own], return_inverse=True)
    sub = accessibility[:, used]
    rank, deviation = shifted_ranks(sub.indptr, sub.data, sub.shape[0])
    found = np.empty((local.size, len(donors)), dtype=np.float32)
    for run, donor in enumerate(donors[:, first:last]):
        standard = dense_ranks(np.ascontiguousarray(expression[:, donor].T))
        found[:, run] = pair_products(standard, sub.indptr, sub.indices, rank, deviation, gene[own] - first, local)
    return found
