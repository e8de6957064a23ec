"""Every backbone in the whole model: it trains, it is saved and read, it can be read out, its own loss is its own."""

from __future__ import annotations

import dataclasses
import functools
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from grnformer_sc.model import GRNFormer, ModelConfig
from grnformer_sc.model.inference import batches
from grnformer_sc.nn.backbones import Backbone, BackboneConfig, ScGPT, get_backbone, register_backbone

toy_rna = runpy.run_path(str(Path(__file__).parents[1] / "data" / "toy.py"))["toy_rna"]
FIRST = ["scgpt", "scfoundation", "scpalm"]
NAMES = [*FIRST, "geneformer", "genecompass", "scgenept", "scprint"]
SMALL = {"dim": 16, "heads": 2, "mask_ratio": 0.3, "max_queries": 20, "dropout": 0.0}
OWN = {"scgenept": {"languages": {"genept": 5}}, "geneformer": {"framed": True}, "genecompass": {"n_places": 64}}


def configured(backbone, **config):
    return ModelConfig(backbone=backbone, **{"backbone_settings": OWN.get(backbone, {})} | SMALL | config)


def trained(backbone, adata, *, epochs=1, lr=0.01, **config):
    GRNFormer.setup_anndata(adata)
    model = GRNFormer(adata, configured(backbone, **config))
    model.train(max_epochs=epochs, batch_size=32, lr=lr, accelerator="cpu", devices=1)
    return model


@functools.cache
def small(backbone):
    """A model that learned little, for tests that change nothing of it."""
    return trained(backbone, toy_rna())


@pytest.mark.parametrize(("backbone", "use_grn"), [*((n, True) for n in FIRST), *((n, False) for n in NAMES)])
def test_masked_counts_are_predicted_better_than_by_gene_rates(backbone, use_grn):
    deviance = trained(backbone, toy_rna(200), epochs=6, use_grn=use_grn).evaluate_masked()["deviance"]
    assert deviance["model"] < 0.9 * deviance["gene rate"]


@pytest.mark.parametrize("backbone", [*FIRST, "geneformer"])
def test_its_own_loss_falls_below_that_of_the_mean_of_each_gene(backbone):
    """Squared error of bins or log counts, against the mean value of each gene in the training cells."""
    model = trained(backbone, toy_rna(200), epochs=10, lr=0.03, loss="mse")
    collator, _ = model._collator(None, None)
    rows = [model.train_indices, model.validation_indices]
    truth, guess, genes = [], [], []
    with torch.inference_mode():
        for part in rows:
            batch = next(batches(model.module, collator, part, batch_size=part.size, root=1))[1]
            here = batch.masked
            truth.append(model.module.backbone.values(batch.counts, batch)[here].numpy())
            guess.append(model.module(batch).prediction[here].numpy())
            genes.append(batch.genes[here].numpy())
    mean = np.bincount(genes[0], truth[0], 60) / np.bincount(genes[0], minlength=60)
    assert ((guess[1] - truth[1]) ** 2).mean() < 0.95 * ((mean[genes[1]] - truth[1]) ** 2).mean()
    assert np.isfinite(model.evaluate_masked()["deviance"]).all()


@pytest.mark.parametrize("backbone", NAMES)
def test_a_saved_model_is_the_same_model(backbone, tmp_path):
    adata = toy_rna()
    model = trained(backbone, adata, loss="nb")
    model.save(tmp_path / "m")
    loaded = GRNFormer.load(tmp_path / "m", adata)
    assert loaded.config == model.config
    assert loaded.evaluate_masked().equals(model.evaluate_masked())
    np.testing.assert_array_equal(loaded.get_latent_representation(), model.get_latent_representation())


@pytest.mark.parametrize("backbone", NAMES)
def test_every_parameter_learns(backbone):
    model = trained(backbone, toy_rna(), loss="mse", beta=0.5)
    loss = model.config.backbone_config(60)
    assert loss.value_head
    net = model.module.train()
    collator, rows = model._collator(None, None)
    batch = next(batches(net, collator, rows[:30], batch_size=30, root=0))[1]
    out = net(batch, generator=torch.Generator().manual_seed(0), perturb=True)
    (out.prediction.sum() + net.backbone.extra_loss(out.extra, batch)).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("backbone", NAMES)
def test_attention_of_genes_is_that_of_their_places(backbone):
    model = small(backbone)
    summary = model.get_attention(top=20)
    total = summary.received.sum(axis=0) + summary.enrichment["sink"].to_numpy()
    np.testing.assert_allclose(total, 1, atol=1e-5)
    best = summary.edges.iloc[0]
    target, regulator = (model.genes.get_loc(best[name]) for name in ("target", "regulator"))
    collator, rows = model._collator(None, None)
    group, weight = model.network.group_names.index(best["group"]), []
    column = int(np.flatnonzero(model.module.graph.key_index[group].numpy() == regulator)[0])
    with torch.inference_mode():
        for _, batch in batches(model.module, collator, rows[collator.cells.codes == group], batch_size=16):
            full = torch.cat([part for _, part in model.module.attention(batch)], dim=1)
            place = model.module.backbone.places(batch)
            cell, token = torch.nonzero((batch.genes == target) & ~batch.padding, as_tuple=True)
            weight += full[cell, place[cell, token], column].tolist()
    assert best["weight"] == pytest.approx(np.mean(weight), rel=1e-4)


