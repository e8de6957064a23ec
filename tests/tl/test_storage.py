"""Cells in memory, in an open file, in zarr, or in dask give the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata as ad
import dask.array as da
import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import grnformer_sc as grs

SLOTS = ("grn_auc", "grn_auc_region")


@pytest.fixture(scope="module")
def built(toy_mdata: Any) -> Any:
    mdata = toy_mdata.copy()
    grs.tl.build_grn(mdata, groupby="cell_type")
    return mdata


def with_dask(adata: ad.AnnData) -> ad.AnnData:
    chunks = da.from_array(adata.X.toarray(), chunks=(50, adata.n_vars)).map_blocks(sp.csr_matrix)
    out = adata.copy()
    out.X = chunks
    return out


def assert_equal(found: ad.AnnData, expected: ad.AnnData) -> None:
    pd.testing.assert_frame_equal(found.uns["grn"]["edges"], expected.uns["grn"]["edges"], check_exact=True)
    pd.testing.assert_frame_equal(found.uns["grn"]["groups"], expected.uns["grn"]["groups"], check_exact=True)
    for slot in SLOTS:
        np.testing.assert_array_equal(found.obsm[slot], expected.obsm[slot])
    assert (found.obsm["grn_active"] != expected.obsm["grn_active"]).nnz == 0


def test_a_backed_mudata_gives_the_same_network(toy_mdata: Any, built: Any, tmp_path: Path) -> None:
    with mudata.set_options(pull_on_update=False):
        toy_mdata.write_h5mu(tmp_path / "m.h5mu")
        backed = mudata.read_h5mu(tmp_path / "m.h5mu", backed="r")
    assert backed["rna"].isbacked
    with grs.settings.override(chunk_cells=37):
        grs.tl.build_grn(backed, groupby="cell_type")
    assert_equal(backed["rna"], built["rna"])


def test_dask_gives_the_same_network(toy_mdata: Any, built: Any) -> None:
    pair = with_dask(toy_mdata["rna"]), with_dask(toy_mdata["atac"])
    grs.tl.build_grn(pair, groupby="cell_type")
    assert_equal(pair[0], built["rna"])
    assert isinstance(pair[0].X, da.Array)


@pytest.mark.filterwarnings("ignore:Writing zarr v2:UserWarning")  # anndata's own default
def test_a_lazily_opened_zarr_gives_the_same_bits(toy_mdata: Any, built: Any, tmp_path: Path) -> None:
    toy_mdata["rna"].write_zarr(tmp_path / "rna.zarr")
    lazy = ad.experimental.read_lazy(tmp_path / "rna.zarr")
    grs.tl.cell_grn(lazy, net=built, groupby="cell_type")
    np.testing.assert_array_equal(lazy.obsm["grn_auc"], built["rna"].obsm["grn_auc"])
    assert (lazy.obsm["grn_active"] != built["rna"].obsm["grn_active"]).nnz == 0
    fresh, whole = ad.experimental.read_lazy(tmp_path / "rna.zarr"), toy_mdata["rna"].copy()
    for cells in (fresh, whole):
        grs.tl.build_grn(cells, groupby="cell_type", tfs="is_tf")
    pd.testing.assert_frame_equal(fresh.uns["grn"]["edges"], whole.uns["grn"]["edges"], check_exact=True)
    grs.tl.aucell(lazy, {"first": list(toy_mdata["rna"].var_names[:20])})
    expected = toy_mdata["rna"].copy()
    grs.tl.aucell(expected, {"first": list(expected.var_names[:20])})
    np.testing.assert_array_equal(lazy.obsm["aucell"], expected.obsm["aucell"])


def test_metacells_of_a_backed_file(toy_mdata: Any, tmp_path: Path) -> None:
    expected = grs.pp.metacells(toy_mdata["rna"], "cell_type", n_metacells=20)
    toy_mdata["rna"].write_h5ad(tmp_path / "rna.h5ad")
    backed = ad.read_h5ad(tmp_path / "rna.h5ad", backed="r")
    found = grs.pp.metacells(backed, "cell_type", n_metacells=20)
    np.testing.assert_array_equal(found.X.toarray(), expected.X.toarray())
    pd.testing.assert_frame_equal(found.obs, expected.obs)
