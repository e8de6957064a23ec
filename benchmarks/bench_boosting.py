"""Region -> gene and TF -> gene boosting beside scikit-learn with the settings of SCENIC+ and GRNBoost2.

Cells come from the simulator, with seeds that no setting was chosen on. Every contender scores the same target genes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from race import run
from sklearn.metrics import average_precision_score

SEEDS = (11, 12)
TARGETS = 60  # genes that scikit-learn boosts


@cache
def simulated(n_cells: int, seed: int) -> dict[str, Any]:
    """Log-normalised matrices, TFs, candidate pairs, target genes and the truth."""
    import grnformer_sc as grs
    from grnformer_sc.grn.embedding import log_normalise

    mdata = grs.datasets.simulate_multiome(n_cells, n_genes=500, n_tfs=40, rng=seed)
    rna, atac = mdata["rna"], mdata["atac"]
    grs.pp.link_regions(mdata)
    pairs = atac.uns["region_gene"].astype({"gene": str, "region": str})
    pairs = pd.DataFrame(
        {"gene": rna.var_names.get_indexer(pairs["gene"]), "region": atac.var_names.get_indexer(pairs["region"])}
    ).sort_values(["gene", "region"], ignore_index=True)
    tfs = np.flatnonzero(rna.var["is_tf"])
    others = np.setdiff1d(np.arange(rna.n_vars), tfs)
    truth = rna.uns["truth"]
    return {
        "counts": rna.X, "codes": rna.obs["cell_type"].cat.codes.to_numpy().astype(np.int64),
        "expression": log_normalise(rna.X).toarray(), "accessibility": log_normalise(atac.X).tocsc(), "tfs": tfs,
        "pairs": pairs, "targets": np.sort(np.random.default_rng(seed).choice(others, TARGETS, replace=False)),
        "tf_gene": places(rna.var_names, truth["tf"], rna.var_names, truth["gene"]),
        "region_gene": places(atac.var_names, truth["region"], rna.var_names, truth["gene"]),
    }  # fmt: skip


def places(first: pd.Index, left: pd.Series, second: pd.Index, right: pd.Series) -> set[tuple[int, int]]:
    return set(zip(first.get_indexer(left).tolist(), second.get_indexer(right).tolist(), strict=True))


def precision(rows: np.ndarray, columns: np.ndarray, score: np.ndarray, truth: set[tuple[int, int]]) -> float:
    known = [pair in truth for pair in zip(rows.tolist(), columns.tolist(), strict=True)]
    return float(average_precision_score(known, score))


def near(data: dict[str, Any]) -> pd.DataFrame:
    """Candidate pairs of the target genes."""
    return data["pairs"][data["pairs"]["gene"].isin(data["targets"])]


def region_gene_ours(n_cells: int, seed: int) -> Callable[[], np.ndarray]:
    from grnformer_sc._core.rng import seeds_for
    from grnformer_sc.grn.boosting import REGION_GENE
    from grnformer_sc.grn.region_gene import score_pairs

    data = simulated(n_cells, seed)
    pairs = near(data)
    seeds = seeds_for(seed, "bench", map(str, range(data["expression"].shape[1])))
    given = data["expression"], data["accessibility"], pairs["gene"].to_numpy(), pairs["region"].to_numpy(), seeds

    def call() -> np.ndarray:
        return score_pairs(*given, settings=REGION_GENE, n_jobs=1)[0]

    call()
    return call


def region_gene_sklearn(n_cells: int, seed: int) -> Callable[[], np.ndarray]:
    from rivals.sklearn_boosting import region_gene

    data = simulated(n_cells, seed)
    pairs = near(data)
    inputs = [
        (data["accessibility"][:, part["region"]].toarray(), data["expression"][:, gene])
        for gene, part in pairs.groupby("gene")
    ]
    return lambda: np.concatenate([region_gene(x, y, 0) for x, y in inputs])


@pytest.mark.parametrize("seed", SEEDS)
def bench_region_gene(record: Callable[..., None], seed: int) -> None:
    what, n_cells = f"region -> gene, 2,000 cells, {TARGETS} genes, seed {seed}", 2000
    data = simulated(n_cells, seed)
    pairs = near(data)
    theirs, lap = run(region_gene_sklearn, n_cells, seed, repeats=1), run(region_gene_ours, n_cells, seed, repeats=3)
    score = {
        who: precision(pairs["region"].to_numpy(), pairs["gene"].to_numpy(), found.result, data["region_gene"])
        for who, found in (("theirs", theirs), ("ours", lap))
    }
    ratio, r = theirs.cpu_s / lap.cpu_s, float(np.corrcoef(theirs.result, lap.result)[0, 1])
    record(what, "scikit-learn, SCENIC+'s settings", **theirs.row(), aupr=score["theirs"])
    record(what, "grnformer_sc", **lap.row(), aupr=score["ours"], times_less_cpu=ratio, correlation=r)
    assert r >= 0.95
    assert score["ours"] >= score["theirs"] - 0.01
    assert ratio >= 18


def tf_gene_ours(n_cells: int, seed: int, sampled: bool) -> Callable[[], np.ndarray]:
    from grnformer_sc._core.rng import seeds_for
    from grnformer_sc.grn.boosting import TF_GENE
    from grnformer_sc.grn.pooling import plan_rows, sample_cells
    from grnformer_sc.grn.tf_gene import tf_gene_links

    data = simulated(n_cells, seed)
    seeds = seeds_for(seed, "bench", map(str, range(data["expression"].shape[1])))

    def call() -> np.ndarray:
        x = data["expression"]
        if sampled:
            x = x[sample_cells(data["codes"], plan_rows(n_cells, np.inf).n_pools, np.random.default_rng(seed))]
        links = tf_gene_links(x, data["tfs"], seeds, settings=TF_GENE, n_jobs=1)
        return links.importance[:, data["targets"]].T

    call()
    return call


def tf_gene_sklearn(n_cells: int, seed: int) -> Callable[[], np.ndarray]:
    from rivals.sklearn_boosting import tf_gene

    data = simulated(n_cells, seed)
    x = np.ascontiguousarray(data["expression"][:, data["tfs"]])
    return lambda: np.stack([tf_gene(x, data["expression"][:, g], 0)[0] for g in data["targets"]])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("n_cells", "sampled", "bar"), [(2000, False, 10), (10_000, True, 30)])
def bench_tf_gene(record: Callable[..., None], seed: int, n_cells: int, sampled: bool, bar: float) -> None:
    cells = "3,000 of 10,000 cells (the default)" if sampled else "the same 2,000 cells"
    what = f"TF -> gene on {cells}, per target gene, 40 TFs, seed {seed}"
    data = simulated(n_cells, seed)
    theirs, lap = run(tf_gene_sklearn, n_cells, seed, repeats=1), run(tf_gene_ours, n_cells, seed, sampled, repeats=3)
    gene, tf = np.repeat(data["targets"], data["tfs"].size), np.tile(data["tfs"], TARGETS)
    score = {
        who: precision(tf, gene, found.result.ravel(), data["tf_gene"])
        for who, found in (("theirs", theirs), ("ours", lap))
    }
    per_gene = lap.cpu_s / data["expression"].shape[1]  # ours scores all genes of the set
    ratio = theirs.cpu_s / TARGETS / per_gene
    record(what, "scikit-learn, GRNBoost2's settings", cpu_s=theirs.cpu_s / TARGETS, aupr=score["theirs"])
    record(what, "grnformer_sc", cpu_s=per_gene, aupr=score["ours"], times_less_cpu=ratio, note="ridge and boosting")
    assert sampled or score["ours"] > score["theirs"]
    assert ratio >= bar
