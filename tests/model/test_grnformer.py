from __future__ import annotations

import copy
import json
import runpy
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import torch

from grnformer_sc.model import GRNFormer, ModelConfig
from grnformer_sc.model.grnformer import _need_same_genes

small = runpy.run_path(str(Path(__file__).with_name("small.py")))
toy_rna, trained, weights, SMALL = (small[name] for name in ("toy_rna", "trained", "weights", "SMALL"))


@pytest.fixture(scope="module")
def model():
    return trained()


def test_same_rng_same_weights(model):
    before = torch.get_rng_state()
    again, other = trained(rng=0), trained(rng=1)
    assert weights(again) == weights(model)
    assert weights(other) != weights(model)
    assert torch.equal(before, torch.get_rng_state())  # torch's own generator is left alone


def test_training_finds_more_than_gene_rates():
    adata = toy_rna(400, 60)
    model = trained(adata, max_epochs=25, lr=0.01, config=SMALL)
    deviance = model.evaluate_masked()["deviance"]
    assert deviance["model"] < 0.93 * deviance["gene rate"]
    loss = model.history["validation_loss"]
    assert loss.min() < loss.iloc[0]
    assert list(model.history.columns) == ["epoch", "train_loss", "validation_loss", "lr"]


def test_an_untrained_network_predicts_the_gene_rates():
    from grnformer_sc.model.assemble import build_net
    from grnformer_sc.model.inference import evaluate

    model = trained(max_epochs=1)
    collator, rows = model._collator(None, None)
    net = build_net(model.config, model.context, model.network, model.genes, root=0)
    table = evaluate(net, collator, rows, model.context.group_rates, config=SMALL, batch_size=64, root=0)
    assert table.loc["model", "deviance"] == pytest.approx(table.loc["gene rate", "deviance"], rel=1e-4)


def test_a_resumed_run_is_the_same_run(tmp_path):
    options = {"schedule": "constant", "warmup": 0.0, "rng": 4}
    whole = trained(max_epochs=4, **options)
    trained(max_epochs=2, checkpoint_dir=tmp_path / "run", **options)
    resumed = trained(max_epochs=4, resume_from=tmp_path / "run", **options | {"rng": 99})
    assert weights(resumed) == weights(whole)
    assert resumed.history.equals(whole.history)
    with pytest.raises(FileNotFoundError, match="checkpoint_dir of that run"):
        trained(resume_from=tmp_path)


def test_a_saved_model_works_without_its_data(model, tmp_path):
    model.save(tmp_path / "m")
    loaded = GRNFormer.load(tmp_path / "m")
    assert loaded.adata is None
    assert weights(loaded) == weights(model)
    assert (loaded.config, loaded.train_config) == (model.config, model.train_config)
    fresh = toy_rna()
    np.testing.assert_array_equal(loaded.get_latent_representation(fresh), model.get_latent_representation())
    np.testing.assert_allclose(loaded.history, model.history)
    assert loaded.network.edges.equals(model.network.edges)
    assert repr(loaded) == repr(model)
    with pytest.raises(ValueError, match="holds no data"):
        loaded.get_latent_representation()
    attached = GRNFormer.load(tmp_path / "m", fresh)
    assert attached.evaluate_masked().equals(model.evaluate_masked())


def test_a_folder_is_never_overwritten_by_accident(model, tmp_path):
    model.save(tmp_path / "m")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        model.save(tmp_path / "m")
    model.save(tmp_path / "m", overwrite=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="only a saved model"):
        model.save(tmp_path / "other", overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "other"]  # no drafts left


def test_a_model_of_another_schema_is_refused(model, tmp_path):
    model.save(tmp_path / "m")
    meta = json.loads((tmp_path / "m" / "model.json").read_text())
    (tmp_path / "m" / "model.json").write_text(json.dumps(meta | {"schema": 99}))
    with pytest.raises(ValueError, match="schema 99"):
        GRNFormer.load(tmp_path / "m")
    with pytest.raises(FileNotFoundError, match=r"model\.save"):
        GRNFormer.load(tmp_path)


def test_genes_of_new_data_are_matched_by_name(model):
    adata = toy_rna()
    order = np.random.default_rng(0).permutation(adata.n_vars)
    shuffled = adata[:, order].copy()
    np.testing.assert_array_equal(model.get_latent_representation(shuffled), model.get_latent_representation())
    with pytest.raises(ValueError, match="in its order"):
        _need_same_genes(shuffled, model.genes)


def test_cells_do_not_depend_on_their_batch(model):
    one = model.get_latent_representation(indices=np.array([7]))
    np.testing.assert_allclose(one[0], model.get_latent_representation()[7], atol=1e-5)


def test_new_cells_without_labels_take_those_of_their_neighbours():
    rna = toy_rna(region=False)
    model = trained(rna)
    assert model.context.gate == "neighbour"
    query = ad.AnnData(rna.X.copy(), obs=rna.obs[[]], var=rna.var)
    query.obs_names = query.obs_names + "-q"
    assert np.isfinite(model.get_latent_representation(query)).all()
    collator, rows = model._collator(query, None)
    guessed = collator(rows, None, mask=False).group.numpy()
    assert (guessed == rna.obs["grn_group"].cat.codes).mean() > 0.8


