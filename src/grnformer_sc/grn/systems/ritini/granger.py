"""Granger causality of every pair of genes: whether one says more of the other than its own past does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import erfcx

SMALLEST = 1e-12  # share of the variance of a source that the past of the target leaves


@dataclass(frozen=True, slots=True)
class Granger:
    """Tests of all pairs.

    Attributes
    ----------
    statistic
        n (RSS_0 - RSS_1) / RSS_1, chi-squared with one degree of freedom if the source says nothing.
    surprise
        -log p.
    correlation
        Partial correlation of the source with the next value of the target, given the value of the target.
    """

    statistic: Float[np.ndarray, "sources targets"]
    surprise: Float[np.ndarray, "sources targets"]
    correlation: Float[np.ndarray, "sources targets"]


def granger(series: Float[np.ndarray, "points genes"]) -> Granger:
    """Test all pairs at lag 1; a gene with itself, and one that never changes, have no effect.

    Regressions of the target on a constant, its last value and, in the larger model, the last value of the source: by
    what the smaller model leaves of target and source (Frisch, Waugh and Lovell) all pairs take three matrix products.
    """
    x = np.asarray(series, dtype=np.float64)
    past, now = (part - part.mean(axis=0) for part in (x[:-1], x[1:]))
    size = (past**2).sum(axis=0)
    usable = np.where(size > 0, size, 1)
    rest = now - past * ((past * now).sum(axis=0) / usable)
    small = (rest**2).sum(axis=0)
    left = size[:, None] - (past.T @ past) ** 2 / usable
    sure = (left > SMALLEST * size[:, None]) & (small > 0)
    np.fill_diagonal(sure, val=False)
    shared = past.T @ rest
    gain = np.divide(shared**2, left, out=np.zeros_like(left), where=sure)
    gain = np.minimum(gain, small)
    large = np.maximum(small - gain, np.finfo(np.float64).tiny)
    statistic = np.where(sure, len(now) * gain / large, 0.0)
    root = np.sqrt(statistic / 2)
    scale = np.sqrt(np.where(sure, left * small, 1))
    return Granger(statistic, root**2 - np.log(erfcx(root)), np.where(sure, shared / scale, 0.0))
