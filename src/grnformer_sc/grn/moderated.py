"""Tests between a few samples for many rows at once: the empirical-Bayes moderated t of Smyth (2004).

A row (an eRegulon, a link) has a value per sample. With few samples its own variance is poorly known; the variances of all
rows say what a variance looks like, and each is drawn towards that prior as far as the data warrant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import digamma, polygamma
from scipy.stats import false_discovery_control
from scipy.stats import t as student

FEWEST_ROWS = 10  # rows from which a prior is learnt
FEWEST_SAMPLES = 2  # on each side
NEGLIGIBLE = 1e-10  # of the median variance: rounding of a row that never varies
Kind = Literal["paired", "independent", "none"]


@dataclass(frozen=True, slots=True)
class Prior:
    """What the variances of all rows say about one of them: that of a sample with `df` degrees of freedom."""

    df: float
    variance: float


NO_PRIOR = Prior(0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Tested:
    """Moderated t of every row, NaN where there is none."""

    statistic: Float[np.ndarray, " rows"]
    p: Float[np.ndarray, " rows"]
    se: Float[np.ndarray, " rows"]
    df: Float[np.ndarray, " rows"]
    prior: Prior


@dataclass(frozen=True, slots=True)
class Design:
    """How two sides are compared: which samples stand on which, and whether they are pairs."""

    kind: Kind
    group: Bool[np.ndarray, " samples"]
    reference: Bool[np.ndarray, " samples"]


@dataclass(frozen=True, slots=True)
class Compared:
    """Two sides of every row: their means over samples, what lies between them, and its test."""

    mean_group: Float[np.ndarray, " rows"]
    mean_reference: Float[np.ndarray, " rows"]
    n_group: Float[np.ndarray, " rows"]
    n_reference: Float[np.ndarray, " rows"]
    test: Tested

    @property
    def difference(self) -> Float[np.ndarray, " rows"]:
        """Group minus reference."""
        return self.mean_group - self.mean_reference

    def interval(self, level: float = 0.95) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " rows"]]:
        """Confidence interval of the difference."""
        half = self.test.se * student.ppf((1 + level) / 2, self.test.df)
        return self.difference - half, self.difference + half


def trigamma_inverse(x: float) -> float:
    """Solve trigamma(y) = x > 0 by Newton's method on 1 / trigamma, which is convex (Smyth 2004, appendix)."""
    y = 0.5 + 1 / x
    for _ in range(50):
        value = float(polygamma(1, y))
        step = value * (1 - value / x) / float(polygamma(2, y))
        y += step
        if abs(step) < 1e-10 * y:
            break
    return y


def fit_prior(variance: Float[np.ndarray, " rows"], df: Float[np.ndarray, " rows"]) -> Prior:
    """Fit the prior to the logarithms of the rows' variances (Smyth 2004, section 6.2).

    With e = log s^2 - digamma(d / 2) + log(d / 2), the spread of e beyond the trigamma(d / 2) that sampling gives is
    trigamma(d0 / 2), and its mean is log s0^2 - digamma(d0 / 2) + log(d0 / 2). No spread beyond sampling means one
    variance for all rows (d0 infinite); fewer than ten rows teach nothing (d0 = 0, the ordinary t).
    """
    use = (variance > 0) & (df > 0)
    if use.sum() < FEWEST_ROWS:
        return NO_PRIOR
    half = df[use] / 2
    e = np.log(variance[use]) - digamma(half) + np.log(half)
    spread = float(e.var(ddof=1) - polygamma(1, half).mean())
    if spread <= 0:
        return Prior(np.inf, float(np.exp(e.mean())))
    d0 = 2 * trigamma_inverse(spread)
    return Prior(d0, float(np.exp(e.mean() + digamma(d0 / 2) - np.log(d0 / 2))))


