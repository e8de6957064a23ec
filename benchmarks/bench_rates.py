"""False discovery rates where the truth is known, what they cost, and how stable edges are.

Null cells have the cell types, factors and motifs of simulated cells, but no planted link: what is discovered there is
false. `tf_gene_fdr` has no bar there, because a TF and a gene that share a factor are associated. Cost and stability are
those of the small mouse cortex set (needs GRS_DATA_DIR). Both presets use the same regressions; `bench_stability_beside`
has those of SCENIC+ as well (seeds fixed for all), on some target genes. The rows of SCENIC+ are all cells, accessibility
being averaged over neighbours in place of its topic model.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from race import run
from stability import N_TARGETS, networks

RATES = ("fdr", "region_gene_fdr", "tf_gene_fdr")
LINKS = {"fdr": ["tf", "region", "gene"], "region_gene_fdr": ["region", "gene"], "tf_gene_fdr": ["tf", "gene"]}
NULL_SEEDS, TRUE_SEEDS = range(20, 40), (11, 12)
GOLDEN = Path(os.environ.get("GRS_GOLDEN_DIR", ""), "scenicplus", "cortex_cistromes_from_celloracle.npz")
needs_data = pytest.mark.skipif(not os.environ.get("GRS_DATA_DIR"), reason="GRS_DATA_DIR is not set")


def rated(
    seed: int, *, planted: bool, n_cells: int, n_genes: int, n_tfs: int
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Edges and eRegulons with their rates, and the true links."""
    import grnformer_sc as grs

    mdata = grs.datasets.simulate_multiome(n_cells, n_genes=n_genes, n_tfs=n_tfs, n_types=4, planted=planted, rng=seed)
    with grs.settings.override(progress=False):
        grs.tl.build_grn(mdata, groupby="cell_type", n_perm=10)
    found = mdata["rna"].uns["grn"]
    return found["edges"], found["eregulons"], mdata["rna"].uns["truth"]


