"""Held-out knock-outs of stem cells: LPM beside means that know no embedding.

The hiPSC screen (23 knock-outs on four days, 103 genes) as changes against the control cells of the day; a fifth of the
pairs of knock-out and day is held out in turn, by three partitions. Baselines come from the training pairs: no change,
the mean of the day, of the knock-out, and their sum. The gain is the squared error of the mean of the day minus that of
the predictor, mean over partitions, with the interval of a bootstrap over pairs. Needs GRS_DATA_DIR.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import grnformer_sc as grs

FOLDS, PARTITIONS = 5, 3


def baselines(train: ad.AnnData, knockout: np.ndarray, day: np.ndarray) -> dict[str, np.ndarray]:
    """What the training pairs say of each held-out pair without a model."""
    table = train.to_df()
    overall = table.mean().to_numpy()
    by_day, by_knockout = (
        table.groupby(train.obs[key].astype(str).to_numpy()).mean() for key in ("context", "perturbation")
    )
    of_day = by_day.loc[day].to_numpy()
    of_knockout = by_knockout.reindex(knockout).fillna(dict(zip(table.columns, overall, strict=True))).to_numpy()
    return {
        "no change": np.zeros_like(of_day), "mean of the day": of_day, "mean of the knock-out": of_knockout,
        "sum of both": of_day + of_knockout - overall,
    }  # fmt: skip


@pytest.mark.skipif(not os.environ.get("GRS_DATA_DIR"), reason="GRS_DATA_DIR is not set")
def bench_lpm(record: Callable[..., None]) -> None:
    cells = ad.read_h5ad(Path(os.environ["GRS_DATA_DIR"], "hipsc_crispr", "hipsc_crispr.h5ad"))
    profiles = grs.pp.perturbation_profiles(cells, "knockout", context_key="day")
    knockout, day = (profiles.obs[key].astype(str).to_numpy() for key in ("perturbation", "context"))
    true, config = np.asarray(profiles.X), {"LPM": None, "LPM, batches of 5,000": grs.model.LPMConfig(batch_size=5000)}
    errors, r, seconds = [], [], 0.0
    for seed in range(PARTITIONS):
        found: dict[str, np.ndarray] = {}
        fold = partition(knockout, np.random.default_rng(seed))
        for number in range(FOLDS):
            held = fold == number
            train = profiles[~held].copy()
            made = baselines(train, knockout[held], day[held])
            for name, settings in config.items():
                start = time.process_time()
                model = grs.model.LPM.fit(train, settings, rng=number)
                seconds += (time.process_time() - start) * (name == "LPM")
                made[name] = model.predict(list(knockout[held]), list(day[held])).to_numpy()
            for name, value in made.items():
                found.setdefault(name, np.zeros_like(true))[held] = value
        errors.append({name: ((value - true) ** 2).mean(axis=1) for name, value in found.items()})
        r.append({name: correlation(value, true) for name, value in found.items()})
    error, r = pd.DataFrame(errors).map(np.asarray).sum() / PARTITIONS, pd.DataFrame(r).mean()
    for name, own in error.items():
        gain = grs.metrics.bootstrap_mean(error["mean of the day"] - own)
        cost = {"cpu_s": seconds / FOLDS / PARTITIONS} if name == "LPM" else {}
        record(
            "hiPSC, pairs of knock-out and day", str(name), rmse=float(own.mean() ** 0.5), pearson=float(r[name]),
            gain=gain["mean"], low=gain["low"], high=gain["high"], **cost,
        )  # fmt: skip
    assert grs.metrics.bootstrap_mean(error["mean of the day"] - error["LPM"])["low"] > 0


def partition(knockout: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Fold of every pair; the days of a knock-out lie in different folds, so that all knock-outs stay in training."""
    fold = np.empty(knockout.size, dtype=np.int64)
    for name in np.unique(knockout):
        own = rng.permutation(np.flatnonzero(knockout == name))
        fold[own] = (np.arange(own.size) + rng.integers(FOLDS)) % FOLDS
    return fold


def correlation(found: np.ndarray, true: np.ndarray) -> float:
    """Mean over pairs of Pearson's r over genes; 0 where a prediction is constant."""
    return float(np.mean([np.corrcoef(a, b)[0, 1] if a.std() else 0.0 for a, b in zip(found, true, strict=True)]))
