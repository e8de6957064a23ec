"""Masked counts must not reach the prediction: not through values, size, bins, tokens, neighbours, bits or network."""

from __future__ import annotations

import dataclasses
import runpy
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from grnformer_sc._core.keys import GrnKeys
from grnformer_sc.data.fields import read_cells, read_network
from grnformer_sc.grn.aucell import aucell
from grnformer_sc.model.assemble import build_net
from grnformer_sc.model.config import ModelConfig
from grnformer_sc.model.context import Context

toy_rna = runpy.run_path(str(Path(__file__).parents[1] / "data" / "toy.py"))["toy_rna"]
NAMES = ["scgpt", "scfoundation", "scpalm", "geneformer", "genecompass", "scgenept", "scprint"]
OWN = {"scgenept": {"languages": {"genept": 5}}, "geneformer": {"framed": True}}
CONFIG = {"dim": 16, "heads": 2, "layers": 1, "dropout": 0.0, "beta": 0.7, "mask_ratio": 0.3, "max_queries": 10}
TRAIN, HELD_OUT = np.arange(90), np.arange(90, 120)


def pipeline(adata, gate, backbone="scgpt", loss="poisson", **options):
    """From raw counts to the prediction for the held-out cells; everything is made anew from the object."""
    network = read_network(adata, "grn")
    rescore(adata, network)
    cells = read_cells(adata, network, layer=None, keys=GrnKeys())
    settings = OWN.get(backbone, {})
    config = ModelConfig(**CONFIG, gate=gate, backbone=backbone, loss=loss, backbone_settings=settings, **options)
    context = Context.fit(cells, TRAIN, network, config, root=1)
    net = build_net(config, context, network, cells.genes, root=2)
    for parameter in (net.per_gene, *([] if net.head is None else [net.head.decoder[-1].weight])):
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(0))
    # as in training: cells are thinned where the backbone asks for it
    batch = context.collator(cells, network, config.tokens)(HELD_OUT, np.random.default_rng(5), training=True)
    with torch.inference_mode():
        out = net.eval()(batch, generator=torch.Generator().manual_seed(3), perturb=True)
    return batch, out


def rescore(adata, network):
    """Gene bits as the paper makes them: from all counts of the cell, masked or not."""
    counts = sp.csr_matrix(adata.X)
    auc = aucell(counts, network.gene_members(adata.var_names), top=0.2)
    adata.obsm["grn_active"] = sp.csr_matrix(auc > np.median(auc[TRAIN], axis=0))


def with_other_masked_counts(adata, batch_of, seed):
    """Replace every masked count of the held-out cells by an arbitrary one, many of them zero."""
    rng = np.random.default_rng(seed)
    x = adata.X.toarray()
    keys = np.random.default_rng(5).random((HELD_OUT.size, adata.n_vars), dtype=np.float32)
    masked = keys.argsort(axis=1).argsort(axis=1) < round(CONFIG["mask_ratio"] * adata.n_vars)
    assert np.take_along_axis(masked, batch_of.genes.numpy(), axis=1)[batch_of.masked.numpy()].all()
    other = rng.poisson(rng.choice([0.0, 1.0, 50.0], masked.shape))
    x[HELD_OUT] = np.where(masked, other, x[HELD_OUT])
    changed = adata.copy()
    changed.X = sp.csr_matrix(x)
    return changed


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()


@pytest.mark.parametrize("backbone", NAMES)
@pytest.mark.parametrize(
    ("gate", "loss", "seed"), [("region", "poisson", 0), ("neighbour", "mse", 0), ("neighbour", "nb", 1)]
)
def test_masked_counts_cannot_be_seen(backbone, gate, loss, seed):
    adata = toy_rna()
    batch, out = pipeline(adata, gate, backbone, loss)
    other_batch, other = pipeline(with_other_masked_counts(adata, batch, seed), gate, backbone, loss)
    assert not same_bits(batch.counts, other_batch.counts)  # the targets did change
    for name in {field.name for field in dataclasses.fields(batch)} - {"counts"}:
        assert same_bits(getattr(batch, name), getattr(other_batch, name)), name
    for name in ("prediction", "cells", "genes"):
        assert same_bits(getattr(out, name), getattr(other, name)), name
    assert out.extra.keys() == other.extra.keys()
    assert all(same_bits(out.extra[name], other.extra[name]) for name in out.extra)


def test_the_gene_gate_leaks():
    adata = toy_rna()
    batch, out = pipeline(adata, "gene")
    other_batch, other = pipeline(with_other_masked_counts(adata, batch, 0), "gene")
    assert same_bits(batch.values, other_batch.values)
    assert not same_bits(batch.bits, other_batch.bits)
    assert not same_bits(out.prediction, other.prediction)


@pytest.mark.parametrize("backbone", NAMES)
def test_visible_counts_are_seen(backbone):
    adata = toy_rna()
    changed = adata.copy()
    changed.X = sp.csr_matrix(changed.X.toarray()[:, ::-1])
    first, second = (pipeline(data, "region", backbone)[1].prediction for data in (adata, changed))
    assert not same_bits(first, second)


STRUCTURE = [
    {"conv": "sage", "node_features": "gene+expression"},
    {"conv": "gcn", "node_features": "gene+expression", "edge_weights": True, "perturb": "random"},
    {"conv": "gin", "node_features": "gene+expression", "tie_scales": False, "keep_degree": True, "keys": "tf"},
    {"node_features": "gene+expression", "backbone": "scfoundation", "keep_ffn": True, "swap_types": 0.5},
    {
        "node_features": "gene+expression",
        "backbone": "scpalm",
        "scales": "cell",
        "consistency": 0.5,
        "edge_prediction": 0.5,
    },
]


@pytest.mark.parametrize("options", STRUCTURE, ids=lambda options: "-".join(map(str, options.values())))
def test_no_option_of_the_structure_shows_masked_counts(options):
    adata = toy_rna()
    batch, out = pipeline(adata, "neighbour", **options)
    other_batch, other = pipeline(with_other_masked_counts(adata, batch, 0), "neighbour", **options)
    assert not same_bits(batch.counts, other_batch.counts)
    for name in ("prediction", "cells", "genes"):
        assert same_bits(getattr(out, name), getattr(other, name)), name
    assert all(same_bits(out.extra[name], other.extra[name]) for name in ("second", "edge_scores") if name in out.extra)