@cache
def null_run(seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    return rated(seed, planted=False, n_cells=500, n_genes=150, n_tfs=20)


@pytest.mark.parametrize("level", [0.05, 0.1])
def bench_null(record: Callable[..., None], level: float) -> None:
    runs = [null_run(seed) for seed in NULL_SEEDS]
    for rate in RATES:
        n_found = np.array([(edges[rate] <= level).sum() for edges, _, _ in runs])
        record(
            f"nothing planted: links with {rate} <= {level}", "grnformer_sc", simulations=len(runs),
            links=float(sum(len(edges) for edges, _, _ in runs)), discovered=float(n_found.sum()),
            simulations_with_any=float((n_found > 0).mean()),
        )  # fmt: skip
        assert rate == "tf_gene_fdr" or (n_found > 0).mean() <= level
    n_found = np.array([(eregulons["fdr"] <= level).sum() for _, eregulons, _ in runs])
    record(
        f"nothing planted: eRegulons with fdr <= {level}", "grnformer_sc", simulations=len(runs),
        links=float(sum(len(eregulons) for _, eregulons, _ in runs)), discovered=float(n_found.sum()),
        simulations_with_any=float((n_found > 0).mean()),
    )  # fmt: skip
    assert (n_found > 0).mean() <= level


@pytest.mark.parametrize("seed", TRUE_SEEDS)
def bench_planted(record: Callable[..., None], seed: int) -> None:
    edges, _, truth = rated(seed, planted=True, n_cells=2000, n_genes=300, n_tfs=30)
    edges = edges.astype(dict.fromkeys(("tf", "region", "gene"), str))
    for rate, on in LINKS.items():
        known = truth[on].drop_duplicates()
        for level in (0.05, 0.1, 0.2, 0.5):
            found = edges.loc[edges[rate] <= level, on].drop_duplicates()
            false = 1 - len(found.merge(known)) / len(found) if len(found) else float("nan")
            record(
                f"planted, seed {seed}: links with {rate} <= {level}", "grnformer_sc",
                links=float(len(edges[on].drop_duplicates())), discovered=float(len(found)), false_share=false,
            )  # fmt: skip


def cortex(options: dict[str, Any]) -> Callable[[], None]:
    import grnformer_sc as grs

    mdata = grs.datasets.snare_cortex(subset="small")

    def call() -> None:
        grs.tl.build_grn(mdata, groupby="cell_type", n_jobs=1, **options)

    call()
    return call


@needs_data
def bench_cost(record: Callable[..., None]) -> None:
    plain = run(cortex, {}, repeats=2)
    record("cortex, small", "one network", **plain.row(), times=1.0)
    for name, options, bar in (("n_perm=10", {"n_perm": 10}, 8), ("n_runs=5", {"n_runs": 5}, 5.5)):
        lap = run(cortex, options, repeats=2)  # as many as of one network: the smallest counts
        record("cortex, small", name, **lap.row(), times=lap.cpu_s / plain.cpu_s)
        assert lap.cpu_s / plain.cpu_s <= bar


def promoter_hits(regions: pd.Index) -> pd.DataFrame:
    """Regions x TFs of the golden files: hits of a table of mouse promoters (7 % of the regions lie in one)."""
    with np.load(GOLDEN) as z:
        hits = sp.csc_matrix((np.ones(z["region_index"].size), z["region_index"], z["indptr"]), tuple(z["shape"]))
        return pd.DataFrame.sparse.from_spmatrix(hits, index=regions, columns=z["tf"])


def subsampled(preset: str, *, motifs: bool) -> Callable[[], list[pd.DataFrame]]:
    """Networks of five random 90 % of the cells."""
    import grnformer_sc as grs

    mdata = grs.datasets.snare_cortex(subset="small")
    hits = promoter_hits(mdata["atac"].var_names) if motifs else None

    def call() -> list[pd.DataFrame]:
        found = []
        for number in range(5):
            keep = np.sort(np.random.default_rng(number).permutation(mdata.n_obs)[: round(0.9 * mdata.n_obs)])
            part = (mdata["rna"][keep].copy(), mdata["atac"][keep].copy())
            grs.tl.build_grn(part, groupby="cell_type", preset=preset, motifs=hits, rng=number)
            found.append(part[0].uns["grn"]["edges"])
        return found

    return call


def jaccard(networks: list[pd.DataFrame], on: list[str], top: int | None = None, *, by: str = "score") -> float:
    """Mean over pairs of networks; with `top` of so many best links each (those of largest score, or of smallest rank)."""
    ordered = [e.sort_values(by, ascending=by == "triplet_rank", kind="stable") for e in networks]
    best = [e[on].astype(str).drop_duplicates() for e in ordered]
    sets = [set(table.head(top or len(table)).itertuples(index=False, name=None)) for table in best]
    pairs = [(a, b) for i, a in enumerate(sets) for b in sets[:i]]
    return float(np.mean([len(a & b) / len(a | b) for a, b in pairs]))


@needs_data
@pytest.mark.skipif(not GOLDEN.exists(), reason="GRS_GOLDEN_DIR is not set")
@pytest.mark.parametrize("motifs", [False, True], ids=["no motifs", "promoter motifs"])
def bench_stability(record: Callable[..., None], *, motifs: bool) -> None:
    for preset in ("default", "scenicplus"):
        networks = run(subsampled, preset, motifs=motifs, repeats=1).result
        on = ["tf", "gene"]
        record(
            f"cortex, 5 x 90 % of the cells, {'promoter motifs' if motifs else 'no motifs'}", f"preset {preset}",
            links=float(np.mean([len(e[on].drop_duplicates()) for e in networks])), jaccard_tf_gene=jaccard(networks, on),
            jaccard_tf_gene_best_2000=jaccard(networks, on, 2000), jaccard_edges=jaccard(networks, [*on, "region"]),
        )  # fmt: skip


CONTENDERS = {  # preset, regressions of SCENIC+, its rows, runs
    "default": ("default", False, False, 1),
    "default, consensus of 5 runs": ("default", False, False, 5),
    "preset scenicplus": ("scenicplus", False, False, 1),
    "preset scenicplus, rows of SCENIC+": ("scenicplus", False, True, 1),
    "SCENIC+": ("scenicplus", True, True, 1),
}


@needs_data
@pytest.mark.skipif(not GOLDEN.exists(), reason="GRS_GOLDEN_DIR is not set")
def bench_stability_beside(record: Callable[..., None]) -> None:
    """All links, and equal numbers of the best ones: of larger sets more is shared by chance."""
    laps = {
        who: run(networks, preset, promoter_hits, theirs=theirs, smooth=smooth, n_runs=n_runs, repeats=1)
        for who, (preset, theirs, smooth, n_runs) in CONTENDERS.items()
    }
    pair, triplet = ["tf", "gene"], ["tf", "gene", "region"]
    for name in ("no motifs", "promoter motifs"):
        fewest = {
            tuple(on): min(len(e[on].drop_duplicates()) for lap in laps.values() for e in lap.result[name])
            for on in (pair, triplet)
        }
        for who, lap in laps.items():
            found = lap.result[name]
            by = "score" if who.startswith("default") else "triplet_rank"
            record(
                f"cortex, 5 x 90 % of the cells, {N_TARGETS} genes, {name}", who, cpu_s=lap.cpu_s,
                links=float(np.mean([len(e[pair].drop_duplicates()) for e in found])),
                edges=float(np.mean([len(e) for e in found])),
                jaccard_tf_gene=jaccard(found, pair), jaccard_edges=jaccard(found, triplet),
                best_links=float(fewest[tuple(pair)]), jaccard_best_links=jaccard(found, pair, fewest[tuple(pair)], by=by),
                best_edges=float(fewest[tuple(triplet)]),
                jaccard_best_edges=jaccard(found, triplet, fewest[tuple(triplet)], by=by),
            )  # fmt: skip
