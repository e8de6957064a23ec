"""Linear scores of TF -> gene links: correlation, partial correlation, ridge."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import cho_factor, cho_solve
from threadpoolctl import threadpool_limits

from ..links import Pools, Work
from ..tf_gene import BLOCK_GENES, correlations, ridge_z, standardise

SMALLEST = 1e-12  # of a variance


def correlation(pools: Pools, _: Work) -> Float[np.ndarray, "tfs genes"]:
    """Size of the Pearson correlation of TF and gene."""
    with threadpool_limits(1):
        return np.abs(correlations(standardise(pools.for_tfs[0]), pools.tfs))


def ridge(pools: Pools, _: Work) -> Float[np.ndarray, "tfs genes"]:
    """|z| of the TF's coefficient in the ridge regression of the gene on all TFs."""
    with threadpool_limits(1):
        return ridge_z(standardise(pools.for_tfs[0]), pools.tfs)


def partial_correlation(pools: Pools, _: Work) -> Float[np.ndarray, "tfs genes"]:
    """Size of the correlation given all other TFs, from correlations shrunk towards 0 (Schaefer & Strimmer 2005)."""
    with threadpool_limits(1):
        z = standardise(pools.for_tfs[0])
        return np.abs(shrunk_partial_correlations(z, pools.tfs, shrinkage(z, pools.tfs))).astype(np.float32)


def shrinkage(z: Float[np.ndarray, "cells genes"], tfs: Int[np.ndarray, " tfs"]) -> float:
    """Intensity lambda = sum Var(r_ij) / sum r_ij^2 over all pairs of a TF and another gene, at most 1.

    With the standardised values z_ki and w_kij = z_ki z_kj the correlation is the mean of w over the n cells, and its
    variance is estimated by sum_k (w_kij - r_ij)^2 n / (n - 1)^3.
    """
    n = z.shape[0]
    variance, square = 0.0, 0.0
    for first in range(0, z.shape[1], BLOCK_GENES):
        block = z[:, first : first + BLOCK_GENES]
        r = z[:, tfs].T @ block / n
        spread = (z[:, tfs] ** 2).T @ block**2 - n * r**2
        other = tfs[:, None] != np.arange(first, first + block.shape[1])
        variance += float(spread[other].sum()) * n / (n - 1) ** 3
        square += float((r[other] ** 2).sum())
    return min(1.0, variance / square) if square > 0 else 1.0


def shrunk_partial_correlations(
    z: Float[np.ndarray, "cells genes"], tfs: Int[np.ndarray, " tfs"], intensity: float
) -> Float[np.ndarray, "tfs genes"]:
    """Partial correlation of every TF and gene given the other TFs; a TF with itself is 0.

    With Q the inverse of the shrunk correlations of the TFs, r those of the TFs with a gene, b = Q r and s = 1 - r'b, the
    precision of TFs and gene together is Q + b b'/s, -b/s and 1/s, so the partial correlation is b / sqrt(s Q_tt + b^2).
    Among TFs it is -Q_tu / sqrt(Q_tt Q_uu).
    """
    n, kept = z.shape[0], 1 - intensity
    among = kept * (z[:, tfs].T @ z[:, tfs]) / n
    np.fill_diagonal(among, 1)
    inverse = cho_solve(cho_factor(among), np.eye(tfs.size))
    spread = np.diag(inverse)[:, None]
    out = np.empty((tfs.size, z.shape[1]))
    for first in range(0, z.shape[1], BLOCK_GENES):
        r = kept * (z[:, tfs].T @ z[:, first : first + BLOCK_GENES]) / n
        b = inverse @ r
        rest = np.maximum(1 - (r * b).sum(axis=0), SMALLEST)
        out[:, first : first + BLOCK_GENES] = b / np.sqrt(spread * rest + b**2)
    out[:, tfs] = -inverse / np.sqrt(spread * spread.T)
    out[np.arange(tfs.size), tfs] = 0
    return out
