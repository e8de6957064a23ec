"""AUC thresholds: dip test and mixture (or trough) with mean + 2 sd for one mode, Otsu's split, or a quantile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from .._core.checks import need_between, need_one_of
from .._core.typing import Number
from ._kernels.dip import dip_statistics

Rule = Literal["mixture", "trough", "otsu", "quantile"]
CHOICES = ("mixture", "trough", "otsu", "quantile")
RULES = (*CHOICES, "unimodal", "constant")  # what a threshold can have been made by
EM_ROUNDS = 200
CHUNK_REGULONS = 32
TROUGH_GRID = 512

# 95 % quantile of sqrt(n) * dip over 20,000 (8,000 for n > 1,000) uniform samples of each size, numpy default_rng(0);
# beyond the last size the product no longer moves.
DIP_SIZES = np.array([10, 20, 50, 100, 200, 500, 1000, 2000, 5000])
DIP_95 = np.array([0.4397, 0.4711, 0.4979, 0.5108, 0.5225, 0.5320, 0.5336, 0.5365, 0.5400])


@dataclass(frozen=True, slots=True)
class Thresholds:
    """One threshold per regulon and the rule that made it; a cell is active when its AUC is above."""

    value: Float[np.ndarray, " regulons"]
    rule: list[str]


def fit_thresholds(
    auc: Float[np.ndarray, "cells regulons"], *, rule: Rule = "mixture", quantile: Number = 0.9
) -> Thresholds:
    """Fit one threshold per regulon, `CHUNK_REGULONS` regulons at a time; nothing is random.

    `"mixture"`: a regulon whose AUC is not unimodal (dip test p <= .05) gets the crossing of the two weighted components
    of a Gaussian mixture, or the lowest density between them when they do not cross there; the others get mean + 2 sd
    (`"unimodal"`). `"trough"`: as before, with the lowest density always (pySCENIC). `"otsu"`: the split with the
    largest variance between its two classes (Otsu 1979). `"quantile"`: the same share of cells is above for every
    regulon. The last two cut every distribution, also one without modes. A constant AUC is its own threshold under every
    rule, so that no cell is active (`"constant"`).
    """
    need_one_of(rule, CHOICES, name="rule")
    need_between(quantile, 0, 1, name="quantile")
    if auc.shape[1] > CHUNK_REGULONS:
        chunks = (auc[:, a : a + CHUNK_REGULONS] for a in range(0, auc.shape[1], CHUNK_REGULONS))
        parts = [fit_thresholds(chunk, rule=rule, quantile=quantile) for chunk in chunks]
        return Thresholds(np.concatenate([p.value for p in parts]), [name for p in parts for name in p.rule])
    x = np.asarray(auc, dtype=np.float64)
    mean, sd = x.mean(axis=0), x.std(axis=0)
    value = mean + 2 * sd
    names = np.full(x.shape[1], "unimodal", dtype=object)
    constant = sd < 1e-9
    value[constant], names[constant] = x[:1, constant].ravel() if x.shape[0] else 0.0, "constant"
    if rule in ("otsu", "quantile"):
        varied = x[:, ~constant]
        if varied.size:
            value[~constant] = otsu(varied) if rule == "otsu" else np.quantile(varied, quantile, axis=0)
            names[~constant] = rule
        return Thresholds(value=value, rule=[str(name) for name in names])
    several = ~constant & multimodal(x)
    if several.any():
        weight, centre, spread = fit_mixtures(x[:, several])
        cut, found = crossing(weight, centre, spread)
        low = troughs(x[:, several], centre)
        use_cut = found & (rule == "mixture")
        value[several] = np.where(use_cut, cut, low)
        names[several] = np.where(use_cut, "mixture", "trough")
    return Thresholds(value=value, rule=[str(name) for name in names])


def otsu(x: Float[np.ndarray, "cells regulons"]) -> Float[np.ndarray, " regulons"]:
    """Split of every column with the largest variance between its two classes, over all splits, without bins.

    The threshold is the middle of the gap; of equally good splits the lowest is taken.
    """
    n = x.shape[0]
    ordered = np.sort(x, axis=0)
    below = np.cumsum(ordered[:-1] - ordered.mean(axis=0), axis=0)
    size = np.arange(1, n, dtype=np.float64)[:, None]
    between = below**2 / (size * (n - size))  # variance between the classes, up to a factor
    between[ordered[1:] == ordered[:-1]] = -1  # equal values stay together
    split, column = between.argmax(axis=0), np.arange(x.shape[1])
    return (ordered[split, column] + ordered[split + 1, column]) / 2


def multimodal(x: Float[np.ndarray, "cells regulons"]) -> Bool[np.ndarray, " regulons"]:
    """Whether Hartigan's dip test rejects one mode at 5 %."""
    n = x.shape[0]
    if n < DIP_SIZES[0]:
        return np.zeros(x.shape[1], dtype=bool)
    limit = np.interp(np.log(n), np.log(DIP_SIZES), DIP_95) / np.sqrt(n)
    return dip_statistics(np.sort(x, axis=0).T.copy()) >= limit