@pytest.mark.parametrize("backbone", NAMES)
def test_embeddings_have_the_cells_and_genes_of_the_data(backbone):
    model = small(backbone)
    cells, genes = model.get_latent_representation(), model.get_gene_embeddings()
    assert cells.shape == (120, 16)
    assert genes.shape == (60, model.module.backbone.out_dim)
    assert np.isfinite(cells).all()
    assert np.isfinite(genes).all(axis=None)
    np.testing.assert_allclose(model.get_latent_representation(indices=np.array([7]))[0], cells[7], atol=1e-5)


@pytest.mark.parametrize("backbone", NAMES)
def test_a_cell_that_shows_nothing_has_a_defined_result(backbone):
    model = small(backbone)
    collator, rows = model._collator(None, None)
    batch = next(batches(model.module, collator, rows[:4], batch_size=4, root=0))[1]
    n_visible = int((~batch.masked).any(dim=0).sum())
    empty = dataclasses.replace(
        batch, padding=batch.padding | ~batch.masked, values=0 * batch.values, visible=batch.visible & False,
        edges=0 * batch.edges,
    )  # fmt: skip
    narrow = {name: getattr(empty, name)[:, n_visible:] for name in ("genes", "values", "masked", "padding", "counts")}
    with torch.inference_mode():
        for cells in (empty, dataclasses.replace(empty, **narrow)):
            out = model.module(cells)
            assert torch.isfinite(out.prediction[cells.masked]).all()
            assert torch.isfinite(out.cells).all()


@pytest.mark.parametrize("backbone", [*FIRST, "genecompass"])
def test_backbones_train_in_mixed_precision(backbone):
    adata = toy_rna()
    GRNFormer.setup_anndata(adata)
    model = GRNFormer(adata, configured(backbone, use_grn=False))
    model.train(max_epochs=1, batch_size=64, precision="bf16", accelerator="cpu", devices=1)
    assert np.isfinite(model.evaluate_masked()["deviance"]).all()


def test_settings_of_one_backbone_are_no_settings_of_another():
    config = ModelConfig(backbone="scpalm", backbone_settings={"patches": 4})
    assert config.backbone_config(9).patches == 4
    with pytest.raises(TypeError, match=r"scgpt has the settings \[.*mvc.*\[patches\]"):
        ModelConfig(backbone="scgpt", backbone_settings={"patches": 4})
    with pytest.raises(KeyError, match=r"registered \[.*scgpt"):
        ModelConfig(backbone="xlnet")
    with pytest.raises(ValueError, match="decoder_layers=0"):
        ModelConfig(backbone="scfoundation", backbone_settings={"decoder_layers": 0})


def test_published_sizes_are_those_of_the_papers():
    scgpt = ModelConfig.published("scgpt", use_grn=False, loss="mse").backbone_config(60_697)
    assert (scgpt.dim, scgpt.layers, scgpt.heads, scgpt.hidden) == (512, 12, 8, 512)
    with torch.device("meta"):
        model = ScGPT(dataclasses.replace(scgpt, cls=60_695, mvc=True, n_classes=1))
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(
        51.86e6, rel=0.005
    )  # built and counted elsewhere
    with pytest.raises(ValueError, match="'scpalm' has none"):
        ModelConfig.published("scpalm")


def test_masked_values_from_the_cell_join_the_loss():
    model = trained("scgpt", toy_rna(), backbone_settings={"mvc": True}, loss="mse")
    collator, rows = model._collator(None, None)
    batch = next(batches(model.module, collator, rows[:30], batch_size=30, root=0))[1]
    out = model.module(batch)
    error = (out.extra["mvc"] - model.module.backbone.values(batch.counts, batch))[batch.masked] ** 2
    torch.testing.assert_close(model.module.backbone.extra_loss(out.extra, batch), error.mean())


def test_anyone_can_register_a_backbone():
    @register_backbone("plain")
    class Plain(ScGPT):
        def encode(self, x):
            return x

    try:
        assert get_backbone("plain") is Plain
        assert issubclass(Plain, Backbone)
        assert issubclass(Plain.Config, BackboneConfig)
        model = trained("plain", toy_rna())
        assert "plain" in repr(model)
    finally:
        from grnformer_sc.nn.backbones import base

        del base._REGISTRY["plain"]
