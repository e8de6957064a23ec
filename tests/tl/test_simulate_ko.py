"""`simulate_ko`: what it stores, planted responses, errors that say what can be perturbed."""

from __future__ import annotations

import inspect
import logging
import warnings

import anndata
import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import grnformer_sc as grs
from grnformer_sc.grn import response
from grnformer_sc.grn.embedding import log_normalise

MODELS = ("linear", "boosted")


@pytest.fixture(scope="module")
def built():
    """Cells with a network of three types; never change it."""
    mdata = grs.datasets.simulate_multiome(300, n_genes=100, n_tfs=10, n_types=3, rng=0)
    grs.tl.build_grn(mdata, groupby="cell_type")
    return mdata


@pytest.fixture
def rna(built):
    return built["rna"].copy()


@pytest.fixture
def _few_trees(monkeypatch):
    monkeypatch.setitem(response.TREES, "max_iter", 10)


def quietly(action, *args):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # formats announce their own future
        return action(*args)


def busiest(adata) -> str:
    return str(grs.get.grn(adata)["tf"].value_counts().idxmax())


def means(adata) -> np.ndarray:
    x, types = log_normalise(adata.X), adata.obs["cell_type"]
    return np.stack([x[(types == name).to_numpy()].mean(axis=0).A1 for name in types.cat.categories], axis=1)


@pytest.fixture(scope="module")
def planted():
    """Cells with a network, and the true change of every gene and type without one of two TFs."""
    options = {"n_genes": 120, "n_tfs": 8, "n_types": 2, "rng": 3}
    mdata = grs.datasets.simulate_multiome(1000, **options)
    grs.tl.build_grn(mdata, groupby="cell_type")
    tfs = grs.get.grn(mdata)["tf"].astype(str).value_counts().index[:2]
    before = means(mdata["rna"])
    lost = {tf: means(grs.datasets.simulate_multiome(1000, **options, knockout=tf)["rna"]) - before for tf in tfs}
    return mdata["rna"], lost


@pytest.mark.parametrize("model", MODELS)
def test_planted_responses_are_found(planted, model):
    """Signs are right, and changes fit better than sizes of correlations with random signs."""
    rna, lost = planted
    known = set(zip(rna.uns["truth"]["tf"], rna.uns["truth"]["gene"], strict=True))
    x = log_normalise(rna.X).toarray()
    parts = []
    for tf, change in lost.items():
        out = grs.tl.simulate_ko(rna, tf, model=model, n_steps=1, copy=True)
        direct = out.varm["grn_ko_step"] == 1
        rho = np.nan_to_num(np.corrcoef(x.T)[rna.var_names.get_loc(tf)])
        true = np.array([(tf, gene) in known for gene in rna.var_names])
        wide = [np.broadcast_to(column[:, None], direct.shape) for column in (np.abs(rho), true)]
        parts.append([values[direct] for values in (out.varm["grn_ko"], change, *wide)])
    predicted, observed, size, true = map(np.concatenate, zip(*parts, strict=True))
    clear = true & (np.abs(observed) > 0.1)
    assert clear.sum() > 30
    assert (np.sign(predicted) == np.sign(observed))[clear].mean() > 0.9
    rng = np.random.default_rng(0)
    nulls = [np.corrcoef(size * rng.choice([-1, 1], size.size), observed)[0, 1] for _ in range(200)]
    assert np.corrcoef(predicted, observed)[0, 1] > max(nulls) + 0.1


