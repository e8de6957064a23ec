"""How well drug response is predicted: inside each drug first, because most of the variance lies between drugs."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from .._core.checks import fail, need_between
from .._core.rng import RngLike, as_root, generator
from ._nulls import need_columns

COLUMNS = ("line", "drug", "value", "predicted", "fold")
FEWEST = 5  # pairs of a correlation
COLLAPSED = 0.01  # spread of predictions inside drugs, over that of the truth, below which a method says nothing
ROUNDING = 1e-6  # differences of float32 that are no spread, in units of all values
METRICS = ("within_drug", "within_drug_low", "within_drug_high", "within_line", "pearson", "rmse", "spread")


def within_correlation(table: pd.DataFrame, *, by: str = "drug", min_pairs: int = FEWEST) -> pd.Series:
    """Pearson correlation of prediction and truth inside every drug (or line), in each fold apart, averaged over folds.

    Folds are kept apart because a method that only knows the training mean of a drug predicts another mean in each fold,
    lower where the left-out values are higher: pooled over folds its correlation is negative.

    Parameters
    ----------
    table
        One row per pair with `line`, `drug`, `value`, `predicted`, `fold` (`grs.get.drug_response`).
    by
        `"drug"` or `"line"`.
    min_pairs
        A fold with fewer pairs of the drug is left out.

    Returns
    -------
    Series by drug (or line). NaN, never 0, where no fold has a correlation: too few pairs, constant values or predictions.

    Raises
    ------
    KeyError
        A column is missing.

    Examples
    --------
    >>> import pandas as pd
    >>> import grnformer_sc as grs
    >>> table = pd.DataFrame({"line": list("abcde") * 2, "drug": ["x"] * 5 + ["y"] * 5, "fold": 0,
    ...                       "value": range(10), "predicted": [*range(5), 1, 1, 1, 1, 1]})
    >>> grs.metrics.within_correlation(table).round(3).tolist()
    [1.0, nan]
    """
    need_columns(table, [*COLUMNS])
    sums = _moments(table, by)
    sums = sums[sums["n"] >= min_pairs]
    r = pd.Series(_correlation(*(sums[name].to_numpy() for name in ("n", "x", "y", "xx", "yy", "xy"))), sums.index)
    names = np.sort(table[by].astype(str).unique())
    return r.groupby(level=0).mean().reindex(names).rename_axis(by).rename("pearson")


def within_spread(table: pd.DataFrame) -> pd.Series:
    """Standard deviation of the predictions inside every drug over that of the truth, folds apart.

    Near 0 the method predicts one value per drug, whatever the line: it is collapsed, however high its overall correlation
    (the published DeepCDR of the scFoundation benchmark is).

    Parameters
    ----------
    table
        As for `within_correlation`.

    Returns
    -------
    Series by drug; NaN where the truth is constant.

    Raises
    ------
    KeyError
        A column is missing.

    Examples
    --------
    >>> import pandas as pd
    >>> import grnformer_sc as grs
    >>> table = pd.DataFrame({"line": list("abc"), "drug": "x", "fold": 0, "value": [1.0, 2, 3], "predicted": [2.0, 2, 2]})
    >>> grs.metrics.within_spread(table).tolist()
    [0.0]
    """
    need_columns(table, [*COLUMNS])
    sums = _moments(table, "drug")
    inside = pd.DataFrame({name: sums[2 * name] - sums[name] ** 2 / sums["n"] for name in "xy"}).clip(lower=0)
    inside = inside.groupby(level=0).sum()
    scale = sums.groupby(level=0)[["xx", "yy"]].sum()
    flat = {name: inside[name] <= 1e-12 * scale[2 * name] for name in "xy"}
    ratio = np.sqrt(inside["x"].mask(flat["x"], 0.0) / inside["y"].mask(flat["y"], np.nan))
    return ratio.rename_axis("drug").rename("spread")


def drug_response_scores(
    table: pd.DataFrame, *, n_draws: int = 200, level: float = 0.95, rng: RngLike = 0
) -> pd.DataFrame:
    """Score predictions of drug response, with intervals from drawing cell lines, not pairs, with replacement.

    The headline is `within_drug`: the median over drugs of the correlation inside each drug. `pearson` over all pairs
    mostly says that drugs differ in potency. Lines are drawn as a whole because the values of a line are not independent.

    Parameters
    ----------
    table
        One row per pair with `line`, `drug`, `value`, `predicted`, `fold` (`grs.get.drug_response`).
    n_draws
        Draws of lines; 0 leaves the intervals out.
    level
        Share of the draws inside an interval.
    rng
        Seed or generator.

    Returns
    -------
    Table by metric with `value`, `low`, `high`: `within_drug` (median), `within_drug_low` and `within_drug_high` (its
    quartiles over drugs), `within_line` (median), `pearson`, `rmse` (units of the response), `spread` (median over drugs of
    the sd of predictions over that of the truth) and `collapsed` (1 where that is below .01).

    Raises
    ------
    KeyError
        A column is missing.
    ValueError
        There is no pair, a pair stands twice in a fold, or numbers are not finite.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> import grnformer_sc as grs
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"line": np.repeat(np.arange(20), 3), "drug": list("xyz") * 20, "fold": 0})
    >>> table["value"] = rng.normal(size=60) + table["drug"].map({"x": 0, "y": 5, "z": 9})
    >>> table["predicted"] = table.groupby("drug")["value"].transform("mean")
    >>> scores = grs.metrics.drug_response_scores(table)["value"]
    >>> bool(scores["pearson"] > 0.9), float(scores["collapsed"]), float(scores["within_drug"])
    (True, 1.0, nan)
    """
    need_between(n_draws, 0, 1_000_000, name="n_draws")
    need_between(level, 0, 1, name="level")
    _check(table)
    folds = _matrices(table)
    n_lines = folds[0][0].shape[0]
    value = _scores(folds, np.ones((1, n_lines)))[:, 0]
    out = pd.DataFrame({"value": value, "low": np.nan, "high": np.nan}, index=pd.Index(METRICS, name="metric"))
    if n_draws and n_lines > 1:
        draws = generator(as_root(rng), "lines").integers(n_lines, size=(n_draws, n_lines))
        weights = np.stack([np.bincount(draw, minlength=n_lines) for draw in draws]).astype(np.float64)
        found = _scores(folds, weights)
        held = np.isfinite(found).any(axis=1)
        ends = np.nanquantile(found[held], [(1 - level) / 2, (1 + level) / 2], axis=1)
        out.loc[held, ["low", "high"]] = ends.T
    spread = float(within_spread(table).dropna().median())
    out.loc["spread", "value"] = spread
    out.loc["within_line", "value"] = float(within_correlation(table, by="line").dropna().median())
    out.loc["collapsed"] = [float(spread < COLLAPSED), np.nan, np.nan]
    return out


def _check(table: pd.DataFrame) -> None:
    need_columns(table, [*COLUMNS])
    if table.empty:
        raise fail(ValueError, "scores need at least one predicted pair.", "none.", "see which folds were predicted.")
    values = table[["value", "predicted"]].to_numpy(dtype=np.float64)
    if not np.isfinite(values).all():
        raise fail(
            ValueError, "values and predictions must be finite.", f"{int((~np.isfinite(values)).any(axis=1).sum())} others.",
            "leave these pairs out.",
        )  # fmt: skip
    if table.duplicated(["line", "drug", "fold"]).any():
        pair = table.loc[table.duplicated(["line", "drug", "fold"]), ["line", "drug"]].iloc[0].tolist()
        raise fail(
            ValueError, "a pair of line and drug must stand once in a fold.",
            f"{int(table.duplicated(['line', 'drug', 'fold']).sum())} repeated, such as {pair}.", "average them first.",
        )  # fmt: skip


def _moments(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """Sums per item and fold, of values and predictions less their means per item: `n`, `x` (predicted), `y`, `xx`, ..."""
    frame = pd.DataFrame(
        {
            "item": table[by].astype(str).to_numpy(),
            "fold": table["fold"].to_numpy(),
            "x": table["predicted"].to_numpy(dtype=np.float64),
            "y": table["value"].to_numpy(dtype=np.float64),
        }
    )
    # sums of squares lose no digits where a mean is large beside the spread
    middle = frame.groupby("item")[["x", "y"]].transform("mean")
    size = {name: _size(frame[name].to_numpy()) for name in "xy"}
    frame[["x", "y"]] -= middle
    for name in "xy":
        frame[name] = frame[name].where(frame[name].abs() > ROUNDING * size[name], 0.0)
    frame = frame.assign(n=1.0, xx=frame["x"] ** 2, yy=frame["y"] ** 2, xy=frame["x"] * frame["y"])
    return frame.groupby(["item", "fold"])[["n", "x", "y", "xx", "yy", "xy"]].sum()


def _size(values: Float[np.ndarray, " pairs"]) -> float:
    """Root mean square."""
    return float(np.sqrt((values**2).mean()))


def _correlation(
    n: np.ndarray, x: np.ndarray, y: np.ndarray, xx: np.ndarray, yy: np.ndarray, xy: np.ndarray
) -> np.ndarray:
    """Correlation from sums, NaN where either side does not vary."""
    with np.errstate(invalid="ignore", divide="ignore"):
        inside = [square - total**2 / n for square, total in ((xx, x), (yy, y))]
        varies = (inside[0] > 1e-10 * np.maximum(xx, 1e-300)) & (inside[1] > 1e-10 * np.maximum(yy, 1e-300))
        r = (xy - x * y / n) / np.sqrt(np.where(varies, inside[0] * inside[1], np.nan))
    return np.clip(r, -1, 1)


Fold = tuple[
    Bool[np.ndarray, "lines drugs"], Float[np.ndarray, "lines drugs"], Float[np.ndarray, "lines drugs"]
]  # which pairs are judged, their predictions, their truth; both less the mean of the drug in the truth


def _matrices(table: pd.DataFrame) -> list[Fold]:
    lines, drugs = (pd.Categorical(table[name].astype(str)) for name in ("line", "drug"))
    shape = len(lines.categories), len(drugs.categories)
    out = []
    for fold in np.unique(table["fold"]):
        rows = (table["fold"] == fold).to_numpy()
        place = lines.codes[rows], drugs.codes[rows]
        known = np.zeros(shape, dtype=bool)
        x, y = np.zeros(shape), np.zeros(shape)
        known[place] = True
        x[place], y[place] = table["predicted"].to_numpy()[rows], table["value"].to_numpy()[rows]
        out.append((known, x, y))
    return out


def _scores(folds: list[Fold], weights: Float[np.ndarray, "draws lines"]) -> Float[np.ndarray, "metrics draws"]:
    """All figures for every drawn set of lines."""
    within, inside, total = [], [], np.zeros((6, len(weights)))
    for known, x, y in folds:
        mean = [values.sum(axis=0) / np.maximum(known.sum(axis=0), 1) for values in (x, y)]
        one, two = (np.where(known, values - m, 0.0) for values, m in zip((x, y), mean, strict=True))
        for values, raw in ((one, x), (two, y)):
            values[np.abs(values) <= ROUNDING * _size(raw[known])] = 0.0
        n, *sums = (weights @ part for part in (known.astype(float), one, two, one**2, two**2, one * two))
        r = _correlation(n, *sums)
        within.append(np.where(n >= FEWEST, r, np.nan))
        with np.errstate(invalid="ignore", divide="ignore"):
            inside.append(
                np.stack([np.nan_to_num(sums[2] - sums[0] ** 2 / n), np.nan_to_num(sums[3] - sums[1] ** 2 / n)])
            )
        total += np.stack([(weights @ part).sum(axis=1) for part in (known.astype(float), x, y, x**2, y**2, x * y)])
    r = _quiet_mean(np.stack(within))
    quartiles = _quiet_quantile(r, [0.5, 0.25, 0.75])
    squares = np.maximum(np.sum(inside, axis=0), 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = _quiet_quantile(np.sqrt(squares[0] / np.where(squares[1] > 0, squares[1], np.nan)), [0.5])[0]
    rmse = np.sqrt(np.maximum(total[3] + total[4] - 2 * total[5], 0) / total[0])
    pearson = _correlation(*total)
    return np.stack([*quartiles, np.full(len(weights), np.nan), pearson, rmse, spread])


def _quiet_mean(r: Float[np.ndarray, "folds draws drugs"]) -> Float[np.ndarray, "draws drugs"]:
    """Mean of what is defined, NaN where nothing is."""
    known = np.isfinite(r)
    return np.where(known.any(axis=0), np.where(known, r, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1), np.nan)


def _quiet_quantile(r: Float[np.ndarray, "draws drugs"], at: list[float]) -> Float[np.ndarray, "at draws"]:
    out = np.full((len(at), len(r)), np.nan)
    held = np.isfinite(r).any(axis=1)
    if held.any():
        out[:, held] = np.nanquantile(r[held], at, axis=1)
    return out
