"""False discoveries of contrasts where nothing differs, and knock-outs that do differ.

Simulated donors: activities with donor effects and no effect of the condition. Real cells (needs `GRS_DATA_DIR`): the
control guides of THP-1 cells (Papalexi et al. 2021), dealt at random into two "conditions" within three replicates; and the
knock-outs of the interferon pathway beside those of genes that the network hardly knows.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import anndata as ad
import numpy as np
import pytest
from scipy.stats import false_discovery_control, ttest_ind
from truth import folder

import grnformer_sc as grs
from grnformer_sc.grn.contrasts import Labels, rank_table

N_RUNS, N_SPLITS, LEVEL = 200, 60, 0.05
FILE = folder() / "papalexi_thp1_eccite" / "papalexi_299genes.h5ad"


def between_cells(auc: np.ndarray, level: np.ndarray) -> np.ndarray:
    """P-values of Welch's test that takes every cell for a replicate."""
    return ttest_ind(auc[level == 0], auc[level == 1], equal_var=False).pvalue


def rates(runs: list[np.ndarray]) -> dict[str, float]:
    """Share of p-values up to .05, and of runs with any discovery, from the p-values of every run."""
    known = [p[~np.isnan(p)] for p in runs]
    return {
        "p_below_05": float(np.mean(np.concatenate(known) <= LEVEL)),
        "runs_with_discoveries": float(np.mean([(false_discovery_control(p) <= LEVEL).any() for p in known])),
    }


def donor_effects(rng: np.random.Generator, n_donors: int, kind: str) -> np.ndarray:
    """Effects of donors on 100 eRegulons whose spread is drawn, or four times as large in one of twenty."""
    drawn = {"drawn": np.sqrt(6 / rng.chisquare(6, 100)), "outliers": np.where(rng.random(100) < 0.05, 4.0, 1.0)}
    return rng.normal(0, 0.03, (n_donors, 100)) * drawn[kind]


@pytest.mark.parametrize("kind", ["drawn", "outliers"])
@pytest.mark.parametrize("n_donors", [6, 8, 16])
def bench_simulated_donors(record: Callable[..., None], n_donors: int, kind: str) -> None:
    rng = np.random.default_rng(n_donors)
    sample = np.repeat(np.arange(n_donors), 60)
    level, names = sample % 2, [f"e{i}" for i in range(100)]
    place = np.zeros_like(sample)
    labels = Labels(level, ("a", "b"), sample, tuple(map(str, range(n_donors))), place, ("",))
    runs: dict[str, list[np.ndarray]] = {"between samples": [], "between samples, ordinary t": [], "between cells": []}
    for _ in range(N_RUNS):
        donor = donor_effects(rng, n_donors, kind)
        auc = (0.4 + donor[sample] + rng.normal(0, 0.1, (sample.size, 100))).astype(np.float32)
        for who, moderate in (("between samples", True), ("between samples, ordinary t", False)):
            table = rank_table(auc, names, labels, ["a"], "b", min_cells=10, moderate=moderate)[0]
            runs[who].append(table["p"].to_numpy())
        runs["between cells"].append(between_cells(auc, level))
    for who, p in runs.items():
        record(f"no effect, {n_donors} simulated donors, spread {kind}", who, **rates(p))
    assert rates(runs["between samples"])["p_below_05"] < 0.06


def thp1() -> ad.AnnData:
    """Cells of the screen with a network of their transcription factors and knocked-out genes."""
    adata = ad.read_h5ad(FILE)
    adata = adata[np.asarray(adata.X.sum(axis=1)).ravel() > 0].copy()
    tfs = set(adata.obs["perturbation"].cat.categories) | set(grs.priors.tf_names(adata.var_names))
    grs.tl.build_grn(adata, tfs=sorted(tfs & set(adata.var_names)))
    return adata


@pytest.mark.skipif(not FILE.exists(), reason="GRS_DATA_DIR does not hold the THP-1 cells")
def bench_thp1(record: Callable[..., None]) -> None:
    with grs.settings.override(progress=False):
        cells = thp1()
        controls = cells[cells.obs["perturbation"] == "control"].copy()
        guides = sorted(set(controls.obs["grna"]))
        halves = list(combinations(guides, len(guides) // 2))
        order = np.random.default_rng(0).permutation(len(halves))[:N_SPLITS]
        eregulons, links, naive = [], [], []
        for i in order:
            controls.obs["half"] = np.where(controls.obs["grna"].isin(halves[i]), "a", "b")
            grs.tl.rank_eregulons(controls, "half", groups=["a"], reference="b", sample_key="replicate")
            grs.tl.differential_edges(controls, "half", group="a", reference="b", sample_key="replicate")
            eregulons.append(grs.get.rank_eregulons(controls)["p"].to_numpy())
            links.append(grs.get.differential_edges(controls)["p"].to_numpy())
            naive.append(
                between_cells(controls.obsm["grn_auc"].to_numpy(), (controls.obs["half"] == "b").to_numpy() * 1)
            )
        what = "THP-1 controls, random halves of the guides"
        record(what, "eRegulons between samples", **rates(eregulons))
        record(what, "links between samples", **rates(links))
        record(what, "eRegulons between cells", **rates(naive))
        for gene in ("IFNGR1", "IFNGR2", "JAK2", "STAT1", "IRF1", "SMAD4", "CD86", "CAV1", "ETV7", "PDCD1LG2"):
            pair = {"reference": "control", "sample_key": "replicate"}
            grs.tl.rank_eregulons(cells, "perturbation", groups=[gene], **pair)
            grs.tl.differential_edges(cells, "perturbation", group=gene, **pair)
            found = {"eregulons": grs.get.rank_eregulons(cells), "links": grs.get.differential_edges(cells)}
            counts = {name: int((table["fdr"] <= LEVEL).sum()) for name, table in found.items()}
            links = found["links"][found["links"]["fdr"] <= LEVEL]
            strength = {
                f"median_z_{side}": float(links[f"strength_{side}"].median()) for side in ("group", "reference")
            }
            sizes = {f"of_{name}": len(table) for name, table in found.items()}
            record("THP-1 knock-outs", gene, **counts, **sizes, **strength)
