"""`tl.in_silico_perturbation`: equal to a loop that changes one sequence at a time."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from anndata import AnnData

import grnformer_sc as grs
from grnformer_sc._core.rows import as_rows
from grnformer_sc.model import Geneformer
from grnformer_sc.nn.foundation.base import Sequences

MEDIANS = {f"G{i}": float(m) for i, m in enumerate(np.random.default_rng(1).lognormal(size=25))}
GENES = ["G3", "G11", "G0", "G24"]


def a_model(*, framed: bool = False) -> Geneformer:
    """Random weights, large enough that shifts are no rounding errors."""
    model = Geneformer.untrained(MEDIANS, dim=8, heads=2, n_places=14, framed=framed)
    for name, value in model.net.named_parameters():
        if "norm" not in name:
            value.mul_(20)
    return model


@pytest.fixture
def cells() -> AnnData:
    """Cells of very different depth; one holds a single gene, which is deleted, and one gene is nowhere."""
    rng = np.random.default_rng(0)
    x = rng.poisson(rng.lognormal(0, 1.2, size=(12, 1)), size=(12, 28)).astype(np.float32)
    x[:, 1] += 1
    x[4] = 0
    x[4, 11] = 2
    x[:, 24] = 0
    names = [*MEDIANS, "lnc1", "lnc2", "lnc3"]
    return AnnData(sp.csr_matrix(x), var=pd.DataFrame(index=names))


def edited(ids: list[int], token: int, special: set[int], kind: str, limit: int) -> list[int] | None:
    """Sequence after a perturbation, None where there is none."""
    inner = [t for t in ids if t not in special]
    rest = [t for t in inner if t != token]
    if kind == "deletion":
        new = rest if token in inner and rest else None
    else:
        n_ends = len(ids) - len(inner)
        new = [token, *rest][: limit - n_ends]
    return None if new is None else ([ids[0], *new, ids[-1]] if ids[0] in special else new)


def loop(model: Geneformer, cells: AnnData, *, pool: str, depth: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Shifts of cells, and mean shifts of genes: one sequence through the network at a time."""
    vocabulary, net = model.vocabulary, model.net
    ((_, block),) = model.encode(model.counts_of(as_rows(cells.X), cells.var_names))
    of_cells = np.full((cells.n_obs, len(GENES)), np.nan)
    moved: dict[tuple[int, int], list[float]] = {}
    special = set(vocabulary.special.values())

    def states(ids: list[int]) -> tuple[np.ndarray, dict[int, np.ndarray]]:
        index = torch.tensor([ids])
        with torch.inference_mode():
            h = net(Sequences(index, torch.tensor([len(ids)]), index > 0), depth=depth)[0].double().numpy()
        of_gene = {t: row for t, row in zip(ids, h, strict=True) if t not in special}
        return (h[0] if pool == "cls" else np.mean(list(of_gene.values()), axis=0)), of_gene

    def shift(a: np.ndarray, b: np.ndarray) -> float:
        return 1 - float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    for cell in range(cells.n_obs):
        ids = block.tokens[block.starts[cell] : block.starts[cell + 1]].tolist()
        before = states(ids)
        for column, gene in enumerate(GENES):
            token = int(vocabulary.token[vocabulary.genes.get_loc(gene)])
            new = edited(ids, token, special, kind, net.n_places)
            if new is None:
                continue
            after = states(new)
            of_cells[cell, column] = shift(before[0], after[0])
            for other in after[1].keys() & before[1].keys() - {token}:
                place = int(np.flatnonzero(vocabulary.token == other)[0])
                moved.setdefault((place, column), []).append(shift(before[1][other], after[1][other]))
    of_genes = np.full((cells.n_vars, len(GENES)), np.nan)
    for key, values in moved.items():
        of_genes[key] = np.mean(values)
    return of_cells, of_genes


@pytest.mark.parametrize("kind", ["deletion", "overexpression"])
@pytest.mark.parametrize(("framed", "pool"), [(False, "mean"), (True, "mean"), (True, "cls")])
@pytest.mark.parametrize(("batch_size", "chunk"), [(1, 1024), (5, 1024), (64, 5)])
def test_shifts_are_those_of_a_loop(kind, framed, pool, batch_size, chunk, cells):
    model = a_model(framed=framed)
    expected = loop(model, cells, pool=pool, depth=2, kind=kind)
    with grs.settings.override(chunk_cells=chunk):
        grs.tl.in_silico_perturbation(cells, model, GENES, kind=kind, pool=pool, batch_size=batch_size, device="cpu")
    slot = f"geneformer_{kind}"
    for found, right in zip((cells.obsm[slot], cells.varm[slot]), expected, strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, right, atol=1e-5)
    assert np.nanmax(expected[0]) > 1e-3  # a hundred times the tolerance
    assert np.isnan(expected[0][4]).all() == (kind == "deletion")


def test_the_table_holds_the_means_and_the_log_what_was_nowhere(cells, caplog):
    with caplog.at_level(logging.INFO, logger="grnformer_sc"):
        grs.tl.in_silico_perturbation(cells, a_model(), GENES, device="cpu")
    stored, shift = cells.uns["geneformer_deletion"], cells.obsm["geneformer_deletion"]
    table = stored["table"].set_index("gene")
    assert list(stored["genes"]) == GENES
    assert list(table["shift"].dropna()) == sorted(table["shift"].dropna(), reverse=True)
    for column, gene in enumerate(GENES[:2]):
        assert table.loc[gene, "n_cells"] == np.isfinite(shift[:, column]).sum()
        assert table.loc[gene, "shift"] == pytest.approx(np.nanmean(shift[:, column]), abs=1e-6)
    assert table.loc["G24", "n_cells"] == 0
    assert np.isnan(table.loc["G24", "shift"])
    assert "1 are a token of no cell [G24]" in caplog.text


def test_a_single_gene_and_a_copy(cells):
    out = grs.tl.in_silico_perturbation(cells, a_model(), "G3", device="cpu", key_added="mine", copy=True)
    assert "mine_deletion" not in cells.obsm
    assert out.obsm["mine_deletion"].shape == (12, 1)


@pytest.mark.parametrize(
    ("genes", "error", "text"),
    [
        (["G3", "SOX2"], KeyError, r"genes of the data. Found: unknown \[SOX2\]"),
        ([], KeyError, r"genes of the data"),
        (["G3", "lnc1"], ValueError, r"in the vocabulary of the model. Found: without a token \[lnc1\]"),
        (["G3", "G5", "G3.1"], ValueError, r"a token of its own. Found: one token for \[G3, G3\.1\]"),
    ],
)
def test_genes_that_cannot_be_deleted_are_named(genes, error, text, cells):
    names = cells.var_names.to_list()
    cells.var_names = [*names[:-1], "G3.1"]
    with pytest.raises(error, match=text):
        grs.tl.in_silico_perturbation(cells, a_model(), genes, device="cpu")
    assert not cells.obsm
