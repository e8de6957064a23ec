"""Dictys beside the original program; planted processes; known links of real cells; needs GRS_GOLDEN_DIR, GRS_DATA_DIR.

The time of the original (4,000 steps on 500 iPSC cells, 103 genes, 616 candidate links) is that stored beside its outputs,
measured on a machine of the same class. `warmup` is the share of the steps in which the weight of the steady state rises;
0 is the original's schedule. `reproduced` is the correlation of the weights of two runs with other noise, `correlation` that
with the stored weights. Planted processes (seeds 21 to 25, 40 genes, 8 TFs, 400 cells): two of the five candidate TFs of a
gene regulate it. Known links: those that knock-outs of the same screen gave (RENGE, q < .01), and DoRothEA's (A to C) in the
cell types of the mouse cortex, each judged among the candidate links, beside the size of Pearson's correlation on these.
"""

from __future__ import annotations

import os
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from race import run

GOLDEN, DATA = (Path(os.environ.get(name, "")) for name in ("GRS_GOLDEN_DIR", "GRS_DATA_DIR"))
STORED_WALL = 94.0  # README of the golden files
PLANTED = str(Path(__file__).parents[1] / "tests" / "grn" / "_dictys.py")
SEEDS = range(21, 26)
LOW_CONFIDENCE = ("D", "E")
N_GENES, N_TYPES = 150, 4
need_golden = pytest.mark.skipif(not (GOLDEN / "dictys").is_dir(), reason="GRS_GOLDEN_DIR is not set")


def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "dictys" / "hipsc_t5.npz") as file:
        return dict(file)


def training(warmup: float, root: int) -> Callable[[], Any]:
    """All steps on the cells and candidate links of the original: weights in its order, and the last loss."""
    import scipy.sparse as sp

    from grnformer_sc._core.compute import one_thread
    from grnformer_sc.grn.systems.dictys.network import fit_cells
    from grnformer_sc.grn.systems.dictys.options import DictysOptions

    stored = golden()
    counts = stored["counts_genes_x_cells"].T.astype(np.float64)
    links, options = stored["N_0mask"].astype(np.int64), DictysOptions(warmup=warmup)

    def call() -> tuple[np.ndarray, np.ndarray]:
        with one_thread():
            fit = fit_cells(
                sp.csr_matrix(counts), counts.sum(axis=1), np.arange(103), links, options, root=root, name=("t5",)
            )
        return fit.weight, fit.losses[-1]

    return call


@need_golden
def bench_training(record: Callable[..., None]) -> None:
    stored = golden()
    place = tuple(stored["N_0mask"].astype(np.int64))
    theirs = stored["weights_tf_x_gene"][place]
    what = "Dictys: 4,000 steps, 500 cells, 103 genes, 616 candidate links"
    record(what, "Dictys a82930f (stored)", wall_s=STORED_WALL, loss=float(stored["loss_last"].sum()))
    weights = {"Dictys a82930f (stored)": theirs, "Pearson": pearson_of_screen(stored)[place]}
    for warmup in (0.0, 0.5):
        laps = [run(training, warmup, root, repeats=1) for root in (0, 1)]
        (one, losses), (two, _) = (lap.result for lap in laps)
        who = f"grnformer_sc, warmup = {warmup:g}"
        weights[who] = one
        record(
            what, who, **laps[0].row(), times_faster=STORED_WALL / laps[0].cpu_s, loss=float(losses.sum()),
            correlation=correlation(one, theirs), reproduced=correlation(one, two),
        )  # fmt: skip
    screen(record, weights, *effects_of_screen(stored))
    assert laps[0].cpu_s < STORED_WALL / 3


def screen(record: Callable[..., None], weights: dict[str, np.ndarray], effect: np.ndarray, known: np.ndarray) -> None:
    """How weights on random candidate links go with the effects that knock-outs of the same screen have."""
    from grnformer_sc.metrics import average_precision

    what = "Dictys: effects of knock-outs (RENGE, q < .01) among 616 random candidate links"
    record(what, "chance", aupr=float(known.mean()))
    for who, weight in weights.items():
        record(what, who, aupr=average_precision(known, np.abs(weight)), correlation=correlation(weight, effect))


