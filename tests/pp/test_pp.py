"""Search space and metacells on AnnData objects."""

from __future__ import annotations

import numpy as np
import pytest

import grnformer_sc as grs
from grnformer_sc.grn.region_gene import parse_regions, search_space


def test_link_regions_writes_the_search_space_by_name(toy):
    grs.pp.link_regions(toy, window=100_000)
    table = toy["atac"].uns["region_gene"]
    rna, atac = toy["rna"], toy["atac"]
    pairs = search_space(rna.var, parse_regions(atac.var_names), window=100_000)
    assert table["gene"].tolist() == rna.var_names[pairs["gene"]].tolist()
    assert table["region"].tolist() == atac.var_names[pairs["region"]].tolist()
    np.testing.assert_array_equal(table["distance"], pairs["distance"])


def test_a_wider_window_only_adds_pairs(toy):
    near = grs.pp.link_regions(toy, window=50_000, copy=True)["atac"].uns["region_gene"]
    far = grs.pp.link_regions(toy, window=200_000, copy=True)["atac"].uns["region_gene"]
    assert set(map(tuple, near[["gene", "region"]].to_numpy())) < set(map(tuple, far[["gene", "region"]].to_numpy()))
    assert "region_gene" not in toy["atac"].uns


def test_link_regions_needs_atac_and_positions(toy):
    with pytest.raises(KeyError, match="modality 'atac'"):
        grs.pp.link_regions(toy["rna"])
    toy["rna"].var = toy["rna"].var[["is_tf"]]
    with pytest.raises(KeyError, match="annotation="):
        grs.pp.link_regions(toy)


def test_metacells_keep_all_counts_and_groups(toy):
    pools = grs.pp.metacells(toy, "cell_type", n_metacells=24)
    assert pools["rna"].n_obs == pools["atac"].n_obs == 24
    for name in ("rna", "atac"):
        np.testing.assert_allclose(pools[name].X.sum(axis=0), toy[name].X.sum(axis=0), rtol=1e-5)
    cell = pools["rna"].uns["metacells"]["metacell"]
    labels = toy["rna"].obs["cell_type"].astype(str).to_numpy()
    assert (pools["rna"].obs["cell_type"].astype(str).to_numpy()[cell] == labels).all()
    np.testing.assert_array_equal(np.bincount(cell), pools["rna"].obs["n_cells"])


def test_metacells_of_one_modality_and_of_a_given_embedding(toy):
    rna = toy["rna"]
    rna.obsm["X_own"] = np.arange(rna.n_obs, dtype=float)[:, None]
    pools = grs.pp.metacells(rna, n_metacells=10, use_rep="X_own")
    cell = pools.uns["metacells"]["metacell"]
    assert (np.diff(cell) >= 0).all()  # neighbours on the given axis stay together
    first, second = grs.pp.metacells((rna, toy["atac"]), n_metacells=10)
    assert first.n_obs == second.n_obs == 10


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"n_metacells": 0}, ValueError, "between 1 and the number"),
        ({"use_rep": "X_pca"}, KeyError, "X_pca"),
        ({"groupby": "nothing"}, KeyError, "names no column"),
    ],
)
def test_wrong_options_are_named(toy, options, error, text):
    with pytest.raises(error, match=text):
        grs.pp.metacells(toy, **options)
