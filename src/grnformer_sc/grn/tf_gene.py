"""TF -> gene links: ridge for all genes at once, boosting on the screened TFs, correlation for the sign."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int
from scipy.linalg import cho_factor, cho_solve
from scipy.stats import rankdata
from threadpoolctl import threadpool_limits

from .._core.checkpoint import Checkpoint
from .boosting import BoostSettings, bin_columns, blocks_of, boost_block, run_blocks

PENALTY = 0.05  # ridge penalty on standardised expression, in units of the number of cells
NO_CHECKPOINT = Checkpoint()
SCREENED = 40  # TFs per gene that boosting gets to see
BLOCK_GENES = 2048
SMALLEST_VARIANCE = 1e-3


@dataclass(frozen=True, slots=True)
class TfGeneLinks:
    """TF -> gene scores as dense TFs x genes arrays (a TF never scores itself: 0).

    Attributes
    ----------
    importance
        Combined score in [0, 1]: rank among all pairs of the boosting share times the square root of |z|.
    ridge, boosting
        |z| of the ridge coefficient; share of the boosting importance of a gene (0 where a TF was screened out).
    rho
        Pearson correlation; gives the sign.
    """

    importance: Float[np.ndarray, "tfs genes"]
    ridge: Float[np.ndarray, "tfs genes"]
    boosting: Float[np.ndarray, "tfs genes"]
    rho: Float[np.ndarray, "tfs genes"]


def tf_gene_links(
    expression: Float[np.ndarray, "cells genes"],
    tfs: Int[np.ndarray, " tfs"],
    seeds: np.ndarray,
    *,
    settings: BoostSettings,
    n_jobs: int,
    screened: int = SCREENED,
    checkpoint: Checkpoint = NO_CHECKPOINT,
) -> TfGeneLinks:
    """Score every TF for every gene.

    Ridge on all TFs (one Cholesky factor serves all genes; the fit without the gene itself is read from a column of the
    inverse) screens the TFs of each gene; stochastic gradient boosting then sees only those. Ridge finds additive effects
    and separates correlated TFs, boosting finds thresholds and interactions, so both are kept. The root weakens
    ridge, which suffers on metacells (on simulations their product is better than either on single cells, and worse than
    boosting on metacells; with the root it is never much worse than the best).
    """
    x = standardise(expression)
    with threadpool_limits(1):
        rho = (x[:, tfs].T @ x / x.shape[0]).astype(np.float32)
        ridge = ridge_z(x, tfs)
    itself = tfs[:, None] == np.arange(x.shape[1])[None, :]
    rho[itself], ridge[itself] = 0, 0
    candidates = _screen(ridge, np.abs(rho), itself, screened)
    boosting = _boost_screened(expression, tfs, candidates, seeds, settings, n_jobs, checkpoint)
    both = np.sqrt(ridge) * boosting
    importance = np.where(both > 0, _share_below(both), 0).astype(np.float32)
    return TfGeneLinks(importance=importance, ridge=ridge, boosting=boosting, rho=rho)


def standardise(x: Float[np.ndarray, "cells genes"]) -> Float[np.ndarray, "cells genes"]:
    """Centre and scale every gene to variance 1; constant genes become 0."""
    centred = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
    deviation = centred.std(axis=0)
    return np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 1e-9)


def ridge_z(
    x: Float[np.ndarray, "cells genes"], tfs: Int[np.ndarray, " tfs"], *, penalty: float = PENALTY
) -> Float[np.ndarray, "tfs genes"]:
    """|z| of every TF's ridge coefficient for every gene, a TF gene being left out of its own regression.

    With P = (X'X/n + penalty I)^-1 the fit without TF g is B = -P[:, g] / P[g, g], its inverse
    P - P[:, g] P[g, :] / P[g, g], and its residual variance 1 / P[g, g].
    """
    n = x.shape[0]
    xt = x[:, tfs]
    gram = xt.T @ xt / n
    gram[np.diag_indices_from(gram)] += penalty
    inverse = cho_solve(cho_factor(gram), np.eye(tfs.size))
    spread = np.diag(inverse).copy()
    z = np.empty((tfs.size, x.shape[1]), dtype=np.float32)
    for first in range(0, x.shape[1], BLOCK_GENES):
        block = x[:, first : first + BLOCK_GENES]
        covariance = xt.T @ block / n
        coefficient = inverse @ covariance
        variance = np.maximum((block**2).mean(axis=0) - (coefficient * covariance).sum(axis=0), SMALLEST_VARIANCE)
        z[:, first : first + BLOCK_GENES] = np.abs(coefficient) / np.sqrt(np.outer(spread, variance))
    own = np.maximum(spread[:, None] - inverse**2 / spread, 1e-12)
    z[:, tfs] = np.abs(inverse) / spread / np.sqrt(own / spread)
    z[np.arange(tfs.size), tfs] = 0
    return z


def _screen(
    ridge: Float[np.ndarray, "tfs genes"],
    rho: Float[np.ndarray, "tfs genes"],
    itself: Bool[np.ndarray, "tfs genes"],
    screened: int,
) -> Bool[np.ndarray, "tfs genes"]:
    """Candidates per gene: the best TFs by ridge and the best by |correlation|, half of the places each."""
    n_tfs = ridge.shape[0]
    if n_tfs <= screened:
        return ~itself
    keep = np.zeros(ridge.shape, dtype=bool)
    for score in (ridge, rho):
        best = np.argpartition(-score, screened // 2, axis=0)[: screened // 2]
        np.put_along_axis(keep, best, values=True, axis=0)
    return keep & ~itself


def _boost_screened(
    expression: Float[np.ndarray, "cells genes"],
    tfs: Int[np.ndarray, " tfs"],
    candidates: Bool[np.ndarray, "tfs genes"],
    seeds: np.ndarray,
    settings: BoostSettings,
    n_jobs: int,
    checkpoint: Checkpoint,
) -> Float[np.ndarray, "tfs genes"]:
    gene, tf = np.nonzero(candidates.T)
    start = np.searchsorted(gene, np.arange(candidates.shape[1] + 1)).astype(np.int64)
    columns = expression[:, tfs]
    features = bin_columns(sp.csc_matrix(columns - columns.min(axis=0)), settings.n_bins)
    target = np.ascontiguousarray(expression.T)
    kept = checkpoint.of("tf_gene", target, tfs, gene, tf, seeds, settings)

    def fit(first: int, last: int) -> Float[np.ndarray, " pairs"]:
        return kept.keep(f"{first}-{last}", lambda: boost(first, last))

    def boost(first: int, last: int) -> Float[np.ndarray, " pairs"]:
        own = slice(start[first], start[last])
        offsets = start[first : last + 1] - start[first]
        return boost_block(features, offsets, tf[own], target[first:last], seeds[first:last], settings)[0]

    parts = run_blocks(fit, blocks_of(np.diff(start), limit=2_000), n_jobs=n_jobs, title="TF -> gene")
    out = np.zeros(candidates.shape, dtype=np.float32)
    out[tf, gene] = np.concatenate([np.empty(0, np.float32), *parts])
    return out


def _share_below(score: Float[np.ndarray, "tfs genes"]) -> Float[np.ndarray, "tfs genes"]:
    """Rank of every value among all, in (0, 1]; equal values share their mean rank."""
    return (rankdata(score) / score.size).reshape(score.shape)
