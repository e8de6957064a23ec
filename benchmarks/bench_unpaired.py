"""Planted links from RNA and ATAC of different cells, beside the same cells paired and ATAC with shuffled labels.

Half of the simulated cells keep their RNA, the other half their ATAC; only the labels of cell types are shared.
"""

from __future__ import annotations

from collections.abc import Callable

import mudata
import numpy as np
import pandas as pd
import pytest

import grnformer_sc as grs


def recovered(pair: object, truth: pd.DataFrame, space: pd.DataFrame) -> dict[str, float]:
    """Average precision over chance at both levels."""
    grs.tl.build_grn(pair, groupby="cell_type")
    rna = pair["rna"]
    edges, n_tfs = rna.uns["grn"]["edges"], int(rna.var["is_tf"].sum())
    known = truth.merge(space[["region", "gene"]], on=["region", "gene"])
    found = {}
    for name, on, universe in (
        ("tf_gene_ratio", ("tf", "gene"), n_tfs * (rna.n_vars - 1)), ("region_gene_ratio", ("region", "gene"), len(space)),
    ):  # fmt: skip
        found[name] = float(grs.metrics.link_recovery(edges, known, on=on, universe=universe)["aupr_ratio"])
    return found


@pytest.mark.parametrize("seed", [1, 2, 11, 12])
def bench_unpaired(record: Callable[..., None], seed: int) -> None:
    with grs.settings.override(progress=False), mudata.set_options(pull_on_update=False):
        mdata = grs.datasets.simulate_multiome(800, n_genes=160, n_tfs=16, n_types=4, rng=seed)
        grs.pp.link_regions(mdata)
        space, truth = mdata["atac"].uns["region_gene"], mdata["rna"].uns["truth"]
        order = np.random.default_rng(seed).permutation(mdata.n_obs)
        half = mdata.n_obs // 2
        rna, atac = mdata["rna"][np.sort(order[:half])].copy(), mdata["atac"][np.sort(order[half:])].copy()
        mixed = atac.copy()
        mixed.obs["cell_type"] = np.random.default_rng(seed).permutation(np.asarray(atac.obs["cell_type"]))
        same = mudata.MuData({"rna": rna.copy(), "atac": mdata["atac"][rna.obs_names].copy()})
        record(f"unpaired cells, seed {seed}", "the same cells, paired", **recovered(same, truth, space))
        for who, other, method in (
            ("labels", atac, "labels"), ("ot", atac, "ot"), ("labels, those of ATAC shuffled", mixed, "labels"),
        ):  # fmt: skip
            made = grs.pp.pair_unpaired(rna, other, groupby="cell_type", method=method)
            record(f"unpaired cells, seed {seed}", who, **recovered(made, truth, space))