def fit_mixtures(
    x: Float[np.ndarray, "cells regulons"],
) -> tuple[Float[np.ndarray, "two regulons"], Float[np.ndarray, "two regulons"], Float[np.ndarray, "two regulons"]]:
    """EM of two Gaussians for every column: weights, means (ascending) and standard deviations.

    Started from the lower and upper part of the column, cut at the middle of its range.
    """
    middle = (x.max(axis=0) + x.min(axis=0)) / 2
    floor = np.maximum(x.std(axis=0) * 1e-3, 1e-9)
    upper = (x > middle).astype(np.float64)
    weight, centre, spread = _moments(x, upper, floor)
    for _ in range(EM_ROUNDS):
        log = np.log(weight[:, None]) - np.log(spread[:, None]) - 0.5 * ((x - centre[:, None]) / spread[:, None]) ** 2
        upper = 1 / (1 + np.exp(np.clip(log[0] - log[1], -700, 700)))
        before = centre
        weight, centre, spread = _moments(x, upper, floor)
        if np.abs(centre - before).max() < 1e-7:
            break
    order = np.argsort(centre, axis=0)
    return tuple(np.take_along_axis(part, order, axis=0) for part in (weight, centre, spread))  # type: ignore[return-value]


def _moments(x: np.ndarray, upper: np.ndarray, floor: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    share = np.stack([1 - upper, upper])
    total = np.maximum(share.sum(axis=1), 1e-12)
    centre = (share * x).sum(axis=1) / total
    spread = np.sqrt((share * (x - centre[:, None]) ** 2).sum(axis=1) / total)
    return np.clip(total / x.shape[0], 1e-6, None), centre, np.maximum(spread, floor)


def crossing(
    weight: Float[np.ndarray, "two regulons"],
    centre: Float[np.ndarray, "two regulons"],
    spread: Float[np.ndarray, "two regulons"],
) -> tuple[Float[np.ndarray, " regulons"], Bool[np.ndarray, " regulons"]]:
    """Where both weighted components are equal between the means, and whether such a point exists."""
    (w1, w2), (m1, m2), (s1, s2) = weight, centre, spread
    a = 1 / (2 * s2**2) - 1 / (2 * s1**2)
    b = m1 / s1**2 - m2 / s2**2
    c = m2**2 / (2 * s2**2) - m1**2 / (2 * s1**2) + np.log((w1 * s2) / (w2 * s1))
    root = np.sqrt(np.maximum(b**2 - 4 * a * c, 0))
    q = -0.5 * (b + np.where(b >= 0, root, -root))  # stable form of the quadratic formula, also for a = 0
    with np.errstate(divide="ignore", invalid="ignore"):
        candidates = np.stack([q / a, c / q])
    inside = (candidates >= m1) & (candidates <= m2)
    cut = np.where(inside[0], candidates[0], candidates[1])
    return cut, inside.any(axis=0) & (b**2 >= 4 * a * c)


def troughs(
    x: Float[np.ndarray, "cells regulons"], centre: Float[np.ndarray, "two regulons"]
) -> Float[np.ndarray, " regulons"]:
    """Lowest point of the kernel density between the two means (Scott's bandwidth, on a grid).

    Every value is shared between its two neighbours on the grid, so that the density is exact to second order.
    """
    out = np.empty(x.shape[1])
    for r in range(x.shape[1]):
        grid, step = np.linspace(x[:, r].min(), x[:, r].max(), TROUGH_GRID, retstep=True)
        place = (x[:, r] - grid[0]) / step
        left = np.minimum(place.astype(np.int64), TROUGH_GRID - 2)
        share = place - left
        mass = np.bincount(left, 1 - share, TROUGH_GRID) + np.bincount(left + 1, share, TROUGH_GRID)
        width = x[:, r].std(ddof=1) * x.shape[0] ** -0.2
        offset = step * np.arange(1 - TROUGH_GRID, TROUGH_GRID)
        density = np.convolve(mass, np.exp(-0.5 * (offset / width) ** 2), mode="valid")
        between = np.flatnonzero((grid >= centre[0, r]) & (grid <= centre[1, r]))
        out[r] = grid[between[density[between].argmin()]] if between.size else centre[:, r].mean()
    return out