def moderated_t(
    estimate: Float[np.ndarray, " rows"],
    variance: Float[np.ndarray, " rows"],
    unscaled: Float[np.ndarray, " rows"],
    df: Float[np.ndarray, " rows"],
    *,
    prior: Prior | None = None,
) -> Tested:
    """Test every estimate against 0, two-sided.

    The variance of a row becomes (d0 s0^2 + d s^2) / (d0 + d), that of the estimate `unscaled` times this, and the
    statistic has d0 + d degrees of freedom, at most those of all rows together. Rows without degrees of freedom or
    without any variance have no test.

    Parameters
    ----------
    estimate
        What is tested, for example a difference of means.
    variance
        Residual variance s^2 of every row.
    unscaled
        Variance of the estimate where s^2 is 1: 1/n of pairs, 1/n1 + 1/n2 of two sets of samples.
    df
        Residual degrees of freedom d.
    prior
        Prior variance; fitted to the rows by default.
    """
    some = variance[(df > 0) & (variance > 0)]
    can = (df > 0) & (variance > NEGLIGIBLE * (np.median(some) if some.size else 1.0))
    prior = fit_prior(np.where(can, variance, 0.0), df) if prior is None else prior
    out = {name: np.full(estimate.size, np.nan) for name in ("statistic", "p", "se", "df")}
    d, s2 = df[can], variance[can]
    share = 1.0 if np.isinf(prior.df) else prior.df / (prior.df + d)
    out["se"][can] = np.sqrt((share * prior.variance + (1 - share) * s2) * unscaled[can])
    out["df"][can] = np.minimum(d + prior.df, d.sum())
    out["statistic"][can] = estimate[can] / out["se"][can]
    out["p"][can] = 2 * student.sf(np.abs(out["statistic"][can]), out["df"][can])
    return Tested(**out, prior=prior)


def choose_design(in_group: Bool[np.ndarray, " samples"], in_reference: Bool[np.ndarray, " samples"]) -> Design:
    """Pairs, when every sample has both sides; otherwise whichever of the two valid tests has more degrees of freedom.

    The pairs leave out samples with one side, the test of independent samples those with both: neither counts a sample
    twice. With fewer than two samples on a side there is no test.
    """
    both, apart = in_group & in_reference, (in_group & ~in_reference, in_reference & ~in_group)
    df_pairs = int(both.sum()) - 1
    df_apart = sum(int(side.sum()) - 1 for side in apart) if min(s.sum() for s in apart) >= FEWEST_SAMPLES else 0
    if max(df_pairs, df_apart) < 1:
        return Design("none", in_group, in_reference)
    return Design("paired", both, both) if df_pairs >= df_apart else Design("independent", *apart)


def compare(
    group: Float[np.ndarray, "samples rows"],
    reference: Float[np.ndarray, "samples rows"],
    design: Design,
    *,
    moderate: bool = True,
) -> Compared:
    """Compare two sides of many rows between samples; values that are NaN are missing, row by row.

    With `moderate=False` every row keeps its own variance: the ordinary t.
    """
    ours = np.where(design.group[:, None], group, np.nan)
    theirs = np.where(design.reference[:, None], reference, np.nan)
    if design.kind == "paired":
        missing = np.isnan(ours - theirs)
        ours[missing] = theirs[missing] = np.nan
        n, _, squares = _moments(ours - theirs)
        df, unscaled = n - 1, 1 / np.maximum(n, 1)
    (n_ours, mean_ours, squares_ours), (n_theirs, mean_theirs, squares_theirs) = _moments(ours), _moments(theirs)
    if design.kind != "paired":
        squares = squares_ours + squares_theirs
        enough = (np.minimum(n_ours, n_theirs) >= FEWEST_SAMPLES) & (design.kind == "independent")
        df = np.where(enough, n_ours + n_theirs - 2, 0)
        unscaled = 1 / np.maximum(n_ours, 1) + 1 / np.maximum(n_theirs, 1)
    prior = None if moderate else NO_PRIOR
    test = moderated_t(mean_ours - mean_theirs, squares / np.maximum(df, 1), unscaled, df, prior=prior)
    return Compared(mean_ours, mean_theirs, n_ours, n_theirs, test)


def _moments(
    x: Float[np.ndarray, "samples rows"],
) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " rows"], Float[np.ndarray, " rows"]]:
    """Number, mean and sum of squares about the mean of the values that are not missing."""
    known = ~np.isnan(x)
    n = known.sum(axis=0).astype(np.float64)
    total = np.where(known, x, 0.0).sum(axis=0)
    mean = np.divide(total, n, out=np.full(n.size, np.nan), where=n > 0)
    squares = np.where(known, x - mean, 0.0) ** 2
    return n, mean, squares.sum(axis=0)


def false_discovery(p: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " rows"]:
    """Benjamini-Hochberg rates of the p-values that there are."""
    out = np.full(p.size, np.nan)
    known = ~np.isnan(p)
    if known.any():
        out[known] = false_discovery_control(p[known], method="bh")
    return out
