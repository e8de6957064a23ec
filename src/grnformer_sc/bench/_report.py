"""The leaderboard of scores: means with intervals, beside the best trivial baseline and networks of chance."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from .._core.checks import fail, listing
from ..metrics import bootstrap_mean
from ..metrics._drug import COLLAPSED
from ._run import COLUMNS, WHOSE, read
from ._table import COLLAPSE, LEAST_REWIRED

CONTROLS = ("none", "permuted", "rewired")
ROW = ["method", "kind", "network", "metric"]
N_DRAWS = 1000


def report(scores: pd.DataFrame | str | Path) -> pd.DataFrame:
    """Make the leaderboard of a table of scores; it refuses one that lacks its controls.

    Items are what is drawn anew for intervals (bootstrap, 1000 draws, 95 %); seeds are averaged first. Differences are
    paired by item. The best baseline is the one with the highest mean in this very table, which is hard on us, not on it.

    Parameters
    ----------
    scores
        From `run`, or the file it wrote.

    Returns
    -------
    Table, the best of the headline first, with one row per `method`, `kind`, `network` and `metric`: `mean`, `low`,
    `high`, `n` (items), `seed` (the first) and `seeds` (their number); in rows of the headline `gain`, `gain_low`,
    `gain_high` (over the best baseline) and, for methods with a network, `wiring`, `wiring_low`, `wiring_high` (own network
    minus rewired ones); `collapsed` (the predictions of a typical item spread less than 1 % of its truth); `baseline` (the
    best), `baselines`, `controls`, `interval`, and what is the same in all scores: `table`, `headline`, `unit`, `data`,
    `split`, `version`.

    Raises
    ------
    ValueError
        There is no baseline, a method with a network lacks a control (no network, permuted, at least 10 rewired ones), runs
        were not made on the same items, or the scores are of several tables.

    Examples
    --------
    >>> import pandas as pd
    >>> import grnformer_sc as grs
    >>> def measure(run):
    ...     shift = {"mean": 0.0, "ours": 0.1}[run.method]
    ...     return pd.DataFrame({"item": ["A", "B"], "metric": "r", "value": [0.5 + shift, 0.7 + shift]})
    >>> runs = (grs.bench.Run("mean", "baseline"), grs.bench.Run("ours", "ours"))
    >>> table = grs.bench.report(grs.bench.run(grs.bench.Table("toy", "d0", "s0", "r", "gene", runs, measure)))
    >>> table[["method", "mean", "gain"]].round(2).to_numpy().tolist()
    [['ours', 0.7, 0.1], ['mean', 0.6, 0.0]]
    """
    known = read(Path(scores)) if isinstance(scores, (str, Path)) else scores
    _need_scores(known)
    headline, unit = known[["headline", "unit"]].iloc[0]
    controls = _need_controls(known)
    by_item = known.groupby([*ROW, "item"], sort=False)["value"].mean()
    seeds = known.groupby(ROW, sort=False)["seed"].agg(["min", "nunique"])
    rows = [
        {
            **dict(zip(ROW, which, strict=True)),
            **bootstrap_mean(values.to_numpy()).to_dict(),
            "seed": seeds.loc[which, "min"],
            "seeds": seeds.loc[which, "nunique"],
        }
        for which, values in by_item.groupby(level=ROW, sort=False)
        if values.notna().any()
    ]
    out = pd.DataFrame(rows).astype({"n": int, "seed": int, "seeds": int})
    main = by_item.xs(headline, level="metric").unstack("item").T  # noqa: PD010  (no two rows are one item)
    best = _best(main)
    out = out.merge(_compared(main, best).assign(metric=headline), on=ROW, how="left")
    out["collapsed"] = _collapsed(out, by_item)
    names = known.loc[known["kind"] == "baseline", "method"].unique()
    out["baseline"], out["baselines"], out["controls"] = best[0], ", ".join(names), controls
    out["interval"] = f"bootstrap by {unit}, {N_DRAWS} draws, 95 %"
    out = out.assign(**known[WHOSE].iloc[0].to_dict())
    first = out[out["metric"] == headline].set_index(ROW[:3])["mean"]
    rank = pd.MultiIndex.from_frame(out[ROW[:3]]).map(first)
    order = pd.DataFrame({"rank": -rank.to_numpy(dtype=float), "metric": out["metric"] != headline})
    return out.loc[order.sort_values(["metric", "rank"], kind="stable").index].reset_index(drop=True)


def _best(main: pd.DataFrame) -> tuple[str, str, str]:
    """Baseline with the highest mean of the headline."""
    baselines = main.loc[:, main.columns.get_level_values("kind") == "baseline"].mean()
    found: tuple[str, str, str] = baselines.dropna().idxmax()
    return found


def _compared(main: pd.DataFrame, best: tuple[str, str, str]) -> pd.DataFrame:
    """Differences by item of every run from the best baseline, and of own networks from rewired ones."""
    rows = []
    for which in main:
        row = dict(zip(ROW[:3], which, strict=True)) | _difference("gain", main[which] - main[best])
        chance = (which[0], "control", "rewired")
        if which[2] == "own" and chance in main:
            row |= _difference("wiring", main[which] - main[chance])
        rows.append(row)
    return pd.DataFrame(rows)


def _difference(name: str, values: pd.Series) -> dict[str, float]:
    if not values.notna().any():
        return {}
    found = bootstrap_mean(values.to_numpy(), n_draws=N_DRAWS)
    return {name: found["mean"], f"{name}_low": found["low"], f"{name}_high": found["high"]}


def _collapsed(out: pd.DataFrame, by_item: pd.Series) -> pd.Series:
    """Whether the predictions of a typical item hardly differ."""
    if COLLAPSE not in by_item.index.get_level_values("metric"):
        return pd.Series(data=False, index=out.index)
    typical = by_item.xs(COLLAPSE, level="metric").groupby(level=ROW[:3]).median()
    return pd.Series(pd.MultiIndex.from_frame(out[ROW[:3]]).map(typical) < COLLAPSED, index=out.index)


def _need_scores(scores: pd.DataFrame) -> None:
    missing = [name for name in COLUMNS if name not in scores]
    if missing:
        raise fail(
            ValueError, f"scores need the columns {COLUMNS}.", f"no {missing}.", "use the result of grs.bench.run."
        )
    several = [name for name in WHOSE if len(set(scores[name])) != 1]
    if several:
        raise fail(
            ValueError, "scores must be of one table.", f"{len(scores)} rows with several or no {listing(several)}.",
            "report every table by itself.",
        )  # fmt: skip
    main = scores["metric"] == scores["headline"]
    if not (main & (scores["kind"] == "baseline")).any():
        raise fail(
            ValueError, "a leaderboard needs trivial baselines.", f"{listing(scores['kind'].unique())}.",
            "run methods of kind 'baseline' on the same split.",
        )  # fmt: skip
    items = scores[main].groupby([*ROW[:3], "seed"])["item"].agg(frozenset)
    if len(set(items)) > 1:
        sizes = {which[0]: len(found) for which, found in items.items()}
        raise fail(
            ValueError, "all runs must be measured on the same items.", f"items by method: {sizes}.",
            "give NaN where an item has no figure.",
        )  # fmt: skip


def _need_controls(scores: pd.DataFrame) -> str:
    """Say which controls there are; raise `ValueError` when a method with a network lacks some."""
    said = []
    for method in scores.loc[scores["network"] == "own", "method"].unique():
        own = scores[(scores["method"] == method) & (scores["kind"] == "control")]
        found = {name: own.loc[own["network"] == name, "seed"].nunique() for name in CONTROLS}
        if min(found.values()) < 1 or found["rewired"] < LEAST_REWIRED:
            raise fail(
                ValueError, f"{method!r} needs its controls: no network, a permuted one, {LEAST_REWIRED} rewired ones.",
                f"{found}.", "make the runs of grs.bench.with_controls, and finish them.",
            )  # fmt: skip
        said.append(", ".join(f"{name} {count}" for name, count in found.items()))
    return "; ".join(dict.fromkeys(said))
