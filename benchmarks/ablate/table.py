"""Paired differences with intervals, trivial predictors beside the models, and the share of the gain that chance brings."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import t as student

from .grid import CONTRASTS, DEFAULT, SETTINGS

LEVEL = 0.95
LESS_IS_BETTER = ("deviance", "deviance_labelled")


def paired(first: pd.Series, second: pd.Series) -> dict[str, float]:
    """Mean difference over the seeds that both have, with its interval by Student's t (n - 1 degrees of freedom)."""
    difference = (first - second).dropna().to_numpy(dtype=np.float64)
    n = difference.size
    if n < 2:
        return {"n": n, "mean": difference.mean() if n else np.nan, "low": np.nan, "high": np.nan}
    half = student.ppf((1 + LEVEL) / 2, n - 1) * difference.std(ddof=1) / np.sqrt(n)
    mean = difference.mean()
    return {"n": n, "mean": mean, "low": mean - half, "high": mean + half}


def by_seed(runs: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Values of a measure, seeds x settings."""
    return runs.set_index(["seed", "setting"])[measure].unstack()  # noqa: PD010  (no two rows are one run)


def differences(runs: pd.DataFrame, measure: str) -> pd.DataFrame:
    """All contrasts of one data set and split: factor, setting, beside, mean, low, high, n."""
    values = by_seed(runs, measure)
    rows = [
        {"factor": factor, "setting": setting, "beside": beside, **paired(values[setting], values[beside])}
        for factor, setting, beside in CONTRASTS
        if setting in values and beside in values
    ]
    table = pd.DataFrame(rows, columns=["factor", "setting", "beside", "mean", "low", "high", "n"])
    return table[table["n"] > 0].reset_index(drop=True)


def means(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean of every measure over the seeds that all settings have, settings in the order of the grid."""
    seeds = runs.groupby("seed")["setting"].nunique()
    complete = runs[runs["seed"].isin(seeds.index[seeds == runs["setting"].nunique()])]
    order = [setting.name for setting in SETTINGS if setting.name in set(complete["setting"])]
    table = complete.drop(columns=["data", "split", "seed"]).groupby("setting").mean().loc[order]
    return table.dropna(axis=1, how="all")


def share_of_gain(runs: pd.DataFrame, chance: str, measure: str = "deviance") -> float:
    """Part of the gain over no network that a network of chance brings (means over seeds)."""
    values = by_seed(runs, measure)[["no network", chance, DEFAULT]].dropna().mean()
    return float((values["no network"] - values[chance]) / (values["no network"] - values[DEFAULT]))
