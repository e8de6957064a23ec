"""Drug response of cell lines, GDSC ln IC50 (needs GRS_DATA_DIR): published test split, pairs, lines, tissues, networks.

Figures of the published split are those of its 4,729 pairs; `clean` leaves out the pairs whose line and drug are also in the
training rows. Elsewhere the 568 lines with expression of 706 genes (z-scores) and 223 drugs, repeated pairs averaged, five
folds; `within_drug` is the median over drugs of the correlation over the lines of a fold, with an interval from drawing
lines. Rank, penalties and kernels are chosen inside the training part of every fold, the ridge of the regressions too. What
a network adds is the paired difference over drugs from the mean of ten rewired networks, with an interval from drawing
drugs; the network is CollecTRI. `GRS_BENCH_CACHE=<folder>` keeps the runs with networks, 20 CPU seconds each.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import published_split as split
import pytest
from race import run as race
from scipy.stats import spearmanr

DATA, CACHE = (Path(os.environ.get(name, "")) for name in ("GRS_DATA_DIR", "GRS_BENCH_CACHE"))
STORED = {
    "DeepCDR": 0.8372, "scFoundation + DeepCDR": 0.8822, "drug mean": 0.8385, "offsets": 0.8782, "factors, rank 10": 0.9244,
}  # fmt: skip
NETWORK = ("X", "regulons", "smoothed")
SOME_DRUGS = 60  # with the network of DeepCDR
SPLITS = {"lines": {"split": "line"}, "tissues": {"split": "group", "groups": "tissue"}}

pytestmark = pytest.mark.skipif(not (DATA / "drug_response").is_dir(), reason="GRS_DATA_DIR is not set")


def cell_lines() -> Any:
    """The 568 lines with expression and responses, their tissue, and CollecTRI."""
    import anndata as ad

    import grnformer_sc as grs

    folder = DATA / "drug_response"
    x = pd.read_csv(folder / "ccle_expression_z_580lines_706cosmic_genes.csv.gz", index_col=0)
    tissue = (
        pd.read_csv(folder / "cell_line_annotation.csv.gz").drop_duplicates("depMapID").set_index("depMapID")["type"]
    )
    obs = pd.DataFrame({"tissue": tissue.reindex(x.index).fillna("unknown")})
    drugs = pd.read_csv(folder / "gdsc_drugs_smiles.csv.gz").dropna(subset=["smiles"])
    table = grs.priors.read_gdsc(folder / "gdsc_lnIC50_266drugs_969lines.csv.gz", drugs=split.pubchem(DATA))
    x = x[x.index.isin(table["line"])]
    lines = ad.AnnData(x.astype(np.float32), obs=obs.loc[x.index])
    smiles = dict(zip(drugs["PubCHEM"].astype(str), drugs["smiles"], strict=True))
    grs.pp.drug_response_setup(lines, table, smiles=smiles)
    grs.pp.add_network(lines, DATA / "networks" / "collectri_human.csv.gz")
    return lines


def figures(truth: np.ndarray, found: np.ndarray, leaked: np.ndarray) -> dict[str, float]:
    return {
        "pearson": float(np.corrcoef(truth, found)[0, 1]), "clean": float(np.corrcoef(truth[~leaked], found[~leaked])[0, 1]),
        "spearman": float(spearmanr(truth, found).statistic), "rmse": float(np.sqrt(((truth - found) ** 2).mean())),
    }  # fmt: skip


def bench_published(record: Callable[..., None]) -> None:
    from grnformer_sc.grn.drug.factors import factorise, offsets
    from grnformer_sc.grn.drug.kernels import gaussian
    from grnformer_sc.grn.drug.model import Similarity, means
    from grnformer_sc.grn.drug.predictor import predictor

    table = split.rows_of_protocol(DATA)
    rows = split.test_rows(table, DATA)
    train, test = split.training_rows(table, rows), table.iloc[rows]
    pairs = pd.MultiIndex.from_frame(test[["line", "drug"]])
    leaked = pairs.isin(pd.MultiIndex.from_frame(train[["line", "drug"]]))
    wide = train.pivot_table(index="line", columns="drug", values="value", aggfunc="mean")
    known = wide.notna().to_numpy()
    y = wide.fillna(0.0).to_numpy()
    methylation = pd.read_csv(DATA / "drug_response" / "ccle_methylation_561x808.csv.gz", index_col=0).loc[wide.index]
    features = Similarity((gaussian(methylation.to_numpy(dtype=np.float64)),))
    place = wide.index.get_indexer(test["line"]), wide.columns.get_indexer(test["drug"])
    what = f"published split: {len(test):,} pairs, {int((~leaked).sum()):,} clean"

    def chosen(method: str, similar: Similarity) -> np.ndarray:
        run = predictor(method, y, similar, split="pair", groups=None)
        return run(known, np.random.default_rng(0), False)[0]

    def drug_mean() -> np.ndarray:
        rows_too = train.groupby("drug")["value"].mean()  # of rows, as in the published protocol
        return np.tile(rows_too.reindex(wide.columns).to_numpy(), (len(wide), 1))

    ours = {
        "drug mean": drug_mean,
        "offsets": lambda: offsets(y, known).matrix(),
        "factors, rank 10": lambda: factorise(y, known, rank=10, penalty=10.0).matrix(),
        "mf": lambda: chosen("mf", Similarity()),
        "grnformer, methylation": lambda: chosen("grnformer", features),
        "line mean": lambda: means(y, known, of="line_mean"),
    }
    found = {who: split.published(DATA, who)[1] for who in split.FILES}
    found |= {who: make()[place] for who, make in ours.items()}
    truth = split.published(DATA, "DeepCDR")[0]
    scores = {who: figures(truth, values, leaked) for who, values in found.items()}
    for who, values in found.items():
        spread = (
            pd.DataFrame({"drug": test["drug"].to_numpy(), "x": values, "y": truth}).groupby("drug")[["x", "y"]].std()
        )
        record(what, who, **scores[who], spread=float((spread["x"] / spread["y"]).median()))
    for who, value in STORED.items():
        assert abs(scores[who]["pearson"] - value) <= 0.005
    for who in ("mf", "grnformer, methylation"):
        assert scores[who]["clean"] >= 0.93


def fitted(lines: Any, record: Callable[..., None], what: str, who: str, **arguments: Any) -> pd.Series:
    """Run a method, record its scores, give the correlation of each drug."""
    import time

    import grnformer_sc as grs

    start = time.process_time()
    grs.tl.drug_response(lines, final=False, key_added="one", **arguments)
    seconds = time.process_time() - start
    table = grs.get.drug_response(lines, key="one")
    scores = grs.metrics.drug_response_scores(table)
    wanted = ("within_drug", "within_line", "pearson", "rmse", "spread", "collapsed")
    shown = {name: float(scores.loc[name, "value"]) for name in wanted}
    low, high = scores.loc["within_drug", ["low", "high"]]
    record(what, who, **shown, low=float(low), high=float(high), cpu_s=seconds)
    assert seconds < 300
    return grs.metrics.within_correlation(table)


def bench_pairs(record: Callable[..., None]) -> None:
    import grnformer_sc as grs

    lines, what = cell_lines(), "random pairs"
    for method in ("drug_mean", "offsets", "mf", "grnformer"):
        fitted(lines, record, what, method, method=method, split="pair")
        table = grs.get.drug_response(lines, key="one")
        pearson = float(np.corrcoef(table["value"], table["predicted"])[0, 1])
        assert method in ("drug_mean", "offsets") or pearson >= 0.94


@pytest.mark.parametrize("name", ["lines", "tissues"])
def bench_unseen(record: Callable[..., None], name: str) -> None:
    import grnformer_sc as grs

    lines, what = cell_lines(), f"unseen {name}"
    given = SPLITS[name]
    lines.obsm["tissue"] = pd.get_dummies(lines.obs["tissue"]).to_numpy(dtype=float)
    lines.obsm["exchanged"] = lines.X[np.random.default_rng(0).permutation(lines.n_obs)]
    fitted(lines, record, what, "drug_mean", method="drug_mean", **given)
    fitted(lines, record, what, "ridge on exchanged lines", method="ridge", use_rep="exchanged", **given)
    fitted(lines, record, what, "ridge on tissue", method="ridge", use_rep="tissue", **given)
    ridge = fitted(lines, record, what, "ridge", method="ridge", **given)
    ours = fitted(lines, record, what, "grnformer", method="grnformer", **given)
    gain = grs.metrics.bootstrap_mean(ours - ridge)
    record(
        what,
        "grnformer over ridge, by drug",
        gain=float(gain["mean"]),
        low=float(gain["low"]),
        high=float(gain["high"]),
    )
    assert gain["low"] > 0
    assert ours.median() > ridge.median()


def bench_unseen_drugs(record: Callable[..., None]) -> None:
    lines = cell_lines()
    for name in ("drug", "both"):
        what = "unseen drugs" if name == "drug" else "unseen lines and drugs"
        fitted(lines, record, what, "line_mean", method="line_mean", split=name)
        fitted(lines, record, what, "offsets", method="offsets", split=name)
        fitted(lines, record, what, "grnformer, morgan", method="grnformer", drug_rep="morgan", split=name)


def bench_deepcdr(record: Callable[..., None]) -> None:
    """One fold of lines and some of the drugs: the network takes minutes where the others take seconds."""
    from grnformer_sc.grn.drug.folds import folds_of
    from grnformer_sc.tl._drug_inputs import responses_of

    lines, what = cell_lines(), f"unseen lines, one fold, {SOME_DRUGS} drugs"
    lines.obsm["drug_response"][:, SOME_DRUGS:] = np.nan
    known = responses_of(lines).known
    fold = folds_of("line", known, n_splits=5, groups=None, rng=np.random.default_rng(0))
    held = pd.Series(0, index=lines.obs_names[(fold == 0).any(axis=1)])
    for method in ("ridge", "grnformer", "deepcdr"):
        fitted(lines, record, what, method, method=method, split=held)


@pytest.mark.parametrize(("name", "reps"), [("lines", NETWORK), ("lines", ("regulons",)), ("tissues", NETWORK)])
def bench_network(record: Callable[..., None], name: str, reps: tuple[str, ...]) -> None:
    import grnformer_sc as grs

    table = grs.bench.drug_response(cell_lines(), use_rep=reps, baselines=(), **SPLITS[name])
    file = CACHE / f"drug_{name}_{len(reps)}.csv" if str(CACHE) != "." else None
    scores = grs.bench.run(table, file)
    scores = scores[scores["metric"] == "within_drug"]
    wide = scores.pivot_table(index="item", columns=["network", "seed"], values="value")
    what, who = f"what a network adds, unseen {name}", " + ".join(reps)
    for network in ("own", "none", "permuted", "rewired"):
        if network in wide:
            record(what, f"{who}, {network}", within_drug=float(wide[network].mean(axis=1).median()))
    for other in ("rewired", "permuted", "none"):
        if other in wide:
            gain = grs.metrics.bootstrap_mean(wide["own"].mean(axis=1) - wide[other].mean(axis=1))
            ends = {end: float(gain[end]) for end in ("low", "high")}
            record(what, f"{who}, own less {other}", gain=float(gain["mean"]), **ends)


def factors() -> Callable[[], float]:
    """Offsets and 20 factors of 568 lines and 223 drugs."""
    from grnformer_sc.grn.drug.factors import factorise
    from grnformer_sc.tl._drug_inputs import responses_of

    given = responses_of(cell_lines())
    values = np.where(given.known, given.values, 0.0)
    return lambda: factorise(values, given.known, rank=20, penalty=10.0).mean


def bench_seconds(record: Callable[..., None]) -> None:
    lap = race(factors, repeats=3)
    record("offsets and 20 factors", "grnformer_sc", **lap.row())
    assert lap.cpu_s < 5