@pytest.mark.usefixtures("_few_trees")
@pytest.mark.parametrize("model", MODELS)
def test_slots_have_their_shapes_and_survive_files(rna, model, tmp_path):
    rna.obs["grn_group"] = rna.obs["grn_group"].cat.rename_categories({"type1": "L2/3"})
    rna.uns["grn"]["group_names"] = np.array(["L2/3", "type2", "type3"], dtype=object)
    tf = busiest(rna)
    grs.tl.simulate_ko(rna, tf, model=model, n_steps=2, per_cell=True)
    assert rna.varm["grn_ko"].shape == rna.varm["grn_ko_step"].shape == (100, 3)
    assert rna.varm["grn_ko"].dtype == np.float32
    assert rna.varm["grn_ko_step"].dtype == np.int8
    assert sp.issparse(rna.layers["grn_ko"])
    assert rna.layers["grn_ko"].dtype == np.float32
    assert rna.layers["grn_ko"].has_sorted_indices
    table = grs.get.perturbation(rna)
    quietly(rna.write_h5ad, tmp_path / "x.h5ad")
    quietly(mudata.MuData({"rna": rna}).write, tmp_path / "x.h5mu")
    quietly(rna.write_zarr, tmp_path / "x.zarr")
    for back in (
        quietly(anndata.read_h5ad, tmp_path / "x.h5ad"),
        quietly(mudata.read, tmp_path / "x.h5mu")["rna"],
        quietly(anndata.io.read_zarr, tmp_path / "x.zarr"),
    ):
        pd.testing.assert_frame_equal(grs.get.perturbation(back), table)
        assert (back.layers["grn_ko"] != rna.layers["grn_ko"]).nnz == 0
        assert list(back.uns["grn_ko"]["genes"]) == [tf]
        assert grs.get.params(back, "grn_ko")["model"] == model


def test_the_table_holds_what_is_reached_largest_first(rna):
    tf = busiest(rna)
    grs.tl.simulate_ko(rna, tf)
    table = grs.get.perturbation(rna)
    assert len(table) == (rna.varm["grn_ko_step"] >= 0).sum()
    assert set(table.loc[table["step"] == 0, "gene"]) == {tf}
    for group, part in table.groupby("group", observed=True):
        assert (np.diff(part["change"].abs()) <= 0).all()
        column = list(rna.uns["grn_ko"]["group_names"]).index(group)
        at = rna.var_names.get_indexer(part["gene"])
        np.testing.assert_array_equal(part["change"], rna.varm["grn_ko"][at, column])
        pd.testing.assert_frame_equal(
            grs.get.perturbation(rna, group=group), part.reset_index(drop=True), check_categorical=False
        )
    links = grs.get.grn(rna, group="type1")
    direct = set(links.loc[links["tf"] == tf, "gene"])
    found = grs.get.perturbation(rna, group="type1")
    assert set(found.loc[found["step"] == 1, "gene"]) == direct - {tf}


@pytest.mark.usefixtures("_few_trees")
@pytest.mark.parametrize("model", MODELS)
def test_order_of_genes_and_number_of_jobs_change_no_bit(rna, model, monkeypatch):
    monkeypatch.setattr(response, "BLOCK_GENES", 8)  # several tasks, in processes of their own
    tf = busiest(rna)
    other = rna[:, np.random.default_rng(0).permutation(rna.n_vars)].copy()
    grs.tl.simulate_ko(rna, tf, model=model, n_steps=2, per_cell=True, n_jobs=1)
    with grs.settings.override(chunk_cells=90):
        grs.tl.simulate_ko(other, tf, model=model, n_steps=2, per_cell=True, n_jobs=2)
    back = other[:, rna.var_names]
    np.testing.assert_array_equal(back.varm["grn_ko"], rna.varm["grn_ko"])
    np.testing.assert_array_equal(back.varm["grn_ko_step"], rna.varm["grn_ko_step"])
    assert (back.layers["grn_ko"] != rna.layers["grn_ko"]).nnz == 0


def test_several_genes_and_levels_at_once(rna):
    first, second = grs.get.grn(rna)["tf"].value_counts().index[:2]
    grs.tl.simulate_ko(rna, [first, second], level={first: 0, second: "max"})
    x = log_normalise(rna.X).toarray()
    most = x[:, rna.var_names.get_loc(second)].max()
    held = dict(zip(rna.uns["grn_ko"]["genes"], rna.uns["grn_ko"]["levels"], strict=True))
    assert held == {first: 0, second: most}
    for gene, level in held.items():
        expected = level - means(rna)[rna.var_names.get_loc(gene)]
        np.testing.assert_allclose(rna.varm["grn_ko"][rna.var_names.get_loc(gene)], expected, rtol=1e-4)


def test_a_second_run_replaces_the_first_with_its_cells(rna):
    tf = busiest(rna)
    grs.tl.simulate_ko(rna, tf, per_cell=True)
    grs.tl.simulate_ko(rna, tf)
    assert "grn_ko" not in rna.layers
    with pytest.raises(ValueError, match="'grn' must be free"):
        inspect.unwrap(grs.tl.simulate_ko)(rna, tf, key_added="grn")


