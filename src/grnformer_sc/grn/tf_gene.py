"""TF -> gene links: ridge for all genes at once, boosting on the screened TFs, correlation for the sign."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int
from scipy.linalg import cho_factor, cho_solve
from scipy.stats import rankdata
from threadpoolctl import threadpool_limits

from .._core.checkpoint import NO_CHECKPOINT, Checkpoint
from .boosting import Binned, BoostSettings, bin_columns, blocks_of, boost_block, run_blocks

PENALTY = 0.05  # ridge penalty on standardised expression, in units of the number of cells
SCREENED = 40  # TFs per gene that boosting gets to see
BLOCK_GENES = 2048
SMALLEST_VARIANCE = 1e-3
SMALLEST_DEVIATION = 1e-9  # of a gene that varies
SMALLEST_SUM = 1e-9  # of a gene or TF without any score: its scores stay 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TfScores:
    """TF -> gene scores of any method as dense TFs x genes arrays (a TF never scores itself: 0).

    Attributes
    ----------
    importance
        Score in [0, 1]: rank among all pairs of what the method computes.
    rho
        Pearson correlation; gives the sign.
    vote
        Score on the method's own scale, by which the links of a network are ordered.
    """

    importance: Float[np.ndarray, "tfs genes"]
    rho: Float[np.ndarray, "tfs genes"]
    vote: Float[np.ndarray, "tfs genes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TfGeneLinks(TfScores):
    """Scores of the default method and its parts.

    `importance` ranks the boosting share times the square root of |z|; `vote` adds the shares of that product and of the
    squared correlation in all TFs of the gene.

    Attributes
    ----------
    ridge, boosting
        |z| of the ridge coefficient; share of the boosting importance of a gene (0 where a TF was screened out).
    """

    ridge: Float[np.ndarray, "tfs genes"]
    boosting: Float[np.ndarray, "tfs genes"]


def tf_gene_links(
    expression: Float[np.ndarray, "cells genes"],
    tfs: Int[np.ndarray, " tfs"],
    seeds: np.ndarray,
    *,
    settings: BoostSettings,
    n_jobs: int,
    screened: int = SCREENED,
    n_targets: int | None = None,
    checkpoint: Checkpoint = NO_CHECKPOINT,
) -> TfGeneLinks:
    """Score every TF for every gene; with `n_targets` only the first columns are boosted, the others get importance 0.

    Ridge on all TFs (one Cholesky factor serves all genes; the fit without the gene itself is read from a column of the
    inverse) screens the TFs of each gene; stochastic gradient boosting then sees only those. Ridge finds additive effects
    and separates correlated TFs, boosting finds thresholds and interactions, so both are kept, and the plain
    correlation beside them (`combine_parts`).
    """
    x = standardise(expression)
    with threadpool_limits(1):
        rho = correlations(x, tfs)
        ridge = ridge_z(x, tfs)
    itself = tfs[:, None] == np.arange(x.shape[1])[None, :]
    candidates = _screen(ridge, np.abs(rho), itself, screened)
    if n_targets is not None:
        candidates[:, n_targets:] = False
    boosting = _boost_screened(expression, tfs, candidates, seeds, settings, n_jobs, checkpoint)
    return combine_parts(ridge=ridge, boosting=boosting, rho=rho)


def combine_parts(
    *,
    ridge: Float[np.ndarray, "tfs genes"],
    boosting: Float[np.ndarray, "tfs genes"],
    rho: Float[np.ndarray, "tfs genes"],
    among: TfGeneLinks | None = None,
) -> TfGeneLinks:
    """Rank all pairs that boosting found, and let two judges vote (on the scale of other links, if given).

    One judge is boosting share x sqrt(ridge |z|), by which pairs are ranked; the root weakens ridge, which suffers on
    metacells. The other is the squared correlation: worse where cells are many, better where they are few. Either gives
    every gene the sum 1, and the votes are their sum: on simulations they order the triplets of a network better than the
    first judge alone. To divide each TF by the size of its votes over all genes helps where all TFs have about as many
    targets, and harms where a few have most of them. Other ways to join the parts: docs/explain/truth.md.
    """
    judges = np.sqrt(ridge) * boosting, rho * rho
    real = judges if among is None else (np.sqrt(among.ridge) * among.boosting, among.rho * among.rho)
    others = None if among is None else real[0]
    importance = np.where(judges[0] > 0, share_below(judges[0], others), 0).astype(np.float32)
    return TfGeneLinks(importance=importance, ridge=ridge, boosting=boosting, rho=rho, vote=_shares(judges, real))


def _shares(judges: tuple[np.ndarray, np.ndarray], real: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Sum of the judges, each in units of what it gives to all TFs of a gene in the real data."""
    first, second = (
        judge / np.maximum(base.sum(axis=0), np.float32(SMALLEST_SUM)) for judge, base in zip(judges, real, strict=True)
    )
    return np.asarray(first + second)


def standardise(x: Float[np.ndarray, "cells genes"]) -> Float[np.ndarray, "cells genes"]:
    """Centre and scale every gene to variance 1; constant genes become 0."""
    out = x.astype(np.float64)
    out -= out.mean(axis=0)
    deviation = out.std(axis=0)
    constant = deviation <= SMALLEST_DEVIATION
    out /= np.where(constant, 1, deviation)
    out[:, constant] = 0
    return out


def correlations(x: Float[np.ndarray, "cells genes"], tfs: Int[np.ndarray, " tfs"]) -> Float[np.ndarray, "tfs genes"]:
    """Pearson correlations of standardised TFs and genes; 0 of a TF with itself."""
    rho = (x[:, tfs].T @ x / x.shape[0]).astype(np.float32)
    rho[np.arange(tfs.size), tfs] = 0
    return rho


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
    shared = features, start, tf, target, seeds, settings
    out = np.zeros(candidates.shape, dtype=np.float32)
    out[tf, gene] = run_blocks(
        _boost, blocks_of(np.diff(start), limit=2_000), *shared, n_jobs=n_jobs, title="TF -> gene",
        checkpoint=checkpoint.of("tf_gene", tfs, gene, *shared[1:]),
    )  # fmt: skip
    return out


def _boost(  # noqa: PLR0917  (called by joblib, which sends arguments by place)
    first: int, last: int, features: Binned, start: np.ndarray, tf: np.ndarray, target: np.ndarray, seeds: np.ndarray,
    settings: BoostSettings,
) -> Float[np.ndarray, " pairs"]:  # fmt: skip
    offsets = start[first : last + 1] - start[first]
    block = target[first:last], seeds[first:last]
    return boost_block(features, offsets, tf[start[first] : start[last]], *block, settings)[0]


def share_below(
    score: Float[np.ndarray, "..."], among: Float[np.ndarray, "..."] | None = None
) -> Float[np.ndarray, "..."]:
    """Rank of every value among all (or among others), in [0, 1]; equal values share their mean rank."""
    if among is None:
        return (rankdata(score) / score.size).reshape(score.shape)
    others = np.sort(among, axis=None)
    rank = np.searchsorted(others, score, side="left") + np.searchsorted(others, score, side="right")
    return np.minimum((rank + 1) / (2 * others.size), 1)
