"""What holds for every foundation model: cells are read alone, in any order of genes, and edited as a loop would edit them."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from anndata import AnnData

import grnformer_sc as grs
from grnformer_sc._core.rows import as_rows
from grnformer_sc.nn.foundation.base import CellTokens, Sequences

helpers = runpy.run_path(str(Path(__file__).with_name("foundations.py")))
GENES, MEDIANS, SMALL, enlarged = (helpers[name] for name in ("GENES", "MEDIANS", "SMALL", "enlarged"))
PERTURBED = ["G3", "G11", "G0", "G24"]
every = pytest.mark.parametrize("name", list(SMALL))


@pytest.fixture
def cells() -> AnnData:
    """Cells of very different depth; one holds a single gene, which is deleted, and one gene is nowhere."""
    rng = np.random.default_rng(0)
    x = rng.poisson(rng.lognormal(0, 1.2, size=(6, 1)), size=(6, 28)).astype(np.float32)
    x[:, 1] += 1
    x[4] = 0
    x[4, 11] = 2
    x[:, 24] = 0
    return AnnData(sp.csr_matrix(x), var=pd.DataFrame(index=[*GENES, "lnc1", "lnc2", "lnc3"]))


class Alone:
    """Reads one cell at a time, without padding, by plain lists."""

    def __init__(self, model: Any, cells: AnnData, *, depth: int) -> None:
        self.model, self.depth = model, depth
        ((_, self.block),) = model.encode(model.counts_of(as_rows(cells.X), cells.var_names))
        assert isinstance(self.block, CellTokens)

    def cell(self, number: int) -> tuple[list[int], list[float]]:
        part = slice(self.block.starts[number], self.block.starts[number + 1])
        values = self.block.values
        return self.block.tokens[part].tolist(), [0.0] * 99 if values is None else values[part].tolist()

    @torch.inference_mode()
    def states(self, number: int, tokens: list[int], values: list[float]) -> np.ndarray:
        n, context = len(tokens), self.block.context
        x = Sequences(
            torch.tensor([tokens]), torch.tensor([n]), torch.ones(1, n, dtype=torch.bool),
            None if self.block.values is None else torch.tensor([values[:n]], dtype=torch.float32),
            None if context is None else torch.from_numpy(context[[number]]),
        )  # fmt: skip
        return self.model.net(x, depth=self.depth)[0].double().numpy()

    def read(self, number: int, tokens: list[int], values: list[float], pool: str) -> tuple[np.ndarray, dict]:
        """Embedding of the cell, and of its genes by token."""
        h, front = self.states(number, tokens, values), self.model.front
        inner = slice(front, len(tokens) - self.model.back)
        cell = h[:front].mean(axis=0) if pool == "cls" else h[inner].mean(axis=0)
        return cell, dict(zip(tokens[inner], h[inner], strict=True))

    def edited(self, number: int, token: int, kind: str) -> tuple[list[int], list[float]] | None:
        """Sequence after a perturbation, None where there is none."""
        tokens, values = self.cell(number)
        front, back, flag = self.model.front, self.model.back, self.model.flag
        end = len(tokens) - back
        inner = list(zip(tokens[front:end], values[front:end], strict=True))
        rest = [pair for pair in inner if pair[0] != token]
        if kind == "deletion" and (len(rest) == len(inner) or not (rest or flag)):
            return None
        if kind == "deletion":
            new = [(token + flag, 0.0), *rest] if flag else rest
        else:
            new = [(token + flag, max(values)), *rest][: self.model.net.n_places - front - back]
        before, after = tokens[:front], tokens[end:]
        return [*before, *(t for t, _ in new), *after], [*([0.0] * front), *(v for _, v in new), *([0.0] * back)]


def cosine_shift(a: np.ndarray, b: np.ndarray) -> float:
    return 1 - float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def places_of(model: Any, cells: AnnData) -> dict[int, int]:
    """Place in the data of every token."""
    at = cells.var_names.get_indexer(model.genes)
    return {int(token): int(place) for token, place in zip(model.tokens, at, strict=True)}


@every
@pytest.mark.parametrize(("emb_layer", "pool", "batch_size", "chunk"), [(0, "mean", 2, 4), (-1, "cls", 64, 1024)])
def test_embeddings_are_those_of_cells_read_alone(name, emb_layer, pool, batch_size, chunk, cells):
    model = SMALL[name]()
    pool = pool if model.front else "mean"
    with grs.settings.override(chunk_cells=chunk):
        grs.tl.embed(cells, model, emb_layer=emb_layer, pool=pool, batch_size=batch_size, device="cpu", key_added="m")
    alone, where = Alone(model, cells, depth=3 + emb_layer), places_of(model, cells)
    by_gene: dict[int, list[np.ndarray]] = {}
    for number, found in enumerate(cells.obsm["X_m"]):
        expected, of_genes = alone.read(number, *alone.cell(number), pool)
        np.testing.assert_allclose(found, expected, atol=5e-6)
        for token, row in of_genes.items():
            by_gene.setdefault(where[token], []).append(row)
    expected = np.full((28, model.net.dim), np.nan)
    for place, rows in by_gene.items():
        expected[place] = np.mean(rows, axis=0)
    np.testing.assert_allclose(cells.varm["m"], expected, atol=5e-6)


@every
def test_the_order_of_genes_in_the_data_plays_no_role(name, cells):
    model, order = SMALL[name](), np.random.default_rng(3).permutation(28)
    grs.tl.embed(cells, model, device="cpu", key_added="m")
    other = grs.tl.embed(cells[:, order].copy(), model, device="cpu", key_added="m", copy=True)
    np.testing.assert_allclose(other.obsm["X_m"], cells.obsm["X_m"], atol=5e-6)
    np.testing.assert_allclose(other.varm["m"], cells.varm["m"][order], atol=5e-6)


@every
def test_half_precision_is_near(name, cells):
    model = SMALL[name]()
    for precision in ("float32", "bfloat16"):
        grs.tl.embed(cells, model, genes=False, precision=precision, device="cpu", key_added=precision)
    full, half = (cells.obsm[f"X_{precision}"] for precision in ("float32", "bfloat16"))
    assert half.dtype == np.float32
    assert 0 < np.abs(full - half).max() < 0.1


@every
@pytest.mark.parametrize(
    ("kind", "pool", "batch_size", "chunk"),
    [("deletion", "mean", 64, 4), ("deletion", "cls", 3, 1024), ("overexpression", "mean", 5, 1024)],
)
def test_perturbations_are_those_of_a_loop(name, kind, pool, batch_size, chunk, cells):
    model = enlarged(SMALL[name]())
    pool = pool if model.front else "mean"
    with grs.settings.override(chunk_cells=chunk):
        grs.tl.in_silico_perturbation(
            cells, model, PERTURBED, kind=kind, pool=pool, batch_size=batch_size, device="cpu", key_added="m"
        )
    alone, where = Alone(model, cells, depth=2), places_of(model, cells)
    of_cells, moved = np.full((6, 4), np.nan), {}
    for number in range(6):
        before = alone.read(number, *alone.cell(number), pool)
        for column, gene in enumerate(PERTURBED):
            token = int(model.tokens[model.genes.get_loc(gene)])
            new = alone.edited(number, token, kind)
            if new is None:
                continue
            after = alone.read(number, *new, pool)
            of_cells[number, column] = cosine_shift(before[0], after[0])
            for other in after[1].keys() & before[1].keys() - {token}:
                shift = cosine_shift(before[1][other], after[1][other])
                moved.setdefault((where[other], column), []).append(shift)
    of_genes = np.full((28, 4), np.nan)
    for key, shifts in moved.items():
        of_genes[key] = np.mean(shifts)
    np.testing.assert_allclose(cells.obsm[f"m_{kind}"], of_cells, atol=5e-6)
    np.testing.assert_allclose(cells.varm[f"m_{kind}"], of_genes, atol=5e-6)
    assert np.nanmax(of_cells) > 2e-4  # far above the tolerance


SIZES = {"dim": 8, "heads": 2}
OTHERS = {  # the same weights, read in another way
    "scgenept, genes that are not expressed": lambda z: grs.model.ScGenePT.untrained(GENES, **SIZES, zero_genes=z),
    "scgenept, genes of a cell": lambda z: grs.model.ScGenePT.untrained(GENES, **SIZES, n_context=25 if z else 9),
    "scgpt, places": lambda z: grs.model.ScGPT.untrained(GENES, **SIZES, n_places=20 if z else 9),
    "scgpt, bins": lambda z: grs.model.ScGPT.untrained(GENES, **SIZES, n_bins=9 if z else 5),
    "scprint, heads": lambda z: grs.model.ScPRINT.untrained(GENES, dim=8, heads=2 if z else 4),
    "scprint, counts": lambda z: grs.model.ScPRINT.untrained(GENES, **SIZES, normalisation="log" if z else "sum"),
    "geneformer, medians": lambda z: grs.model.Geneformer.untrained(
        MEDIANS if z else dict.fromkeys(GENES, 1.0), **SIZES
    ),
    "genecompass, medians": lambda z: grs.model.GeneCompass.untrained(GENES, **SIZES, medians=MEDIANS if z else None),
}


@pytest.mark.parametrize("name", list(OTHERS))
def test_a_stored_part_is_that_of_the_model_as_it_is_read(name, cells, tmp_path):
    found = []
    for first in (True, False):
        model = enlarged(OTHERS[name](first))
        for resume in (tmp_path, False):
            grs.tl.in_silico_perturbation(cells, model, PERTURBED, device="cpu", resume=resume)
            found.append(cells.obsm[f"{model.key}_deletion"])
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[2], found[3])
    assert not np.array_equal(found[1], found[3], equal_nan=True)


def test_bins_are_those_of_all_expressed_genes_of_a_cell(cells):
    whole, cut = (grs.model.ScGPT.untrained(GENES, **SIZES, n_places=n) for n in (100, 6))
    of_whole, of_cut = (Alone(model, cells, depth=1) for model in (whole, cut))
    for cell in range(6):
        bin_of = dict(zip(*of_whole.cell(cell), strict=False))
        tokens, bins = of_cut.cell(cell)
        assert len(tokens) <= 6
        assert bins[: len(tokens)] == [bin_of[token] for token in tokens]


@torch.inference_mode()
def test_a_flagged_gene_keeps_its_value_where_the_cell_has_more_genes_than_are_read():
    counts = np.arange(25, 0, -1, dtype=np.float32)[None]
    model = enlarged(grs.model.ScGenePT.untrained(GENES, **SIZES, n_context=9, zero_genes=False))
    cells = AnnData(sp.csr_matrix(counts), var=pd.DataFrame(index=GENES))
    grs.tl.in_silico_perturbation(cells, model, ["G20"], kind="flag", measure="expression", device="cpu")
    values = torch.from_numpy(np.log1p(counts / counts.sum() * 1e4))[0]

    def predicted(genes: list[int], flagged: int) -> dict[int, float]:
        tokens = torch.from_numpy(model.tokens[genes])[None]
        told = torch.tensor([[gene == flagged for gene in genes]])
        x = Sequences(tokens + 26 * told, torch.tensor([len(genes)]), tokens >= 0, values[genes][None])
        return dict(zip(genes, model.net.expression(model.net(x))[0].tolist(), strict=True))

    before, after = predicted(list(range(9)), -1), predicted([*range(8), 20], 20)
    expected = [after[gene] - before[gene] for gene in range(8)]
    np.testing.assert_allclose(cells.varm["scgenept_flag"][:8, 0], expected, atol=1e-5)
    assert np.isnan(cells.varm["scgenept_flag"][8:, 0]).all()
