"""Cells in memory, in an open file, in zarr, or in dask give the same bits."""

from __future__ import annotations

import hashlib
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


def test_a_file_that_is_read_in_blocks_stays_as_it_was(toy_mdata: Any, tmp_path: Path) -> None:
    """Results go to memory: the file is opened for reading alone, and another process may read it all the while."""
    paths = [tmp_path / f"{name}.h5ad" for name in ("rna", "atac")]
    for name, path in zip(("rna", "atac"), paths, strict=True):
        toy_mdata[name].write_h5ad(path)
        path.chmod(0o444)
    before = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    rna, atac = (ad.read_h5ad(path, backed="r") for path in paths)
    grs.tl.build_grn((rna, atac), groupby="cell_type")
    grs.tl.cell_grn((rna, atac), groupby="cell_type")
    assert [part.file._file.mode for part in (rna, atac)] == ["r", "r"]
    assert "grn_active" in rna.obsm
    assert ad.read_h5ad(paths[0]).n_obs == rna.n_obs  # while the first handle is open
    for part in (rna, atac):
        part.file.close()
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths] == before


def test_a_mudata_keeps_its_own_tables_and_gets_results_in_the_rna_alone(toy: Any) -> None:
    """Also where `mdata.var` says something else than the modalities, as after a change without `update`."""
    toy.obs["mine"], toy.var["mine"] = np.arange(toy.n_obs), np.arange(toy.n_vars)
    toy["rna"].var["later"] = 1.0
    old = toy.copy()
    grs.tl.build_grn(toy, groupby="cell_type")
    pd.testing.assert_frame_equal(toy.obs, old.obs)
    pd.testing.assert_frame_equal(toy.var, old.var)
    assert (set(toy.mod), set(toy.uns), set(toy.obsm)) == (set(old.mod), set(old.uns), set(old.obsm))
    for name in ("rna", "atac"):
        for slot in ("obs", "var", "obsm", "varm", "obsp", "varp", "uns", "layers"):
            kept, given = getattr(toy[name], slot), getattr(old[name], slot)
            added = set(kept.keys()) - set(given.keys())
            assert set(given.keys()) <= set(kept.keys())
            assert all(key.startswith("grn") for key in added)
            assert name == "rna" or not added
        assert (toy[name].X != old[name].X).nnz == 0


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
