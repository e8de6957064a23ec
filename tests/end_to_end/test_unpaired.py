"""Links are found from RNA and ATAC of different cells, as far as labels tell them, and not with shuffled labels."""

from __future__ import annotations

import numpy as np
import pytest

import grnformer_sc as grs


@pytest.fixture(scope="module")
def unpaired():
    mdata = grs.datasets.simulate_multiome(800, n_genes=160, n_tfs=16, n_types=4, rng=1)
    grs.pp.link_regions(mdata)
    cells = np.random.default_rng(1).permutation(mdata.n_obs)
    rna, atac = mdata["rna"][cells[:400]].copy(), mdata["atac"][cells[400:]].copy()
    return mdata, rna, atac


def recovery(mdata, rna, atac, method):
    pairs = grs.pp.pair_unpaired(rna, atac, groupby="cell_type", method=method)
    grs.tl.build_grn(pairs, groupby="cell_type")
    space = mdata["atac"].uns["region_gene"][["region", "gene"]]
    known = mdata["rna"].uns["truth"].merge(space, on=["region", "gene"])
    n_tfs = int(rna.var["is_tf"].sum())
    universes = {("tf", "gene"): n_tfs * (rna.n_vars - 1), ("region", "gene"): len(space)}
    edges = pairs["rna"].uns["grn"]["edges"]
    return {on: grs.metrics.link_recovery(edges, known, on=on, universe=n)["aupr_ratio"] for on, n in universes.items()}


def test_links_are_found_and_shuffled_labels_find_fewer(unpaired):
    mdata, rna, atac = unpaired
    shuffled = atac.copy()
    shuffled.obs["cell_type"] = np.random.default_rng(1).permutation(atac.obs["cell_type"].astype(str))
    by_chance = recovery(mdata, rna, shuffled, "labels")
    for method in ("labels", "ot"):
        found = recovery(mdata, rna, atac, method)
        assert found["tf", "gene"] > max(1.5, by_chance["tf", "gene"])
        assert found["region", "gene"] > max(4, 2 * by_chance["region", "gene"])
