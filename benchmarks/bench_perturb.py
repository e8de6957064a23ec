"""Held-out perturbations: ours beside trivial baselines, propagation without learning, networks of chance and a ceiling.

Every perturbation is predicted from all others (on the three glioma lines: in one line from the other two), and compared
with what its cells show: correlation over genes of the change against control cells, over all genes and over the 20 that
change most; error of the change; spread of the prediction over that of the truth. Intervals come from drawing perturbations.
`gain` is over the best trivial baseline of the same table, `wiring` is the own network minus ten with the same degrees.

K562 (Norman 2019, activation, 33 perturbations of one or two genes), glioma lines (McFaline-Figueroa 2023, 8 genes), THP-1
(Papalexi 2021, 25 knock-outs), stem cells (Ishikawa 2023, 23 knock-outs on four days). Networks: `control cells` is inferred
from control cells alone (ridge), `CollecTRI` is curated and knows targets of genes that are not measured. Nothing was chosen
on these cells; penalties and steps were fixed on simulated screens, what is used of them is chosen inside each training set.
Needs GRS_DATA_DIR.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import grnformer_sc as grs

DATA = Path(os.environ.get("GRS_DATA_DIR", "."))
SHOWN = ("pearson_delta", "pearson_delta20", "rmse", "spread", "energy_distance")
RETRIEVAL = ("pearson_delta", "centroid_accuracy", "rank", "discrimination")
METHODS = ("no_change", "mean", "matching_mean", "additive", "ridge", "grnformer")
GLIOMA = ("A172", "T98G", "U87MG")
OWN, CURATED = "control cells", "CollecTRI"


def devel(name: str) -> ad.AnnData:
    cells = ad.read_h5ad(DATA / "perturb_devel" / "devel.h5ad")
    return cells[cells.obs["dataset"] == name].copy()


def norman() -> tuple[ad.AnnData, dict[str, Any]]:
    cells = devel("norman19")
    grs.pp.perturbation_setup(cells, condition_key="condition")
    grs.pp.split_perturbations(cells, strategy="leave_one_out")
    return cells, {"level": "max"}


def glioma() -> tuple[ad.AnnData, dict[str, Any]]:
    """Folds in which each perturbation is held out in one line, and each line loses a third of the perturbations."""
    cells = devel("mcfaline23")
    grs.pp.perturbation_setup(cells, condition_key="condition", covariate_keys=["cell_type"])
    names = sorted(set(cells.obs["perturbed"]) - {"control"})
    rows = [(p, c, f"fold {(i + j) % 3}") for i, p in enumerate(names) for j, c in enumerate(GLIOMA)]
    split = pd.DataFrame(rows, columns=["perturbation", "context", "split"])
    grs.pp.split_perturbations(cells, split=split)
    return cells, {"level": 0.0}


def papalexi() -> tuple[ad.AnnData, dict[str, Any]]:
    cells = ad.read_h5ad(DATA / "papalexi_thp1_eccite" / "papalexi_299genes.h5ad")
    grs.pp.perturbation_setup(cells)
    grs.pp.split_perturbations(cells, strategy="leave_one_out")
    return cells, {"level": 0.0}


def stem() -> tuple[ad.AnnData, dict[str, Any]]:
    cells = ad.read_h5ad(DATA / "hipsc_crispr" / "hipsc_crispr.h5ad")
    cells.obs["day"] = cells.obs["day"].astype(str)
    grs.pp.perturbation_setup(cells, condition_key="knockout", covariate_keys=["day"])
    grs.pp.split_perturbations(cells, strategy="leave_one_out")
    return cells, {"level": 0.0}


SCREENS = {"K562": norman, "glioma lines": glioma, "THP-1": papalexi, "stem cells": stem}


def add_network(cells: ad.AnnData, name: str) -> None:
    """Store a network that has seen no perturbed cell."""
    if name == OWN:
        control = cells[cells.obs["perturbed"] == "control"].copy()
        grs.tl.build_grn(control, method="ridge", tfs=list(cells.uns["perturbed"]["genes"].query("measured")["gene"]))
        cells.uns["grn"] = control.uns["grn_ridge"]
        return
    grs.pp.add_network(cells, pd.read_csv(DATA / "networks" / "collectri_human.csv.gz"))


@pytest.mark.skipif(not os.environ.get("GRS_DATA_DIR"), reason="GRS_DATA_DIR is not set")
@pytest.mark.parametrize(
    ("screen", "network"),
    [("K562", CURATED), ("glioma lines", CURATED), ("THP-1", OWN), ("THP-1", CURATED), ("stem cells", OWN)],
)
def bench_leave_one_out(record: Callable[..., None], screen: str, network: str) -> None:
    cells, options = SCREENS[screen]()
    add_network(cells, network)
    start = time.process_time()
    board = grs.bench.report(grs.bench.run(grs.bench.perturbation(cells, **options)))
    seconds = time.process_time() - start
    what = f"{screen}, network of {network}"
    board["who"] = board["method"] + board["network"].map(lambda name: f", {name} network" if name else "")
    main = board[board["metric"] == "pearson_delta"].set_index("who")
    for who, own in board.groupby("who", sort=False):
        figures = dict(zip(own["metric"], own["mean"], strict=True))
        row = {name: figures[name] for name in SHOWN if name in figures}
        if who in main.index:
            columns = ("low", "high", "gain", "gain_low", "gain_high", "wiring", "wiring_low", "wiring_high")
            row |= {name: main.loc[who, name] for name in columns if np.isfinite(main.loc[who, name])}
        cost = {"cpu_s": seconds} if who == "grnformer, own network" else {}
        record(what, str(who), **row, **cost)
    assert main.loc["grnformer, own network", "gain"] > -0.01
    assert seconds < 600


@pytest.mark.skipif(not os.environ.get("GRS_DATA_DIR"), reason="GRS_DATA_DIR is not set")
@pytest.mark.parametrize("screen", ["K562", "THP-1", "stem cells"])
def bench_folds(record: Callable[..., None], screen: str) -> None:
    """Whether a prediction is nearer to its own perturbation than to others: five folds, as one has no others."""
    cells, options = SCREENS[screen]()
    grs.pp.split_perturbations(cells, strategy="folds", n_folds=5)
    predicted = {name: grs.tl.perturb(cells, method=name, key=None, **options) for name in METHODS}
    for reference in ("control", "train_perturbed"):
        table = grs.tl.evaluate_perturbation(predicted, cells, reference=reference, metrics=RETRIEVAL, summary=True)
        for who, own in table.groupby("method", sort=False):
            figures = dict(zip(own["metric"], own["mean"], strict=True))
            defined = {"defined": int(own.set_index("metric").loc["pearson_delta", "n"])}
            kept = figures if reference == "control" else {"pearson_delta": figures["pearson_delta"]}
            kept = {name: value for name, value in kept.items() if np.isfinite(value)}
            record(f"{screen}, five folds, against {reference.replace('_', ' ')}", str(who), **kept, **defined)