def test_a_copy_leaves_the_data_alone_and_a_mudata_will_do(built):
    tf = busiest(built)
    out = grs.tl.simulate_ko(built, tf, copy=True)
    assert "grn_ko" in out["rna"].varm
    assert "grn_ko" not in built["rna"].varm


def test_the_log_says_where_a_gene_does_nothing(rna, caplog):
    tf = busiest(rna)
    of_tf = (rna.uns["grn"]["edges"]["tf"] == tf).to_numpy()
    holds = rna.uns["grn"]["edge_groups"].toarray()
    holds[of_tf, 0], holds[of_tf, 1] = False, True
    rna.uns["grn"]["edge_groups"] = sp.csr_matrix(holds)
    counts = rna.X.tolil()
    counts[(rna.obs["cell_type"] == "type2").to_numpy().nonzero()[0], rna.var_names.get_loc(tf)] = 0
    rna.X = counts.tocsr()
    with caplog.at_level(logging.INFO):
        grs.tl.simulate_ko(rna, tf)
    assert f"{tf} changes nothing in [type1]: none of its links holds" in caplog.text
    assert f"{tf} changes nothing in [type2]: not expressed" in caplog.text
    assert (rna.varm["grn_ko"][rna.var_names != tf, :2] == 0).all()
    assert "direct links act as their sign says" in caplog.text


def test_a_type_without_cells_is_left_out(rna):
    part = rna[rna.obs["cell_type"] != "type3"].copy()
    grs.tl.simulate_ko(part, busiest(rna))
    assert (part.varm["grn_ko"][:, 2] == 0).all()
    assert "type3" not in set(grs.get.perturbation(part)["group"])


def test_errors_say_what_can_be_perturbed(rna):
    run, tf = inspect.unwrap(grs.tl.simulate_ko), busiest(rna)
    with pytest.raises(KeyError, match=r"unknown \[tf1\].*did you mean \[.*TF01"):
        run(rna, "tf1")
    target = str(grs.get.grn(rna)["gene"].iloc[0])
    with pytest.raises(
        ValueError, match=rf"{target} is a target of \d+ TFs? and regulates no gene itself.*{tf} \(\d+ targets\)"
    ):
        run(rna, target)
    outside = rna.var_names.difference(pd.concat([grs.get.grn(rna)["gene"], grs.get.grn(rna)["tf"]]).astype(str))
    with pytest.raises(ValueError, match=f"{outside[-1]} is not in the network"):
        run(rna, str(outside[-1]))
    kept = rna.copy()
    kept.uns["grn"]["edge_groups"] = sp.csr_matrix(
        rna.uns["grn"]["edge_groups"].toarray() & (rna.uns["grn"]["edges"]["tf"] != tf).to_numpy()[:, None]
    )
    with pytest.raises(ValueError, match=f"no group keeps an eRegulon of {tf}"):
        run(kept, tf)
    for level in (-1, np.nan, "most", True):
        with pytest.raises(ValueError, match="a level is log-normalised expression"):
            run(rna, tf, level=level)
    with pytest.raises(ValueError, match=r"level= must name each of the genes"):
        run(rna, [tf], level={"other": 1})
    with pytest.raises(ValueError, match="name at least one gene"):
        run(rna, [])
    with pytest.raises(ValueError, match="model must be one of"):
        run(rna, tf, model="deep")
    with pytest.raises(ValueError, match="n_steps must lie in"):
        run(rna, tf, n_steps=0)
    rna.obs["other"] = "cells"
    with pytest.raises(ValueError, match=r"cell types must be those of the network.*unknown \[cells\]"):
        run(rna, tf, groupby="other")
    with grs.settings.override(max_memory="1KB"), pytest.raises(ValueError, match=r"below settings\.max_memory"):
        run(rna, tf, per_cell=True)
    silent = rna.copy()
    counts = silent.X.tolil()
    counts[:, silent.var_names.get_loc(tf)] = 0
    silent.X = counts.tocsr()
    with pytest.raises(ValueError, match="without a count in any cell: a knock-out changes nothing"):
        run(silent, tf)
    with pytest.raises(KeyError, match=r"grs\.tl\.simulate_ko"):
        inspect.unwrap(grs.get.perturbation)(rna)
    del rna.uns["grn"]
    with pytest.raises(KeyError, match=r"grs\.tl\.build_grn"):
        run(rna, tf)
