"""cell_grn: a frozen network gives the same cell the same bits, anywhere."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import grnformer_sc as grs


@pytest.fixture(scope="module")
def built(toy_mdata):
    mdata = toy_mdata.copy()
    grs.tl.build_grn(mdata, groupby="cell_type")
    return mdata


def test_a_cell_has_the_same_bits_in_any_subset_and_gene_order(built):
    rng = np.random.default_rng(0)
    rna = built["rna"]
    rows = rng.choice(rna.n_obs, 60, replace=False)
    new = rna[rows][:, rng.permutation(rna.n_vars)].copy()
    grs.tl.cell_grn(new, net=built, groupby="cell_type")
    pd.testing.assert_frame_equal(new.obsm["grn_auc"], rna.obsm["grn_auc"].iloc[rows], check_exact=True)
    assert (new.obsm["grn_active"] != rna.obsm["grn_active"][rows]).nnz == 0


def test_cells_hold_bits_and_never_a_graph(built):
    """Three times the cells store the same network once, and per cell a byte or so per active eRegulon."""
    rna = built["rna"]
    many = ad.concat([rna, rna, rna], index_unique="-")
    grs.tl.cell_grn(many, net=built, groupby="cell_type")
    pd.testing.assert_frame_equal(many.uns["grn"]["edges"], rna.uns["grn"]["edges"])
    bits = many.obsm["grn_active"]
    assert bits.dtype == bool
    size = bits.data.nbytes + bits.indices.nbytes + bits.indptr.nbytes
    assert size <= 8 * bits.nnz + 8 * (many.n_obs + 1)
    cells = many.obs_names[::12]
    n_edges = sum(len(grs.get.grn(many, cell=cell)) for cell in cells)
    as_graphs = 12 * n_edges / len(cells) * many.n_obs  # two ends and a weight, four bytes each
    assert size < as_graphs / 20
    assert not [key for key in many.uns if key not in ("grn", "grn_cells")]


def test_scoring_the_same_cells_again_changes_nothing(built):
    again = built.copy()
    grs.tl.cell_grn(again)
    for key in ("grn_active", "grn_active_region"):
        assert (again["rna"].obsm[key] != built["rna"].obsm[key]).nnz == 0
    pd.testing.assert_frame_equal(again["rna"].uns["grn"]["edges"], built["rna"].uns["grn"]["edges"])
    assert again["rna"].uns["grn"]["cell_params"]["thresholds"] == "reference"


def test_fitted_thresholds_equal_those_of_build_grn_on_its_own_cells(built):
    again = built.copy()
    grs.tl.cell_grn(again, thresholds="fit")
    a, b = again["rna"].uns["grn"]["eregulons"], built["rna"].uns["grn"]["eregulons"]
    np.testing.assert_array_equal(a["threshold"], b["threshold"])


def test_missing_genes_count_as_zeros_and_are_recorded(built):
    rna = built["rna"]
    genes = rna.uns["grn"]["edges"]["gene"].astype(str).unique()
    new = rna[:, ~rna.var_names.isin(genes[:3])].copy()
    grs.tl.cell_grn(new, net=built, groupby="cell_type")
    assert new.uns["grn"]["cell_params"]["dropped"]["genes_missing"] == 3


def test_too_few_genes_are_an_error(built):
    new = built["rna"][:, :20].copy()
    with pytest.raises(ValueError, match=r"network's genes must be in the data"):
        grs.tl.cell_grn(new, net=built, groupby="cell_type")


def test_labels_must_be_known(built):
    new = built["rna"][:40].copy()
    del new.obs["grn_group"]
    with pytest.raises(KeyError, match="need the cell types"):
        grs.tl.cell_grn(new, net=built)
    new.obs["label"] = "other"
    with pytest.raises(ValueError, match=r"unknown \[other\]"):
        grs.tl.cell_grn(new, net=built, groupby="label")


def test_without_a_network_it_says_how_to_make_one(toy):
    with pytest.raises(KeyError, match="build_grn"):
        grs.tl.cell_grn(toy["rna"])


def test_copy_returns_the_result(built):
    made = grs.tl.cell_grn(built["rna"][:30].copy(), net=built["rna"].uns["grn"], copy=True)
    assert sp.issparse(made.obsm["grn_active"])


@pytest.mark.parametrize("again", ["build", "score"])
def test_another_network_leaves_nothing_of_the_one_before(built, again):
    rna = built["rna"].copy()
    if again == "build":
        grs.tl.build_grn(rna, groupby="cell_type", tfs=list(rna.var_names[rna.var["is_tf"]][:5]))
    else:
        links = grs.get.grn(rna)[["tf", "gene", "sign"]].drop_duplicates().groupby("tf", observed=True).head(20)
        grs.tl.cell_grn(rna, net=links, groupby="cell_type", thresholds="fit")
    assert not {"grn_auc_region", "grn_active_region"} & set(rna.obsm)
    assert "grn_auc_region_pool" not in rna.obs
    edges = grs.get.grn(rna)[["tf", "gene"]].astype(str).drop_duplicates()
    assert rna.varp["grn"].nnz == len(edges)
    fresh = built["rna"].copy()
    fresh.obsm["grn_active_region"] = built["rna"].obsm["grn_active_region"]
    fresh.obsm["grn_auc_region"] = built["rna"].obsm["grn_auc_region"].add_prefix("old ")
    with pytest.raises(ValueError, match="must be of the eRegulons of its network"):
        grs.pp.map_reference(rna.copy(), fresh, kind="region", k=1, cut=None)


def test_a_rebuilt_system_leaves_no_scores_of_cells(built):
    rna, options = built["rna"].copy(), {"top": 30}
    model = grs.model.Geneformer.untrained(dict.fromkeys(rna.var_names, 1.0), dim=8, heads=2, layers=1)
    given = {"checkpoint": model, "device": "cpu", "max_cells": 20}
    grs.tl.build_grn(rna, method="geneformer", tfs="is_tf", options={**given, **options, "per_cell": True})
    grs.tl.cell_grn(rna, key_added="grn_geneformer", thresholds="fit")
    assert {"grn_geneformer_active", "grn_geneformer_cells"} <= set(rna.obsm)  # of the same network: both stay
    grs.tl.build_grn(rna, method="geneformer", tfs="is_tf", options={**given, "top": 5})
    assert not [name for name in (*rna.obsm, *rna.obsp) if name.startswith("grn_geneformer")]
    assert "grn_geneformer_cells" not in rna.uns
