"""Sensitivity of single cells from bulk lines: planted responses, and published predictions scored anew.

Lines and cells of three simulations share a network; regulons are those of the network that `build_grn` infers from the
cells, random networks stand in its place. Labels of cells serve to judge alone. The published predictions (SCAD, and SCAD on
embeddings of scFoundation) need GRS_DATA_DIR.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import grnformer_sc as grs

PUBLISHED = Path(os.environ.get("GRS_DATA_DIR", "")) / "scad_published"
SEEDS = (11, 12, 13)
SIZE = {"n_genes": 160, "n_tfs": 14, "n_drugs": 1}
WHO = {"lambda15.0": "expression", "lambda12.0": "expression", "lambda11.0": "expression"}
SAMPLES = {"PLX4720_451Lu": "_(par|br)_", "Etoposide": "(D0|Day3)"}


def board(seed: int) -> pd.DataFrame:
    """Area of every method on the cells of a simulation."""
    cells, lines = grs.datasets.simulate_drug_lines(200, 400, rng=seed, **SIZE)
    grs.tl.build_grn(cells, groupby="cell_type", tfs="is_tf")
    table = grs.bench.drug_sensitivity(cells, lines, "drug1", n_parts=4, n_seeds=1)
    scores = grs.bench.run(table)
    grs.bench.report(scores)
    mine = scores[scores["metric"] == "auc"]
    return mine.groupby(["method", "kind", "network", "seed"])["value"].mean().reset_index().assign(simulation=seed)


def bench_planted(record: Callable[..., None]) -> None:
    with grs.settings.override(progress=False):
        scores = pd.concat([board(seed) for seed in SEEDS])
    rows = {}
    for (method, _, network), part in scores.groupby(["method", "kind", "network"]):
        who = method if not network or network == "own" else f"{method}, network {network}"
        mean = part.groupby("simulation")["value"].mean()
        rows[who] = float(mean.mean())
        record("planted response, area on cells", who, auc=rows[who], least=float(mean.min()), most=float(mean.max()))
    assert rows["logistic on expression"] > 0.8
    assert 0.4 < rows["labels of lines exchanged"] < 0.6


@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0])
def bench_shift(record: Callable[..., None], shift: float) -> None:
    what = f"sd {shift:g} of the log factors between platforms"
    cases = {
        "logistic": {"method": "logistic"}, "rank_ridge": {"method": "rank_ridge"},
        "adversarial, weight 0": {"method": "adversarial", "lambda_domain": 0.0},
        "adversarial, weight 1": {"method": "adversarial", "lambda_domain": 1.0},
    }  # fmt: skip
    found: dict[str, list[tuple[float, ...]]] = {who: [] for who in cases}
    with grs.settings.override(progress=False):
        for seed in SEEDS:
            cells, lines = grs.datasets.simulate_drug_lines(200, 400, shift=shift, rng=seed, **SIZE)
            for who, options in cases.items():
                grs.tl.drug_sensitivity(cells, lines, drug="drug1", n_seeds=1, **options)
                stored = cells.uns["sens_drug1"]
                area = grs.metrics.roc_auc(cells.obs["drug1"], cells.obs["sens_drug1"])
                found[who].append((area, stored["source_auc"], stored["domain_auc"]))
    for who, figures in found.items():
        auc, source, domain = np.mean(figures, axis=0)
        record(what, who, auc=float(auc), auc_of_lines=float(source), lines_from_cells=float(domain))


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="GRS_DATA_DIR is not set")
def bench_published(record: Callable[..., None]) -> None:
    labels = {}
    for path in sorted(PUBLISHED.glob("*/*_predicted_y.tsv")):
        drug, who = path.parent.name, next((name for part, name in WHO.items() if part in path.name), "scFoundation")
        table = pd.read_csv(path, sep="\t", header=None, names=["fold", "cell", "label", "score"]).set_index("cell")
        labels[drug] = table["label"]
        figures = grs.metrics.auc_interval(table["label"], table["score"], folds=table["fold"])
        shown = {name: float(figures[name]) for name in ("fold_mean", "fold_sd", "fold_low", "fold_high", "auc")}
        batch = {}
        if drug in SAMPLES:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", grs.metrics.ConfoundedLabelsWarning)
                sample = table.index.str.extract(SAMPLES[drug])[0]
                batch = {"label_from_sample": float(grs.metrics.batch_confounding(table["label"], sample).iloc[0])}
        n = {"cells": len(table), "positive": int(table["label"].sum())}
        record("published predictions", f"{drug}, {who}", **n, **shown, **batch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", grs.metrics.InvertedLabelsWarning)
        pairs = grs.metrics.label_agreement(pd.DataFrame(labels))
    for row in pairs[pairs["n"] > 0].itertuples():
        record(
            "published labels of the same cells", f"{row.first} and {row.second}", cells=row.n, agreement=row.agreement
        )
    assert (pairs["relation"] == "inverted").sum() == 1
