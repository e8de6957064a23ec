"""What needs no model: rates of genes and types, principal components, AUC of eRegulons."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp

import grnformer_sc as grs
from grnformer_sc._core.keys import GrnKeys
from grnformer_sc._core.rng import as_root, generator
from grnformer_sc.data.fields import read_cells, read_network
from grnformer_sc.data.visible import hide
from grnformer_sc.model import ModelConfig
from grnformer_sc.model.context import Context

from .cells import Split
from .measures import coexpression, coregulation, principal_components, probes

BATCH = 64  # as in evaluate_masked: masks are seeded by the place of a batch
NEAREST = 30


def trivial(name: str, split: Split, seed: int) -> dict[str, float]:
    """Figures of one of them, on the masks of the models."""
    return PREDICTORS[name](split, seed)


def gene_rate(split: Split, seed: int) -> dict[str, float]:
    """Rate of the gene times the visible size factor."""
    return {"deviance": deviances(split, seed)["gene"]}


def type_rate(split: Split, seed: int) -> dict[str, float]:
    """Rate of the gene in the cell's type: knows the label of held-out cells."""
    return {"deviance_labelled": deviances(split, seed)["type"]}


def components(split: Split, seed: int) -> dict[str, float]:
    """Components of log-normalised counts; masked counts by the nearest training cells, genes by their correlation."""
    out = probes(*principal_components(split.train, split.test), split.train, split.test)
    out["deviance"] = deviances(split, seed)["nearest"]
    if "truth" in split.train.uns:
        out["coregulation"] = coregulation(coexpression(split.train), split.train)
    return out


def auc(split: Split, seed: int) -> dict[str, float]:
    """AUC of genes and regions, as the cells' coordinates; they see all counts of a cell."""
    slots, both = ("grn_auc", "grn_auc_region"), (split.train, split.test)
    z = [np.concatenate([cells.obsm[slot] for slot in slots], axis=1) for cells in both]
    return probes(*z, split.train, split.test)


PREDICTORS: dict[str, Callable[[Split, int], dict[str, float]]] = {
    "gene rate": gene_rate,
    "type rate": type_rate,
    "PCA": components,
    "AUC of eRegulons": auc,
}


def deviances(split: Split, seed: int) -> dict[str, float]:
    """Deviance of masked counts by the rates of genes, types, and of the nearest cells shrunk to the gene's rate."""
    network, config, root = read_network(split.train, "grn"), ModelConfig(), as_root(seed)
    train, test = (read_cells(cells, network, layer=None, keys=GrnKeys()) for cells in (split.train, split.test))
    context = Context.fit(train, np.arange(train.n_cells), network, config, root=root)
    x_train, x_test = sp.csr_matrix(split.train.X), sp.csr_matrix(split.test.X)
    collator, everything = context.collator(test, network, config.tokens), np.arange(test.n_cells)
    counts, expected = [], {"gene": [], "type": [], "nearest": []}
    for start in range(0, test.n_cells, BATCH):
        index = everything[start : start + BATCH]
        batch = collator(index, generator(root, "evaluate", start))
        asked = batch.masked.numpy()
        genes, cell = batch.genes.numpy()[asked], np.nonzero(asked)[0]
        size = np.exp(batch.log_size.double().numpy())[cell] * context.mean_size
        visible = hide(x_test[index], ~batch.shown.numpy(), context.rates)
        near = context.reference.find(visible, np.full(index.size, -1), NEAREST)
        sums = np.stack([np.asarray(x_train[rows].sum(axis=0)).ravel() for rows in near])
        prior = context.mean_size
        rate = (sums + prior * context.rates) / (sums.sum(axis=1, keepdims=True) + prior)
        counts.append(batch.counts.numpy()[asked])
        expected["gene"].append(context.rates[genes] * size)
        expected["type"].append(context.group_rates[batch.group.numpy()[cell], genes] * size)
        expected["nearest"].append(rate[cell, genes] * size)
    y = np.concatenate(counts).astype(np.float64)
    return {name: grs.metrics.poisson_deviance(y, np.concatenate(values)) for name, values in expected.items()}