def test_training_reads_the_network_where_the_loss_looks(model):
    collator, rows = model._collator(None, None)
    batch, net = collator(rows[:20], np.random.default_rng(0)), copy.deepcopy(model.module)
    for part in net.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    with torch.inference_mode():
        training, reading = net.train()(batch), net.eval()(batch)
    here = batch.masked
    np.testing.assert_allclose(training.prediction[here], reading.prediction[here], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(training.cells, reading.cells, rtol=1e-5, atol=1e-6)


def test_gene_embeddings_are_means_over_expressing_cells(model):
    from grnformer_sc.model.inference import batches

    collator, rows = model._collator(None, None)
    gene, parts = 12, []
    with torch.inference_mode():
        for _, batch in batches(model.module, collator, rows, batch_size=50):
            out = model.module(batch)
            parts.append(out.genes[(batch.genes == gene) & ~batch.padding])
    slow = torch.cat(parts).mean(dim=0).numpy()
    np.testing.assert_allclose(model.get_gene_embeddings().iloc[gene], slow, rtol=1e-4, atol=1e-5)


def test_attention_received_adds_up_with_the_sink(model):
    summary = model.get_attention(top=20)
    total = summary.received.sum(axis=0) + summary.enrichment["sink"].to_numpy()
    np.testing.assert_allclose(total, 1, atol=1e-5)
    assert summary.edges.groupby("group", observed=True).size().max() <= 20
    assert set(summary.edges["regulator"]) <= set(model.network.eregulons["tf"])
    outside = ~np.isin(model.genes, np.append(model.network.edges["gene"], model.network.edges["tf"]))
    assert (summary.received[outside] == 0).all()


def test_attention_pairs_equal_a_slow_mean(model):
    from grnformer_sc.model.inference import batches

    summary = model.get_attention(top=5)
    best = summary.edges.iloc[0]
    group = model.network.group_names.index(best["group"])
    target, regulator = model.genes.get_loc(best["target"]), model.genes.get_loc(best["regulator"])
    collator, rows = model._collator(None, None)
    members, net, weight = rows[collator.cells.codes == group], model.module, []
    column = int(np.flatnonzero(net.graph.key_index[group].numpy() == regulator)[0])
    with torch.inference_mode():
        for _, batch in batches(net, collator, members, batch_size=1):
            full = torch.cat([part for _, part in net.attention(batch)], dim=1)[0, 1:]
            weight += full[(batch.genes[0] == target), column].tolist()
    assert best["weight"] == pytest.approx(np.mean(weight), rel=1e-4)


def test_the_control_has_no_network():
    adata = toy_rna()
    model = trained(adata, ModelConfig(**SMALL.to_dict() | {"use_grn": False}))
    assert model.module.adapter is None
    assert "network: not used" in repr(model)
    with pytest.raises(ValueError, match="use_grn=False"):
        model.get_attention()
    del adata.uns["grn"]
    assert "1 groups" in repr(trained(adata, ModelConfig(**SMALL.to_dict() | {"use_grn": False})))


def test_squared_error_is_an_option():
    model = trained(config=ModelConfig(**SMALL.to_dict() | {"loss": "mse", "keys": "tf"}), train_size=1.0)
    assert model.validation_indices.size == 0
    deviance = model.evaluate_masked(indices=np.arange(30))["deviance"]
    assert np.isfinite(deviance).all()
    assert model.get_attention().enrichment["rho"].isna().all()  # only TFs are keys: no ratio


def test_misuse_is_named():
    adata = toy_rna()
    with pytest.raises(ValueError, match=r"adata\.copy"):
        GRNFormer.setup_anndata(adata[:50])
    GRNFormer.setup_anndata(adata)
    model = GRNFormer(adata, SMALL)
    with pytest.raises(RuntimeError, match="train"):
        model.get_latent_representation()
    assert "not trained" in repr(model)
    adata.obs["grn_group"] = "elsewhere"
    with pytest.raises(ValueError, match=r"120 of 120 cells without one"):
        model.train(max_epochs=1)


OPTIONS = [
    {"conv": "gcn", "scales": "cell", "edge_weights": True},
    {"conv": "gin", "tie_scales": False, "keep_degree": True, "perturb": "random", "attention_dropout": 0.1},
    {"node_features": "gene+expression", "keep_ffn": True, "edge_prediction": 0.3, "consistency": 0.3, "keys": "tf"},
    {"scales": "type", "consistency": 0.3, "loss": "nb"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(map(str, options)))
def test_options_of_the_structure_are_trained_saved_and_loaded(options, tmp_path, model):
    other = trained(config=ModelConfig(**SMALL.to_dict() | options), max_epochs=1)
    other.save(tmp_path / "m")
    loaded = GRNFormer.load(tmp_path / "m", toy_rna())
    assert loaded.config == other.config
    assert {name: getattr(loaded.config, name) for name in options} == options
    assert weights(loaded) == weights(other)
    np.testing.assert_array_equal(loaded.get_latent_representation(), other.get_latent_representation())
    assert not np.allclose(other.get_latent_representation(), model.get_latent_representation())
    silent = [name for name, p in other.module.named_parameters() if not torch.isfinite(p).all()]
    assert silent == []


def test_further_terms_add_to_the_training_loss_alone():
    """One step from the same weights: the terms are in the training loss, in the validation loss they are not."""
    plain = trained(max_epochs=1, batch_size=1000, config=SMALL)
    more = ModelConfig(**SMALL.to_dict() | {"edge_prediction": 10.0})
    with_links = trained(max_epochs=1, batch_size=1000, config=more)
    first, second = plain.history["train_loss"].iloc[0], with_links.history["train_loss"].iloc[0]
    assert second - first > 10 * 0.5  # cross-entropy of untrained scores is about log 2
    assert with_links.history["validation_loss"].iloc[0] == pytest.approx(
        plain.history["validation_loss"].iloc[0], rel=0.2
    )
