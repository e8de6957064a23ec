"""Foundation models as backbones: the same states as the model that is read, nothing told of masked genes, rows by name."""

from __future__ import annotations

import dataclasses
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

import grnformer_sc as grs
from grnformer_sc._core.rows import as_rows
from grnformer_sc.data.visible import quantile_edges
from grnformer_sc.model.pretrained import adopt
from grnformer_sc.nn.backbones import get_backbone
from grnformer_sc.nn.batch import CellBatch
from grnformer_sc.nn.foundation.base import sequences

helpers = runpy.run_path(str(Path(__file__).with_name("foundations.py")))
GENES, SMALL, enlarged = helpers["GENES"], helpers["SMALL"], helpers["enlarged"]
MICE = [f"ENSMUSG{i:011d}" for i in range(25)]
OTHERS = {
    "geneformer of version 1": lambda: grs.model.Geneformer.untrained(helpers["MEDIANS"], dim=8, heads=2, n_places=14),
    "genecompass of the mouse": lambda: grs.model.GeneCompass.untrained(
        MICE, dim=8, heads=2, species="mouse", species_token=False
    ),
    "scprint without places": lambda: grs.model.ScPRINT.untrained(
        GENES, dim=8, heads=2, normalisation="sum", depth=False
    ),
}
MODELS = {name: make for name, make in (SMALL | OTHERS).items() if name != "scgenept"}  # that one also reads zeros
ORDER = np.random.default_rng(3).permutation(25)  # of the genes in the data


def counts_of(n_cells: int = 6, most: int = 10) -> np.ndarray:
    """Cells with at most `most` expressed genes, with different counts."""
    rng = np.random.default_rng(0)
    x = np.zeros((n_cells, 25), dtype=np.float32)
    for row, n in zip(x, rng.integers(2, most + 1, n_cells), strict=True):
        row[rng.permutation(25)[:n]] = rng.permutation(np.arange(1, 30))[:n]
    return x


def batch_of(x: np.ndarray, *, n_bins: int = 9, asked: int = 0) -> CellBatch:
    """Expressed genes as tokens; the first `asked` genes of the data are hidden and asked for behind them."""
    shown = x.copy()
    shown[:, :asked] = 0
    n = (shown > 0).sum(axis=1)
    genes = np.argsort(shown == 0, axis=1, kind="stable")[:, : n.max()]
    padding = np.arange(n.max()) >= n[:, None]
    values = np.where(padding, 0, np.take_along_axis(shown, genes, axis=1))
    queries = np.broadcast_to(np.arange(asked), (len(x), asked))
    wide = [(0, 0), (0, asked)]
    masked = np.pad(np.zeros_like(padding), wide, constant_values=True)
    total = np.log10(shown.sum(axis=1, dtype=np.float64))
    edges = quantile_edges(sp.csr_matrix(shown), n_bins)
    return CellBatch(
        genes=torch.from_numpy(np.concatenate([np.where(padding, 0, genes), queries], axis=1)),
        values=torch.from_numpy(np.pad(values, wide).astype(np.float32)), masked=torch.from_numpy(masked),
        padding=torch.from_numpy(np.pad(padding, wide)), counts=torch.zeros(masked.shape),
        log_size=torch.zeros(len(x)), group=torch.zeros(len(x), dtype=torch.long),
        bits=torch.zeros(len(x), 0, dtype=torch.bool), visible=torch.from_numpy(shown > 0),
        shown=torch.ones(x.shape, dtype=torch.bool), edges=torch.from_numpy(edges),
        depth=torch.from_numpy(np.stack([total, total], axis=1).astype(np.float32)),
    )  # fmt: skip


def backbone_for(model, genes: list[str], **settings):
    """A backbone of these genes with the weights of a model."""
    published = model.as_backbone()
    weights = adopt(published, pd.Index(genes))
    sizes = published.backbone.config
    config = dataclasses.replace(sizes, n_genes=len(genes), dropout=0.0, **settings)
    own = get_backbone(published.name)(config if published.name != "scgpt" else dataclasses.replace(config, cls=None))
    weights.load_into(own)
    return own.eval(), weights


def states(own, batch, silent=None):
    x = own.embed(batch, batch.padding | batch.masked if silent is None else silent)
    return own.read(own.last_layer(own.encode(x)), batch)