def effects_of_screen(stored: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Published effects of the candidate links, and whether they are sure; the matrices there are targets x sources."""
    with np.load(GOLDEN / "renge" / "oracle.npz") as oracle, np.load(GOLDEN / "renge" / "hipsc_input.npz") as given:
        row = pd.Index(given["genes"]).get_indexer(stored["genes"])
        tf, gene = row[stored["N_0mask"].astype(np.int64)]
        return oracle["A_published"].astype(float)[gene, tf], oracle["q_published"][gene, tf] < 0.01


def pearson_of_screen(stored: dict[str, np.ndarray]) -> np.ndarray:
    counts = stored["counts_genes_x_cells"].T.astype(np.float64)
    return np.corrcoef(np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4).T)[:20]


def correlation(one: np.ndarray, two: np.ndarray) -> float:
    return float(np.corrcoef(one, two)[0, 1])


def bench_planted(record: Callable[..., None]) -> None:
    rows = pd.DataFrame([row for seed in SEEDS for row in recovered(seed)])
    what = "Dictys: planted links among the candidates"
    for who, part in rows.groupby("who"):
        record(what, str(who), aupr=float(part["aupr"].mean()), lowest=float(part["aupr"].min()),
               correlation=float(part["correlation"].mean()))  # fmt: skip
    mean = rows.groupby("who")["aupr"].mean()
    assert mean["grnformer_sc, warmup = 0.5"] > mean["Pearson"] + 0.05


def recovered(seed: int) -> list[dict[str, Any]]:
    import scipy.sparse as sp

    from grnformer_sc._core.compute import one_thread
    from grnformer_sc.grn.systems.dictys.network import fit_cells, measured
    from grnformer_sc.grn.systems.dictys.options import DictysOptions
    from grnformer_sc.metrics import average_precision

    made = runpy.run_path(PLANTED)
    given = made["planted"](seed)
    mask = given.candidates
    counts, tfs = sp.csr_matrix(given.counts), np.arange(len(mask))
    found = {"Pearson": made["pearson"](given)[mask]}
    for warmup in (0.0, 0.5):
        options = DictysOptions(warmup=warmup, min_counts=1, min_cells=1)
        genes, links = measured(counts, sp.csr_matrix(mask), tfs, options)
        with one_thread():
            fit = fit_cells(counts, given.total, genes, links, options, root=0, name=("planted",))
        found[f"grnformer_sc, warmup = {warmup:g}"] = fit.matrix(mask.shape[1]).toarray()[: len(mask)][mask]
    true = given.weight[mask]
    chance = {"who": "chance", "aupr": float((true != 0).mean()), "correlation": np.nan}
    return [chance] + [
        {"who": who, "aupr": average_precision(true != 0, np.abs(one)), "correlation": correlation(one, true)}
        for who, one in found.items()
    ]


@pytest.mark.skipif(not (DATA / "snare_mouse_cortex").is_dir(), reason="GRS_DATA_DIR is not set")
def bench_cortex(record: Callable[..., None]) -> None:
    import mudata

    import grnformer_sc as grs

    cells = mudata.read_h5mu(DATA / "snare_mouse_cortex" / "snare_cortex_small.h5mu")
    rna = cells["rna"].copy()
    rna.obs["cell_type"] = cells.obs["cell_type"].astype(str)
    rna = rna[rna.obs["cell_type"].isin(rna.obs["cell_type"].value_counts().index[:N_TYPES])].copy()
    for warmup in (0.0, 0.5):
        options = {"warmup": warmup, "n_genes": N_GENES}
        grs.tl.build_grn(
            rna, method="dictys", groupby="cell_type", prior=promoters(), options=options, n_jobs=1,
            key_added=f"warmup {warmup:g}",
        )  # fmt: skip
    known = pd.read_csv(DATA / "networks" / "dorothea_mm.csv.gz")
    known = known[~known["confidence"].isin(LOW_CONFIDENCE)]
    pairs = pd.MultiIndex.from_frame(known[["tf", "target"]])
    what = f"Dictys: DoRothEA's links (A to C) in {N_TYPES} types of the mouse cortex, {N_GENES} genes"
    rows = pd.DataFrame([in_type(rna, name, pairs) for name in sorted(rna.obs["cell_type"].unique())])
    for who in rows.columns.drop(["known", "candidates"]):
        record(what, str(who), aupr=float(rows[who].mean()), known=int(rows["known"].sum()),
               candidates=int(rows["candidates"].sum()))  # fmt: skip


def in_type(rna: Any, name: str, known: pd.MultiIndex) -> dict[str, float]:
    """Average precision among the candidate links of a type, of TFs that have any known one."""
    import grnformer_sc as grs

    table = {
        f"grnformer_sc, warmup = {w}": grs.get.tf_effects(rna, group=name, key=f"warmup {w}") for w in ("0", "0.5")
    }
    weight = next(iter(table.values()))
    tf, gene = np.nonzero(weight.to_numpy())
    links = pd.MultiIndex.from_arrays([weight.index[tf], weight.columns[gene]])
    judged = links.get_level_values(0).isin(links[links.isin(known)].get_level_values(0))
    tf, gene, real = tf[judged], gene[judged], links[judged].isin(known)
    counts = rna[(rna.obs["cell_type"] == name).to_numpy()].to_df()
    x = np.log1p(counts.div(counts.sum(axis=1), axis=0) * 1e4)
    x = ((x - x.mean()) / x.std().clip(lower=1e-9))[weight.columns]
    size = np.abs((x[weight.index].to_numpy().T @ x.to_numpy() / len(x))[tf, gene])
    score = grs.metrics.average_precision
    out = {who: score(real, np.abs(each.to_numpy()[tf, gene])) for who, each in table.items()}
    return {
        **out,
        "Pearson": score(real, size),
        "chance": float(real.mean()),
        "known": real.sum(),
        "candidates": real.size,
    }


def promoters() -> pd.DataFrame:
    """CellOracle's base network of mouse promoters (motif hits; for non-commercial use)."""
    import scipy.sparse as sp

    with np.load(DATA / "regulatory_resources" / "celloracle_mm10_promoter_base_grn.npz", allow_pickle=False) as f:
        indices, indptr = f["data_indices"].astype(np.int64), f["indptr"]
        hits = sp.coo_matrix(sp.csr_matrix((np.ones(indices.size), indices, indptr), tuple(f["shape"])))
        return pd.DataFrame({"tf": f["tf"][hits.col], "gene": f["gene"][hits.row]}).drop_duplicates()
