"""Area under the ROC curve of binary labels, and how sure it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.stats import norm, rankdata

from .._core.checks import fail, need_between, need_one_of
from .._core.rng import RngLike, as_root, generator

Interval = Literal["bootstrap", "delong"]
CHUNK = 2_000_000  # drawn cells held at a time


def roc_auc(labels: Any, scores: Any) -> float:
    """Chance that a positive cell scores higher than a negative one, ties counting half.

    Turned labels give 1 minus this number, to the last bits.

    Parameters
    ----------
    labels
        0 or 1 (or booleans); NaN are left out.
    scores
        Finite numbers, one per label.

    Returns
    -------
    The area; NaN where one of the classes is empty.

    Raises
    ------
    ValueError
        Lengths differ, a label is neither 0 nor 1, or a score is not finite.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> grs.metrics.roc_auc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    0.875
    """
    y, x = _pairs(labels, scores)
    return _auc(y, x)


def auc_interval(
    labels: Any,
    scores: Any,
    *,
    folds: Any = None,
    method: Interval = "bootstrap",
    n_draws: int = 1000,
    level: float = 0.95,
    rng: RngLike = 0,
) -> pd.Series:
    """Area under the ROC curve over all cells and within folds, with the interval that drawing cells anew gives.

    Scores of different folds come from different models and need not be comparable: the mean over folds compares only
    cells of the same fold, the pooled area all cells. The interval knows of the drawing of cells, not of other training
    data, seeds or donors.

    Parameters
    ----------
    labels
        0 or 1; NaN are left out.
    scores
        One per cell.
    folds
        Fold of every cell.
    method
        `"bootstrap"`: cells are drawn with replacement, within folds where there are folds. `"delong"`: the closed form
        of DeLong et al. (1988) for the pooled area, which suits many cells; none for folds.
    n_draws
        Draws of the bootstrap.
    level
        Share of the draws inside the interval.
    rng
        Seed or generator of the draws.

    Returns
    -------
    Series `auc` (pooled), `low`, `high`, `fold_mean`, `fold_sd` (of the folds themselves, divided by their number),
    `fold_low`, `fold_high`, `n`, `n_positive`, `n_folds` (that hold both classes). What is undefined is NaN.

    Raises
    ------
    ValueError
        Lengths differ, labels are not binary, scores are not finite, or `level` is no share.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> found = grs.metrics.auc_interval([0, 1, 0, 1], [0.1, 0.9, 0.3, 0.2], folds=[1, 1, 2, 2])
    >>> found[["auc", "fold_mean", "fold_sd"]].tolist()
    [0.75, 0.5, 0.5]
    """
    need_one_of(method, ("bootstrap", "delong"), name="method")
    need_between(level, 0, 1, name="level")
    need_between(n_draws, 1, 10_000_000, name="n_draws")
    fold = np.zeros(np.size(labels), dtype=np.int64) if folds is None else pd.factorize(np.asarray(folds), sort=True)[0]
    y, x, part = _pairs(labels, scores, fold)
    by_fold = np.array([_auc(y[part == k], x[part == k]) for k in np.unique(part)])
    known = by_fold[np.isfinite(by_fold)]
    nan = float("nan")
    low = high = fold_low = fold_high = nan
    ends = np.array([(1 - level) / 2, (1 + level) / 2])
    pooled = _auc(y, x)
    if method == "delong" and np.isfinite(pooled):
        low, high = np.clip(pooled + norm.ppf(ends) * _delong_sd(y, x), 0, 1)
    elif np.isfinite(pooled):
        draws = _bootstrap(y, x, part, n_draws, generator(as_root(rng), "auc"))
        (low, high), (fold_low, fold_high) = np.nanquantile(draws, ends, axis=0).T
    found = {
        "auc": pooled, "low": low, "high": high,
        "fold_mean": known.mean() if known.size else nan, "fold_sd": known.std() if known.size else nan,
        "fold_low": fold_low, "fold_high": fold_high, "n": float(y.size), "n_positive": float(y.sum()),
        "n_folds": float(known.size),
    }  # fmt: skip
    if folds is None:
        found |= dict.fromkeys(("fold_mean", "fold_sd", "fold_low", "fold_high", "n_folds"), nan)
    return pd.Series(found, dtype=np.float64)


def roc_curve(
    labels: Any, scores: Any, *, n_points: int = 101, n_draws: int = 500, level: float = 0.95, rng: RngLike = 0
) -> pd.DataFrame:
    """ROC curve on a grid of false positive rates, with the band that drawing cells anew gives at each.

    Parameters
    ----------
    labels
        0 or 1; NaN are left out.
    scores
        One per cell.
    n_points
        Points of the grid.
    n_draws
        Draws of the bootstrap, within each class.
    level
        Share of the draws inside the band.
    rng
        Seed or generator of the draws.

    Returns
    -------
    Table `fpr`, `tpr`, `low`, `high`; empty where one of the classes is.

    Raises
    ------
    ValueError
        Lengths differ, labels are not binary, or scores are not finite.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> grs.metrics.roc_curve([0, 1, 0, 1], [0.1, 0.9, 0.3, 0.8], n_points=3)["tpr"].tolist()
    [1.0, 1.0, 1.0]
    """
    need_between(level, 0, 1, name="level")
    y, x = _pairs(labels, scores)
    if np.unique(y).size < 2:
        return pd.DataFrame({name: np.empty(0) for name in ("fpr", "tpr", "low", "high")})
    grid = np.linspace(0, 1, n_points)
    up, down = np.sort(x[y == 1]), np.sort(x[y == 0])
    random = generator(as_root(rng), "roc")
    drawn = np.empty((n_draws, n_points))
    for k in range(n_draws):
        first, second = (np.sort(part[random.integers(part.size, size=part.size)]) for part in (up, down))
        drawn[k] = _rates(first, second, grid)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return pd.DataFrame({"fpr": grid, "tpr": _rates(up, down, grid), "low": low, "high": high})


def _rates(up: np.ndarray, down: np.ndarray, grid: np.ndarray) -> Float[np.ndarray, " points"]:
    """True positive rates at given false positive rates; both classes sorted, ties joined by straight lines."""
    cut = np.unique(np.concatenate([up, down]))[::-1]
    tpr, fpr = ((part.size - np.searchsorted(part, cut, side="left")) / part.size for part in (up, down))
    return np.interp(
        grid, np.r_[0.0, fpr], np.r_[0.0, tpr]
    )  # of several points at one rate the last, which is the highest


def _pairs(labels: Any, scores: Any, *rest: np.ndarray) -> tuple[np.ndarray, ...]:
    """Labels as 0/1 (int64), finite scores, and what goes with them; cells without a label are left out."""
    y = np.asarray(pd.array(np.asarray(labels).ravel()).to_numpy(dtype=np.float64, na_value=np.nan))
    x = np.asarray(scores, dtype=np.float64).ravel()
    if y.size != x.size or any(part.size != y.size for part in rest):
        raise fail(
            ValueError, "every cell needs a label and a score.", f"{y.size} labels, {x.size} scores.",
            "take both from the same cells.",
        )  # fmt: skip
    keep = ~np.isnan(y)
    other = np.unique(y[keep & ~np.isin(y, (0, 1))])
    if other.size:
        raise fail(ValueError, "labels must be 0 or 1.", f"{other[:5].tolist()}.", "code the labels as 0 and 1.")
    if not np.isfinite(x[keep]).all():
        raise fail(
            ValueError, "scores must be finite.", f"{int((~np.isfinite(x[keep])).sum())} that are not.",
            "leave these cells out, or find out why they have none.",
        )  # fmt: skip
    return y[keep].astype(np.int64), x[keep], *(part[keep] for part in rest)


def _auc(y: Int[np.ndarray, " cells"], x: Float[np.ndarray, " cells"]) -> float:
    n_up = int(y.sum())
    n_down = y.size - n_up
    if not n_up or not n_down:
        return float("nan")
    wins = float(rankdata(x)[y == 1].sum()) - n_up * (n_up + 1) / 2  # halves of whole numbers: exact
    return wins / (n_up * n_down)


def _delong_sd(y: np.ndarray, x: np.ndarray) -> float:
    """Standard error of the pooled area from the placements of each class among the other."""
    total = rankdata(x)
    up, down = x[y == 1], x[y == 0]
    if min(up.size, down.size) < 2:
        return float("nan")
    above = (total[y == 1] - rankdata(up)) / down.size
    below = (total[y == 0] - rankdata(down)) / up.size
    return float(np.sqrt(above.var(ddof=1) / up.size + below.var(ddof=1) / down.size))


def _bootstrap(
    y: np.ndarray, x: np.ndarray, part: np.ndarray, n_draws: int, rng: np.random.Generator
) -> Float[np.ndarray, "draws 2"]:
    """Pooled area and mean over folds of every draw; folds keep their size, a fold of one class is left out of the mean."""
    folds = [np.flatnonzero(part == k) for k in np.unique(part)]
    out = []
    for size in _steps(n_draws, max(1, CHUNK // y.size)):
        row = np.arange(size)[:, None] * y.size
        drawn = [row + rows[rng.integers(rows.size, size=(size, rows.size))] for rows in folds]
        flat = np.concatenate([part.ravel() for part in drawn])
        count = np.bincount(flat, minlength=size * y.size).reshape(size, y.size).astype(np.float64)
        pooled = _weighted_auc(y, x, count)
        within = np.stack([_weighted_auc(y[rows], x[rows], count[:, rows]) for rows in folds], axis=1)
        known = np.isfinite(within)
        mean = np.where(known, within, 0).sum(axis=1) / np.where(known.any(axis=1), known.sum(axis=1), np.nan)
        out.append(np.stack([pooled, mean], axis=1))
    return np.concatenate(out)


def _steps(total: int, size: int) -> Iterator[int]:
    yield from (min(size, total - first) for first in range(0, total, size))


def _weighted_auc(y: np.ndarray, x: np.ndarray, count: Float[np.ndarray, "draws cells"]) -> Float[np.ndarray, " draws"]:
    """Areas of cells that are drawn `count` times."""
    order = np.argsort(x, kind="stable")
    start = np.unique(x[order], return_index=True)[1]
    up = np.add.reduceat(count[:, order] * y[order], start, axis=1)
    down = np.add.reduceat(count[:, order] * (1 - y[order]), start, axis=1)
    before = np.cumsum(down, axis=1) - down / 2
    pairs = up.sum(axis=1) * down.sum(axis=1)
    wins = (up * before).sum(axis=1)
    return np.divide(wins, pairs, out=np.full(len(count), np.nan), where=pairs > 0)