@pytest.mark.parametrize("name", list(MODELS))
def test_states_are_those_of_the_model_that_is_read(name):
    """All layers and no adapter, genes of the data in another order than the vocabulary's."""
    model = enlarged(MODELS[name]())
    if "mouse" in name:
        model.net.homologous_index.copy_(torch.arange(27).flip(0))
    genes = model.genes[ORDER].tolist()
    x = counts_of()[:, ORDER]
    own, _ = backbone_for(model, genes)
    ((_, cells),) = model.encode(model.counts_of(as_rows(sp.csr_matrix(x)), pd.Index(genes)))
    how = model.reading(emb_layer=0, device="cpu")
    batch = batch_of(x)
    with torch.inference_mode():
        found = states(own, batch)
        for cell in range(len(x)):
            part = sequences(cells, np.array([cell]), how)
            read = model.net(part)[0]
            if name == "scgpt":
                torch.testing.assert_close(found.cells[cell], read[0], atol=1e-5, rtol=1e-5)
            elif how.front:
                torch.testing.assert_close(found.cells[cell], read[: how.front].mean(dim=0), atol=1e-5, rtol=1e-5)
            else:
                torch.testing.assert_close(found.cells[cell], read[part.genes[0]].mean(dim=0), atol=1e-5, rtol=1e-5)
            token = {t: i for i, t in enumerate(model.tokens[ORDER].tolist())}
            place = {token[t]: i for i, t in enumerate(part.index[0].tolist()) if bool(part.genes[0, i])}
            mine = [place[g] for g in batch.genes[cell][~batch.padding[cell]].tolist()]
            torch.testing.assert_close(found.tokens[cell][~batch.padding[cell]], read[mine], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["geneformer", "genecompass", "geneformer of version 1"])
def test_genes_beyond_the_last_place_are_attended_to_by_nobody(name):
    """As if they were not there, which is how the model that is read cuts a cell."""
    model = enlarged(MODELS[name]())
    x = counts_of(most=25)
    own, _ = backbone_for(model, GENES)
    ((_, cells),) = model.encode(model.counts_of(as_rows(sp.csr_matrix(x)), pd.Index(GENES)))
    assert cells.length.max() == model.net.n_places
    with torch.inference_mode():
        found = states(own, batch_of(x)).cells
        pool = "cls" if model.front else "mean"
        how = model.reading(emb_layer=0, device="cpu", pool=pool)
        read = torch.from_numpy(model.embed(model.counts_of(as_rows(sp.csr_matrix(x)), pd.Index(GENES)), how)[0])
    torch.testing.assert_close(found, read, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", [*(n for n in SMALL if n != "scgpt"), "geneformer of version 1"])
def test_asked_genes_change_no_state_of_the_others(name):
    """Masked genes that nobody attends to: the visible ones and the cell are as without them."""
    own, _ = backbone_for(enlarged((SMALL | OTHERS)[name]()), GENES)
    x = counts_of()
    hidden = x.copy()
    hidden[:, :5] = 0
    with torch.inference_mode():
        asked, alone = states(own, batch_of(x, asked=5)), states(own, batch_of(hidden))
    n = alone.tokens.shape[1]
    shown = ~batch_of(hidden).padding
    torch.testing.assert_close(asked.tokens[:, :n][shown], alone.tokens[shown], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(asked.cells, alone.cells, atol=1e-5, rtol=1e-5)
    different = asked.tokens[:, n:]
    assert (different[:, 0] - different[:, 1]).abs().max() > 1e-3  # what is asked for is known


@pytest.mark.parametrize("name", ["geneformer", "genecompass", "scgenept", "scprint"])
def test_genes_without_a_row_start_from_the_mean_of_all_that_is_known_of_genes(name):
    model = SMALL[name]()
    own, weights = backbone_for(model, [*GENES[:20], "unknown"])
    assert weights.n_lost == 1
    state = own.state_dict()
    tables = [own.gene_table, *own.gene_rows]
    assert len(tables) >= 2
    for table in tables:
        torch.testing.assert_close(state[table][20], state[table][:20].mean(dim=0))


def test_a_mouse_gene_has_the_word_of_its_homologue_and_its_own_facts():
    model = MODELS["genecompass of the mouse"]()
    model.net.homologous_index.copy_(torch.arange(27).flip(0))
    own = model.as_backbone().backbone
    torch.testing.assert_close(own.net.tokens.weight[3], model.net.tokens.weight[26 - model.tokens[3]])
    torch.testing.assert_close(
        own.state_dict()["net.knowledge.co_exp.table"][3], model.net.knowledge["co_exp"].table[5]
    )
