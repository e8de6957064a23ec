"""Held-out knock-outs of stem cells: RENGE, FLeCS and LPM on the same splits, beside means that know no model.

The hiPSC screen (23 knock-outs on four days, 103 genes) as changes against the control cells of the day, the lost gene
itself left out. A fifth of the pairs of knock-out and day is held out in turn, or a fifth of the knock-outs with all their
days; an LPM has no embedding of a knock-out that it never saw. RENGE searches its penalty in the training cells, with the
paths and the share of L1 of its authors. FLeCS has as links the ten partners of every gene that correlate most in control
cells, 60 trajectories of each knock-out and Runge-Kutta steps of one half; once it is trained on control cells alone. The
gain is the squared error of the mean of the day minus that of the predictor, mean over knock-outs, with the interval of a
bootstrap over knock-outs. Needs GRS_DATA_DIR.
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
from bench_lpm import baselines, correlation, partition

import grnformer_sc as grs
from grnformer_sc._core.rng import as_root
from grnformer_sc._core.rows import Rows
from grnformer_sc.grn.embedding import log_normalise
from grnformer_sc.grn.systems.flecs.predict import Predictor as Equations
from grnformer_sc.grn.systems.renge.network import infer
from grnformer_sc.grn.systems.renge.options import RengeOptions
from grnformer_sc.grn.systems.renge.predict import Predictor as Effects
from grnformer_sc.tl._renge import read_design
from grnformer_sc.tl._systems import read_input

FOLDS, PARTNERS = 5, 10
RENGE = {
    "perturbation_key": "knockout", "time_key": "day", "n_folds": 3, "n_bootstrap": 0, "l1_ratio": 1e-5, "n_hops": 4,
}  # fmt: skip
FLECS = {"time_key": "day", "n_trajectories": 60, "knockout_time": 0.0, "max_step": 0.5}
SEED = 0


def partners(controls: ad.AnnData) -> pd.DataFrame:
    """Links between every gene and those that correlate most with it."""
    x = log_normalise(controls.X.tocsr()).toarray()
    r = np.nan_to_num(np.corrcoef(x.T))
    np.fill_diagonal(r, 0)
    gene = np.repeat(np.arange(len(r)), PARTNERS)
    tf = np.argsort(-np.abs(r), axis=1, kind="stable")[:, :PARTNERS].ravel()
    names = controls.var_names.to_numpy()
    return pd.DataFrame({"tf": names[tf], "gene": names[gene], "weight": r[gene, tf]})


def of_renge(train: ad.AnnData, knockout: np.ndarray, day: np.ndarray) -> np.ndarray:
    """By the core, which needs no link to be left in an edge table."""
    options = RengeOptions(**RENGE)
    given = read_input(train, groupby=None, tfs=None, rna="rna", layer=None, root=as_root(SEED), n_jobs=1)
    kept, design, _ = read_design(given, options)
    fitted = infer(Rows(given.cells.counts.take(np.flatnonzero(kept))), design, options, root=given.root, n_jobs=1)
    model = Effects(given.cells.genes, fitted.times, fitted.fitted.model, fitted.shape.n_hops, fitted.doses.baseline)
    place = model.genes.get_indexer(train.var_names)
    return np.stack([model.change(k, times=np.array([float(d)]))[0, place] for k, d in zip(knockout, day, strict=True)])


def of_flecs(train: ad.AnnData, knockout: np.ndarray, day: np.ndarray, **options: object) -> np.ndarray:
    controls = train[train.obs["knockout"].astype(str) == "control"]
    told = {**FLECS, "network": partners(controls), **options}
    grs.tl.build_grn(train, method="flecs", options=told, rng=SEED)
    model = Equations.from_uns(train.uns["grn_flecs"]["model"])
    place, out = train.var_names.get_indexer(model.genes), np.zeros((knockout.size, train.n_vars))
    for row, (gene, when) in enumerate(zip(knockout, day, strict=True)):
        if gene in model.genes:
            out[row, place] = model.change({gene: 0.0})[np.searchsorted(model.times, float(when))]
    return out


def of_controls(train: ad.AnnData, knockout: np.ndarray, day: np.ndarray) -> np.ndarray:
    controls = train[train.obs["knockout"].astype(str) == "control"].copy()
    return of_flecs(controls, knockout, day, n_trajectories=1000)


def of_both(train: ad.AnnData, knockout: np.ndarray, day: np.ndarray) -> np.ndarray:
    return of_flecs(train, knockout, day, perturbation_key="knockout")


MODELS = {"RENGE": of_renge, "FLeCS": of_both}
ALONE = "FLeCS, control cells alone"  # which are never held out: one training serves all folds


def folds_of(knockout: np.ndarray, question: str) -> np.ndarray:
    """Fold of every pair."""
    rng = np.random.default_rng(SEED)
    if question == "pairs of knock-out and day":
        return partition(knockout, rng)
    names = rng.permutation(np.unique(knockout))
    return pd.Index(names).get_indexer(knockout) % FOLDS


@pytest.mark.skipif(not os.environ.get("GRS_DATA_DIR"), reason="GRS_DATA_DIR is not set")
@pytest.mark.parametrize("question", ["pairs of knock-out and day", "whole knock-outs"])
def bench_heldout(record: Callable[..., None], question: str) -> None:
    cells = ad.read_h5ad(Path(os.environ["GRS_DATA_DIR"], "hipsc_crispr", "hipsc_crispr.h5ad"))
    profiles = grs.pp.perturbation_profiles(cells, "knockout", context_key="day")
    knockout, day = (profiles.obs[key].astype(str).to_numpy() for key in ("perturbation", "context"))
    true, fold = np.asarray(profiles.X), folds_of(knockout, question)
    pair = (cells.obs["knockout"].astype(str) + " in " + cells.obs["day"].astype(str)).to_numpy()
    start = time.process_time()
    found = {ALONE: of_controls(cells, knockout, day)}
    seconds = {ALONE: time.process_time() - start}
    for number in range(FOLDS):
        held = fold == number
        train = cells[~np.isin(pair, profiles.obs_names[held])].copy()
        train.obs["knockout"] = train.obs["knockout"].astype(str)
        made = baselines(profiles[~held].copy(), knockout[held], day[held])
        for name, predict in MODELS.items():
            start = time.process_time()
            made[name] = predict(train.copy(), knockout[held], day[held])
            seconds[name] = seconds.get(name, 0) + (time.process_time() - start) / FOLDS
        if question == "pairs of knock-out and day":
            start = time.process_time()
            model = grs.model.LPM.fit(profiles[~held].copy(), rng=number)
            made["LPM"] = model.predict(list(knockout[held]), list(day[held])).to_numpy()
            seconds["LPM"] = seconds.get("LPM", 0) + (time.process_time() - start) / FOLDS
        else:
            made = {name: value for name, value in made.items() if name not in ("mean of the knock-out", "sum of both")}
        for name, value in made.items():
            found.setdefault(name, np.zeros_like(true))[held] = value
    own = knockout[:, None] == profiles.var_names.to_numpy()[None]
    error = pd.DataFrame(
        {name: np.where(own, 0, (value - true) ** 2).sum(axis=1) for name, value in found.items()}
    ) / (true.shape[1] - 1)  # fmt: skip
    for name, value in found.items():
        gain = grs.metrics.bootstrap_mean((error["mean of the day"] - error[name]).groupby(knockout).mean().to_numpy())
        record(
            f"hiPSC, {question}", name, rmse=float(error[name].mean() ** 0.5),
            pearson=correlation(np.where(own, 0, value), np.where(own, 0, true)), gain=gain["mean"], low=gain["low"],
            high=gain["high"], **({"cpu_s": seconds[name]} if name in seconds else {}),
        )  # fmt: skip
