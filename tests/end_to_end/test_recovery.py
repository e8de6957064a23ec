"""The planted network is found, and better than by correlation."""

from __future__ import annotations

import numpy as np
import pytest

import grnformer_sc as grs


@pytest.fixture(scope="module")
def mdata():
    made = grs.datasets.simulate_multiome(800, n_genes=160, n_tfs=16, n_types=4, rng=21)
    grs.tl.build_grn(made, groupby="cell_type")
    return made


def test_links_are_found_above_chance_at_all_levels(mdata):
    rna = mdata["rna"]
    truth, edges = rna.uns["truth"], rna.uns["grn"]["edges"]
    grs.pp.link_regions(mdata)
    n_pairs = len(mdata["atac"].uns["region_gene"])
    n_tfs = int(rna.var["is_tf"].sum())
    universes = {
        ("tf", "gene"): n_tfs * (rna.n_vars - 1),
        ("region", "gene"): n_pairs,
        ("tf", "region", "gene"): n_tfs * n_pairs,
    }
    floors = {("tf", "gene"): 2, ("region", "gene"): 8, ("tf", "region", "gene"): 50}
    known = truth.merge(mdata["atac"].uns["region_gene"][["region", "gene"]], on=["region", "gene"])
    for on, universe in universes.items():
        found = grs.metrics.link_recovery(edges, known, on=on, universe=universe)
        assert found["aupr"] > floors[on] * found["random"], on


def test_signs_of_found_links_are_mostly_right(mdata):
    rna = mdata["rna"]
    both = rna.uns["grn"]["edges"].merge(rna.uns["truth"], on=["tf", "gene"], suffixes=("", "_true"))
    both = both.drop_duplicates(["tf", "gene", "sign"])
    assert (both["sign"] == both["sign_true"]).mean() > 0.75


def test_bits_follow_the_true_activity_of_activators(mdata):
    """AUC of an eRegulon and the hidden activity of its TF go together, cell by cell."""
    rna = mdata["rna"]
    activity = rna.obsm["truth_activity"]
    auc = rna.obsm["grn_auc"]
    tfs = [name for name in auc if name.endswith("|act|open")]
    r = [np.corrcoef(auc[name], np.asarray(activity[name.split("|")[0]]))[0, 1] for name in tfs]
    assert np.nanmedian(r) > 0.25
