"""Activities are read as an AnnData that scanpy takes and that shares nothing with the cells."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import scanpy as sc

import grnformer_sc as grs


def test_activity_holds_the_stored_scores_and_bits(rna):
    for kind, end in (("gene", ""), ("region", "_region")):
        found = grs.get.activity(rna, kind=kind)
        np.testing.assert_array_equal(found.X, rna.obsm[f"grn_auc{end}"].to_numpy())
        np.testing.assert_array_equal(found.layers["active"].toarray(), rna.obsm[f"grn_active{end}"].toarray())
        assert found.X.dtype == np.float32


def test_activity_keeps_what_plots_need(rna):
    found = grs.get.activity(rna)
    assert found.obs_names.equals(rna.obs_names)
    assert "X_umap" in found.obsm
    assert set(found.obsp) == set(rna.obsp)
    assert set(found.obsm).isdisjoint({"grn_auc", "grn_auc_region", "grn_active_region"})
    assert found.var["tf"].astype(str).tolist() == [name.split("|")[0] for name in found.var_names]


# scanpy 1.12 uses a colour map method that matplotlib 3.11 will deprecate
@pytest.mark.filterwarnings("ignore:The set_bad function:PendingDeprecationWarning")
def test_scanpy_plots_an_eregulon_on_an_embedding(rna):
    found = grs.get.activity(rna)
    figure = sc.pl.embedding(found, "umap", color=[found.var_names[0], "grn_group"], show=False, return_fig=True)
    titles = [ax.get_title() for ax in figure.axes if ax.get_title()]
    plt.close(figure)
    assert titles == [found.var_names[0], "grn_group"]


def test_cells_are_laid_out_by_their_networks_as_in_the_data():
    mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    grs.tl.build_grn(mdata, groupby="cell_type")
    places = []
    for cells in (mdata["rna"], grs.get.activity(mdata), grs.get.activity(mdata, kind="region")):
        layout = sc.tl.umap(cells, neighbors_key="grn_cells", maxiter=5, random_state=0, copy=True)
        places.append(layout.obsm["X_umap"])
    np.testing.assert_array_equal(places[0], places[1])
    np.testing.assert_array_equal(places[0], places[2])


def test_changing_the_activity_leaves_the_cells_alone(rna):
    before = rna.obsm["grn_auc"].copy()
    found = grs.get.activity(rna)
    found.X[:] = -1
    found.obs["new"] = 1
    found.uns["grn_cells"]["params"]["method"] = "other"
    found.obsp["grn_connectivities"].data[:] = 0
    assert rna.obsm["grn_auc"].equals(before)
    assert "new" not in rna.obs
    assert rna.uns["grn_cells"]["params"]["method"] == "umap"
    assert rna.obsp["grn_connectivities"].data.any()


def test_missing_activities_name_what_is_there(rna):
    del rna.obsm["grn_auc_region"]
    with pytest.raises(KeyError, match=r"needs 'grn_auc_region'.*grn_auc.*with ATAC"):
        grs.get.activity(rna, kind="region")


def test_unknown_kinds_are_refused(rna):
    with pytest.raises(ValueError, match="kind must be one of"):
        grs.get.activity(rna, kind="protein")
