from __future__ import annotations

import runpy
from pathlib import Path

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest

import grnformer_sc as grs

toy_rna = runpy.run_path(str(Path(__file__).parents[1] / "data" / "toy.py"))["toy_rna"]
QUICK = {
    "max_epochs": 1,
    "accelerator": "cpu",
    "devices": 1,
    "model_settings": {"dim": 16, "heads": 2, "layers": 1, "structure_layers": 1},
}


@pytest.fixture(scope="module")
def fitted():
    adata = toy_rna()
    return adata, grs.tl.fit(adata, **QUICK)


def test_the_slots_hold_what_the_model_says(fitted):
    adata, model = fitted
    np.testing.assert_array_equal(adata.obsm["X_grnformer"], model.get_latent_representation())
    np.testing.assert_array_equal(adata.varm["grnformer"], model.get_gene_embeddings())
    summary = model.get_attention()
    np.testing.assert_array_equal(adata.varm["grnformer_attention"], summary.received)
    slot = adata.uns["grnformer"]
    pd.testing.assert_frame_equal(slot["attention"], summary.edges)
    pd.testing.assert_frame_equal(slot["enrichment"], summary.enrichment)
    assert slot["history"].equals(model.history)
    assert list(slot["group_names"]) == ["A", "B/C", "D"]
    assert slot["params"]["gate"] == "region"
    for values in (adata.obsm["X_grnformer"], adata.varm["grnformer"], adata.varm["grnformer_attention"]):
        assert values.dtype == np.float32


@pytest.mark.parametrize("kind", ["h5ad", "zarr", "h5mu"])
@pytest.mark.filterwarnings("ignore:Writing zarr v2:UserWarning")  # anndata's own default
def test_the_slots_survive_every_format(fitted, tmp_path, kind):
    adata, path = fitted[0], tmp_path / f"x.{kind}"
    if kind == "h5mu":
        with md.set_options(pull_on_update=False):
            md.MuData({"rna": adata}).write_h5mu(path)
            back = md.read_h5mu(path)["rna"]
    else:
        getattr(adata, f"write_{kind}")(path)
        back = getattr(ad, f"read_{kind}")(path)
    np.testing.assert_array_equal(back.obsm["X_grnformer"], adata.obsm["X_grnformer"])
    np.testing.assert_array_equal(back.varm["grnformer_attention"], adata.varm["grnformer_attention"])
    for name in ("history", "attention", "enrichment"):
        pd.testing.assert_frame_equal(back.uns["grnformer"][name], adata.uns["grnformer"][name], check_dtype=False)


@pytest.mark.parametrize(
    ("backbone", "own"), [("scgpt", {"mvc": True}), ("scfoundation", {"decoder_dim": 8}), ("scpalm", {"patches": 4})]
)
def test_settings_of_every_backbone_are_recorded_and_stored(backbone, own, tmp_path):
    adata = toy_rna()
    options = QUICK | {"model_settings": QUICK["model_settings"] | {"backbone_settings": own}}
    model = grs.tl.fit(adata, backbone=backbone, loss="nb", **options)
    assert adata.varm["grnformer"].shape == (60, model.module.backbone.out_dim)
    adata.write_h5ad(tmp_path / "x.h5ad")
    stored = ad.read_h5ad(tmp_path / "x.h5ad").uns["grnformer"]["params"]["model"]
    assert (stored["backbone"], stored["loss"], dict(stored["backbone_settings"])) == (backbone, "nb", own)


def test_same_rng_same_embedding(fitted):
    again = toy_rna()
    grs.tl.fit(again, **QUICK)
    assert again.obsm["X_grnformer"].tobytes() == fitted[0].obsm["X_grnformer"].tobytes()


def test_a_mudata_gets_its_results_in_the_rna_modality():
    rna = toy_rna()
    with md.set_options(pull_on_update=False):
        mdata = md.MuData({"gex": rna})
    grs.tl.fit(mdata, rna="gex", key_added="mine", **QUICK)
    assert {"X_mine"} <= set(mdata["gex"].obsm)
    assert "mine" in mdata["gex"].uns


def test_the_control_writes_no_attention_and_leaves_none():
    adata = toy_rna()
    adata.varm["grnformer_attention"] = np.ones((adata.n_vars, 3), dtype=np.float32)  # of an earlier fit
    grs.tl.fit(adata, use_grn=False, **QUICK)
    assert "grnformer_attention" not in adata.varm
    assert "X_grnformer" in adata.obsm


def break_nothing(adata):
    del adata.uns["grn"]


def break_counts(adata):
    adata.X = adata.X * 0.5


def break_bits(adata):
    del adata.obsm["grn_active"], adata.obsm["grn_active_region"]


@pytest.mark.parametrize(
    ("harm", "error", "message"),
    [
        (break_nothing, KeyError, r"grs\.tl\.build_grn"),
        (break_counts, ValueError, "raw counts"),
        (break_bits, KeyError, "gene bits"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(harm, error, message):
    adata = toy_rna()
    harm(adata)
    slots = {name: list(getattr(adata, name)) for name in ("obs", "var", "obsm", "varm", "uns", "obsp", "varp")}
    with pytest.raises(error, match=message):
        grs.tl.fit(adata, **QUICK)
    assert slots == {name: list(getattr(adata, name)) for name in slots}


def test_what_fails_on_the_way_leaves_nothing():
    adata = toy_rna()
    with pytest.raises(TypeError, match=r"TrainConfig has the fields .*Found: \[lrr\]"):
        grs.tl.fit(adata, **QUICK, train_settings={"lrr": 1})
    with pytest.raises(TypeError, match=r"ModelConfig has the fields .*Found: \[dims\]"):
        grs.tl.fit(adata, model_settings={"dims": 16})
    assert not [name for name in adata.uns if name.startswith("_scvi")]


def test_an_argument_given_twice_is_named():
    with pytest.raises(ValueError, match=r"no argument of tl\.fit\. Found: \[alpha, perturb\]"):
        grs.tl.fit(toy_rna(), model_settings={"perturb": "none", "alpha": 0.1, "dim": 16})
