"""`tl.embed`: the same embeddings however cells are stored, complete or not written, errors that name what is wrong."""

from __future__ import annotations

import logging
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from anndata import AnnData

import grnformer_sc as grs
from grnformer_sc.model import Geneformer

MEDIANS = {f"ENSG{i:011d}": float(m) for i, m in enumerate(np.random.default_rng(1).lognormal(size=30))}
NAMES = {f"GENE{i}": gene for i, gene in enumerate(MEDIANS)}


@pytest.fixture
def model() -> Geneformer:
    return Geneformer.untrained(MEDIANS, names=NAMES, dim=8, heads=2, n_places=16, framed=True)


@pytest.fixture
def cells() -> AnnData:
    rng = np.random.default_rng(0)
    x = rng.poisson(rng.lognormal(0, 1, size=(25, 1)), size=(25, 35)).astype(np.float32)
    x[:, 0] += 1
    names = [*NAMES, *(f"lncRNA{i}" for i in range(5))]
    return AnnData(sp.csr_matrix(x), var=pd.DataFrame({"id": [*MEDIANS, *names[30:]]}, index=names))


def test_storage_and_blocks_play_no_role(model, cells, tmp_path: Path):
    grs.tl.embed(cells, model, device="cpu")
    expected = cells.obsm["X_geneformer"], cells.varm["geneformer"]
    path = tmp_path / "cells.h5ad"
    AnnData(cells.X, var=cells.var).write_h5ad(path)
    dense = AnnData(cells.X.toarray(), var=cells.var)
    backed = anndata.io.read_h5ad(path, backed="r")
    for other in (
        dense,
        AnnData(cells.X.tocsc(), var=cells.var),
        AnnData(dense.X.astype(np.int64), var=cells.var),
        backed,
    ):
        with grs.settings.override(chunk_cells=7):
            grs.tl.embed(other, model, device="cpu")
        np.testing.assert_allclose(other.obsm["X_geneformer"], expected[0], atol=2e-6)
        np.testing.assert_allclose(other.varm["geneformer"], expected[1], atol=2e-6)
    backed.file.close()


def test_a_cell_has_the_same_embedding_in_any_company(model, cells):
    grs.tl.embed(cells, model, device="cpu")
    some = grs.tl.embed(cells[[20, 3, 7]].copy(), model, device="cpu", copy=True)
    np.testing.assert_allclose(some.obsm["X_geneformer"], cells.obsm["X_geneformer"][[20, 3, 7]], atol=2e-6)


def test_ids_symbols_and_a_column_lead_to_the_same_genes(model, cells, caplog):
    with caplog.at_level(logging.INFO, logger="grnformer_sc"):
        grs.tl.embed(cells, model, device="cpu")
    assert "30 of 35 genes found (30 alias, 5 unmatched)" in caplog.text
    by_column = grs.tl.embed(cells, model, gene_ids="id", device="cpu", copy=True)
    np.testing.assert_array_equal(by_column.obsm["X_geneformer"], cells.obsm["X_geneformer"])
    assert np.isnan(cells.varm["geneformer"][30:]).all()
    assert np.isfinite(cells.varm["geneformer"][0]).all()
    params = cells.uns["geneformer"]["params"]
    assert params["dropped"]["genes without token"] == 5
    assert params["emb_layer"] == -1


def test_untrained_models_are_those_of_their_seed(cells):
    first, again, other = (Geneformer.untrained(MEDIANS, dim=8, heads=2, rng=seed) for seed in (0, 0, 1))
    for name, value in first.net.state_dict().items():
        assert torch.equal(value, again.net.state_dict()[name])
        assert torch.equal(value, other.net.state_dict()[name]) == ("norm" in name or name.endswith("bias"))
    with pytest.raises(TypeError, match=r"sizes are \[dim, heads, hidden, layers, n_places\]. Found: \[depth\]"):
        Geneformer.untrained(MEDIANS, depth=3)


def test_a_second_run_replaces_the_first(model, cells):
    grs.tl.embed(cells, model, device="cpu")
    grs.tl.embed(cells, model, device="cpu", genes=False, pool="cls", key_added="other")
    assert "other" not in cells.varm
    grs.tl.embed(cells, model, device="cpu", genes=False)
    assert "geneformer" not in cells.varm
    assert cells.uns["other"]["params"]["pool"] == "cls"


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"pool": "max"}, ValueError, r"pool must be one of \[mean, cls\]"),
        ({"precision": "int8"}, ValueError, "precision must be one of"),
        ({"emb_layer": 1}, ValueError, r"emb_layer must lie in \[-3, 0\]"),
        ({"batch_size": 0}, ValueError, "batch_size must lie in"),
        ({"gene_ids": "ensembl"}, KeyError, r"gene_ids='ensembl' names no column of var. Found: \[id\]"),
        ({"layer": "counts"}, KeyError, "layer 'counts' is missing"),
        (
            {"min_matched": 0.9},
            ValueError,
            r"at least 90% of the genes.*30 of 35 .*not found \[lncRNA0.*pass other names",
        ),
        ({"model": 3}, TypeError, r"model must be a foundation model, or the folder or file of one. Found: int"),
        ({"model": "no/such/folder"}, FileNotFoundError, "path must hold the files of a foundation model"),
    ],
)
def test_what_cannot_be_is_named_and_nothing_written(options, error, text, model, cells):
    with pytest.raises(error, match=text):
        grs.tl.embed(cells, **{"model": model, "device": "cpu"} | options)
    assert not cells.obsm
    assert not cells.uns


def test_cells_that_cannot_be_read_are_named(model, cells):
    empty = cells.copy()
    empty.X = empty.X.multiply(np.arange(25)[:, None] != 11).tocsr()
    with pytest.raises(
        ValueError, match=r"a gene of the vocabulary. Found: 1 cells.*rows 0 to 24, the first is row 11"
    ):
        grs.tl.embed(empty, model, device="cpu")
    logged = cells.copy()
    logged.X = logged.X.log1p()
    with pytest.raises(ValueError, match="must be raw counts"):
        grs.tl.embed(logged, model, device="cpu")
    plain = Geneformer.untrained(MEDIANS, dim=8, heads=2)
    with pytest.raises(ValueError, match=r"pool='cls' needs a model with the token <cls>"):
        grs.tl.embed(cells, plain, gene_ids="id", pool="cls", device="cpu")
