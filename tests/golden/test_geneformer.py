"""Geneformer's format: tokens, hidden states and deletions equal to those of the BERT of `transformers` on the same files."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import grnformer_sc as grs
from grnformer_sc._core.rows import as_rows
from grnformer_sc.model import Geneformer

pytestmark = pytest.mark.golden
CLOSE = 1e-5


@pytest.fixture(scope="module")
def golden(golden_dir: Path) -> dict[str, np.ndarray]:
    with np.load(golden_dir / "geneformer" / "forward.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def model(golden_dir: Path) -> Geneformer:
    return Geneformer.load_published(golden_dir / "geneformer" / "model")


@pytest.fixture
def cells(golden: dict[str, np.ndarray]) -> AnnData:
    return AnnData(golden["counts"].astype(np.float32), var=pd.DataFrame(index=golden["ensembl_ids"]))


def mean_of_genes(hidden: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.array([h[m].mean(axis=0) for h, m in zip(hidden.astype(np.float64), mask.astype(bool), strict=True)])


@pytest.mark.parametrize("chunk", [1, 4, 1024])
def test_tokens_are_those_of_the_tokenizer(golden, model, cells, chunk):
    counts = model.counts_of(as_rows(cells.X), cells.var_names)
    with grs.settings.override(chunk_cells=chunk):
        found = [
            block.tokens[a:b]
            for _, block in model.encode(counts)
            for a, b in zip(block.starts[:-1], block.starts[1:], strict=True)
        ]
    assert len(found) == 6
    for mine, ids, mask in zip(found, golden["input_ids"], golden["attention_mask"], strict=True):
        np.testing.assert_array_equal(mine, ids[mask == 1])


@pytest.mark.parametrize("emb_layer", [0, -1, -2, -3])
def test_embeddings_of_cells_are_means_of_its_hidden_states(golden, model, cells, emb_layer):
    grs.tl.embed(cells, model, emb_layer=emb_layer, batch_size=4, device="cpu")
    expected = mean_of_genes(golden["hidden_states"][3 + emb_layer], golden["attention_mask"])
    np.testing.assert_allclose(cells.obsm["X_geneformer"], expected, atol=CLOSE, rtol=0)


def test_embeddings_of_genes_are_means_over_cells(golden, model, cells):
    grs.tl.embed(cells, model, device="cpu")
    hidden, mask = golden["hidden_states"][2].astype(np.float64), golden["attention_mask"] == 1
    for gene in range(60):
        here = mask & (golden["input_ids"] == gene + 2)
        np.testing.assert_allclose(cells.varm["geneformer"][gene], hidden[here].mean(axis=0), atol=CLOSE, rtol=0)


def test_the_torch_file_holds_the_same_model(golden_dir, model, cells, tmp_path):
    source = golden_dir / "geneformer"
    for name in ("config.json", "pytorch_model.bin"):
        shutil.copy(source / "model" / name, tmp_path / name)
    files = {
        "tokens": "token_dictionary.pkl",
        "medians": "gene_median_dictionary.pkl",
        "names": "gene_name_id_dict.pkl",
    }
    other = Geneformer.load_published(tmp_path, **{kind: source / name for kind, name in files.items()})
    assert set(other.sha256) ^ set(model.sha256) == {"pytorch_model.bin", "model.safetensors"}
    first, second = (grs.tl.embed(cells, m, device="cpu", copy=True) for m in (model, other))
    np.testing.assert_array_equal(first.obsm["X_geneformer"], second.obsm["X_geneformer"])


def test_genes_are_found_by_the_names_of_the_file(model, cells):
    named = cells.copy()
    named.var_names = [f"GENE{i}" for i in range(60)]
    for adata in (cells, named):
        grs.tl.embed(adata, model, device="cpu")
    np.testing.assert_array_equal(named.obsm["X_geneformer"], cells.obsm["X_geneformer"])


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_shifts_of_genes_by_deletion_are_those_of_a_loop(golden, model, cells, batch_size):
    one = cells[:1].copy()
    expected = golden["deletion_scores_cell0"]
    tokens = golden["input_ids"][0][golden["attention_mask"][0] == 1] - 2
    grs.tl.in_silico_perturbation(one, model, list(one.var_names[tokens]), batch_size=batch_size, device="cpu")
    found = one.varm["geneformer_deletion"][tokens].T  # deleted x moved
    assert np.isnan(found).sum() == tokens.size  # a gene that is deleted moves no more
    np.testing.assert_allclose(found, expected, atol=CLOSE, rtol=0)
