"""A trained model carried over to new cells: the same model, fine-tuned from where it stands."""

from __future__ import annotations

import logging
import runpy
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

from grnformer_sc.model import GRNFormer

small = runpy.run_path(str(Path(__file__).with_name("small.py")))
toy_rna, weights, SMALL = (small[name] for name in ("toy_rna", "weights", "SMALL"))
TRAIN = {"batch_size": 32, "accelerator": "cpu", "devices": 1}


@pytest.fixture(scope="module")
def model():
    """Trained on cells with accessibility."""
    return small["trained"](toy_rna(200), max_epochs=8, lr=0.01)


@pytest.fixture
def cells():
    """RNA alone, with a factor for every gene."""
    other, rng = toy_rna(300, seed=3), np.random.default_rng(0)
    x = rng.poisson(other.X.toarray() * np.exp(rng.normal(0, 0.5, other.n_vars)))
    new = ad.AnnData(sp.csr_matrix(x, dtype=np.float32), var=other.var.copy())
    new.obs_names = [f"n{i}" for i in range(300)]
    return new


def test_before_training_it_is_the_trained_model(model, cells):
    query = GRNFormer.load_query_data(cells, model)
    assert weights(query) == weights(model)
    assert query.module is not model.module
    np.testing.assert_array_equal(query.get_latent_representation(), model.get_latent_representation(cells))
    assert query.evaluate_masked().equals(model.evaluate_masked(cells))  # none of these cells was trained on
    assert (query.config, repr(query)) == (model.config, repr(model))
    assert query.network is model.network


def test_a_folder_stands_for_the_model(model, cells, tmp_path):
    model.save(tmp_path / "m")
    query = GRNFormer.load_query_data(cells, tmp_path / "m")
    assert weights(query) == weights(model)


def test_training_further_predicts_new_cells_better_and_leaves_the_trained_model_alone(model, cells):
    before, held = weights(model), cells[200:].copy()
    query = GRNFormer.load_query_data(cells[:200].copy(), model)
    query.train(8, lr=3e-3, **TRAIN)
    assert (
        query.evaluate_masked(held).loc["model", "deviance"]
        < 0.98 * model.evaluate_masked(held).loc["model", "deviance"]
    )
    assert weights(model) == before
    assert query.context is model.context
    again = GRNFormer.load_query_data(cells[:200].copy(), model)
    again.train(8, lr=3e-3, **TRAIN)
    assert weights(again) == weights(query)
    query.train(8, lr=3e-3, **TRAIN)  # begins with the trained model again
    assert weights(again) == weights(query)


def test_a_frozen_backbone_stays_as_it_is(model, cells):
    query = GRNFormer.load_query_data(cells, model, freeze="backbone")
    query.train(1, **TRAIN)
    assert weights(query, "backbone.") == weights(model, "backbone.")
    assert weights(query, "adapter") != weights(model, "adapter")
    assert weights(query, "per_gene") != weights(model, "per_gene")


def test_genes_are_aligned_and_the_loss_is_reported(model, cells, caplog):
    less = cells[:, ::-1][:, :50].copy()
    less.var_names = [*less.var_names[:45], *"abcde"]
    with caplog.at_level(logging.INFO, logger="grnformer_sc"):
        query = GRNFormer.load_query_data(less, model)
    assert "matched 45 of the model's 60 genes; 5 genes of the data are not in the model" in caplog.text
    assert "300 cells take the group of their nearest training cells" in caplog.text
    assert query.genes.equals(model.genes)
    query.train(1, **TRAIN)
    missing = ~query.genes.isin(less.var_names)
    names = query.module.state_dict()["per_gene"].numpy()
    before = model.module.state_dict()["per_gene"].numpy()
    assert not np.array_equal(names[~missing], before[~missing])
    assert np.isfinite(query.get_latent_representation()).all()
    with pytest.raises(ValueError, match="at least 50% of the model's 60 genes"):
        GRNFormer.load_query_data(cells[:, :20].copy(), model)


def test_known_groups_and_bits_of_new_cells_are_used(model):
    labelled = toy_rna(60, seed=5)
    labelled.obs["grn_group"] = "D"
    query = GRNFormer.load_query_data(labelled, model)
    collator, rows = query._collator(None, None)
    assert (collator(rows, None, mask=False).group.numpy() == 2).all()
    assert type(collator.gate).__name__ == "StoredGate"  # region bits


def test_a_model_that_was_trained_further_is_saved_and_loaded(model, cells, tmp_path):
    query = GRNFormer.load_query_data(cells[:, ::-1][:, :50].copy(), model)
    query.train(1, **TRAIN)
    query.save(tmp_path / "q")
    loaded = GRNFormer.load(tmp_path / "q")
    assert weights(loaded) == weights(query)
    np.testing.assert_array_equal(loaded.get_latent_representation(cells), query.get_latent_representation(cells))
    whole = cells.copy()  # the genes of the model, though it was trained further on fewer
    attached = GRNFormer.load(tmp_path / "q", whole)
    np.testing.assert_array_equal(attached.get_latent_representation(), query.get_latent_representation(cells))
    once_more = GRNFormer.load_query_data(cells, tmp_path / "q")
    assert weights(once_more) == weights(query)


def test_a_cut_off_training_goes_on(model, cells, tmp_path):
    options = {"schedule": "constant", "warmup": 0.0, **TRAIN}

    def trained(epochs, freeze="backbone", **more):
        query = GRNFormer.load_query_data(cells, model, freeze=freeze)
        query.train(epochs, **options, **more)
        return query

    whole = trained(2)
    trained(1, checkpoint_dir=tmp_path / "run")
    assert weights(trained(2, resume_from=tmp_path / "run")) == weights(whole)
    with pytest.raises(ValueError, match=r"model\.freeze: 'backbone' -> 'none'"):
        trained(2, freeze="none", resume_from=tmp_path / "run")


def test_misuse_is_named(model, cells, tmp_path):
    with pytest.raises(ValueError, match="freeze must be one of"):
        GRNFormer.load_query_data(cells, model, freeze="all")
    with pytest.raises(ValueError, match=r"adata\.copy"):
        GRNFormer.load_query_data(cells[:50], model)
    untrained_data = toy_rna()
    GRNFormer.setup_anndata(untrained_data)
    with pytest.raises(RuntimeError, match="must be trained"):
        GRNFormer.load_query_data(cells, GRNFormer(untrained_data, SMALL))
    with pytest.raises(FileNotFoundError, match=r"model\.save"):
        GRNFormer.load_query_data(cells, tmp_path)
    normalised = cells.copy()
    normalised.X = normalised.X * np.float32(0.3)
    with pytest.raises(ValueError, match="raw counts"):
        GRNFormer.load_query_data(normalised, model)
    assert not [name for name in normalised.uns if name.startswith("_scvi")]
