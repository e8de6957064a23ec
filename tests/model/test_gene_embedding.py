"""A user's own gene embedding: read in every form, matched by name, kept by the gene table, stored."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import grnformer_sc as grs
from grnformer_sc.model import GRNFormer, ModelConfig
from grnformer_sc.model.gene_embedding import read_gene_embedding, start_from_embedding
from grnformer_sc.nn.backbones import get_backbone

toy_rna = runpy.run_path(str(Path(__file__).parents[1] / "data" / "toy.py"))["toy_rna"]


def embedding_of(genes, width: int = 6) -> pd.DataFrame:
    x = np.random.default_rng(2).normal(3, 1, size=(len(genes), width)) * np.arange(1, width + 1)
    return pd.DataFrame(x, index=pd.Index(genes)).iloc[::-1]


def started(backbone: str, table: pd.DataFrame, genes, **sizes):
    config = ModelConfig(backbone=backbone, dim=12, heads=2, **sizes)
    config, start = start_from_embedding(table, toy_rna(), config, pd.Index(genes), min_matched=0.5)
    own = get_backbone(backbone)(config.backbone_config(len(genes)))
    before = own.gene_embedding().detach().square().mean().sqrt()
    start.load_into(own)
    return own, start, before


@pytest.mark.parametrize("backbone", ["scgpt", "scfoundation", "scpalm", "geneformer", "scprint"])
def test_the_gene_table_keeps_the_angles_of_the_centred_embedding(backbone):
    genes = list(toy_rna().var_names)
    table = embedding_of(genes)
    own, _, before = started(backbone, table, genes)
    found = own.gene_embedding().detach()
    x = torch.from_numpy(table.loc[genes].to_numpy())
    x = x - x.mean(dim=0)
    cosine = torch.nn.functional.cosine_similarity
    torch.testing.assert_close(
        cosine(found[:, None], found[None], dim=2).double(), cosine(x[:, None], x[None], dim=2), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(found.square().mean().sqrt(), before)
    assert (found[:, 6:] == 0).all()


def test_a_wider_embedding_is_brought_to_its_first_principal_components():
    genes = list(toy_rna().var_names)
    table = embedding_of(genes, width=20)
    own, _, _ = started("scgpt", table, genes)
    x = table.loc[genes].to_numpy()
    u, s, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    found = own.gene_embedding().detach().numpy()
    expected = np.abs(u[:, :12] * s[:12])
    np.testing.assert_allclose(np.abs(found), expected * np.abs(found).mean() / expected.mean(), rtol=1e-3, atol=1e-4)


def test_scgenept_reads_it_as_what_is_written_about_genes():
    genes = list(toy_rna().var_names)
    table = embedding_of(genes, width=20)
    own, start, _ = started("scgenept", table.drop(index=genes[3]), genes)
    found = own.state_dict()["net.language.given.embedding.weight"].double()
    kept = [name for name in genes if name != genes[3]]
    torch.testing.assert_close(found[0], torch.from_numpy(table.loc[genes[0]].to_numpy()), atol=1e-5, rtol=1e-6)
    torch.testing.assert_close(
        found[3], torch.from_numpy(table.loc[kept].to_numpy().mean(axis=0)), atol=1e-5, rtol=1e-6
    )
    assert start.n_lost == 1


def test_all_forms_are_the_same_table(tmp_path):
    adata = toy_rna()
    table = embedding_of(adata.var_names)
    table.to_csv(tmp_path / "e.csv")
    table.to_csv(tmp_path / "e.tsv.gz", sep="\t")
    adata.varm["mine"] = table.loc[adata.var_names].to_numpy()
    forms = [table, tmp_path / "e.csv", str(tmp_path / "e.tsv.gz"), "mine"]
    for form in forms:
        read = read_gene_embedding(form, adata)
        np.testing.assert_allclose(read.loc[table.index].to_numpy(), table.to_numpy())


def test_a_parquet_file_is_read_by_its_index_or_first_column(tmp_path):
    pytest.importorskip("pyarrow")
    adata = toy_rna()
    table = embedding_of(adata.var_names).rename(columns=str)
    table.to_parquet(tmp_path / "index.parquet")
    table.rename_axis("gene").reset_index().to_parquet(tmp_path / "column.parquet")
    for name in ("index", "column"):
        read = read_gene_embedding(tmp_path / f"{name}.parquet", adata)
        assert list(read.index) == list(table.index)
        np.testing.assert_array_equal(read.to_numpy(), table.to_numpy())


def test_what_is_no_embedding_is_named():
    adata = toy_rna()
    table = embedding_of(adata.var_names)
    cases = [
        (table.reset_index(drop=True), ValueError, r"named by it.*rows named \[0, 1, 2"),
        (table.assign(word="x"), ValueError, r"columns of text \[word\]"),
        (pd.concat([table, table.iloc[:1]]), ValueError, rf"several rows of \[{table.index[0]}\]"),
        (table.mul(np.where(table.index == "g010", np.nan, 1), axis=0), ValueError, r"not finite: \[g010\]"),
        (table.to_numpy(), TypeError, "ndarray"),
        ("nothing", FileNotFoundError, "varm holds"),
    ]
    for given, error, words in cases:
        with pytest.raises(error, match=words):
            read_gene_embedding(given, adata)
    GRNFormer.setup_anndata(adata)
    with pytest.raises(ValueError, match=r"at least 50% of the genes must be in the gene embedding.*20 of 60"):
        GRNFormer(adata, gene_embedding=table.iloc[:20])
    with pytest.raises(ValueError, match="from published weights or from a gene embedding"):
        grs.tl.fit(adata, checkpoint="x", gene_embedding=table)
    with pytest.raises(ValueError, match=r"no weights and no embedding.*gene_embedding="):
        grs.tl.fit(adata, backbone="scgenept", max_epochs=1)


@pytest.mark.parametrize("backbone", ["scgpt", "scgenept"])
def test_a_model_that_starts_from_an_embedding_is_trained_recorded_and_read(backbone, tmp_path):
    adata = toy_rna()
    model = grs.tl.fit(
        adata, backbone=backbone, gene_embedding=embedding_of(adata.var_names[:50]), max_epochs=1, accelerator="cpu", devices=1
    )  # fmt: skip
    params = adata.uns["grnformer"]["params"]
    assert params["inputs"]["gene_embedding"] == "DataFrame (50, 6)"
    assert params["dropped"]["genes without a row of the embedding"] == 10
    model.save(tmp_path / "m")
    loaded = GRNFormer.load(tmp_path / "m", adata)
    np.testing.assert_array_equal(loaded.get_latent_representation(), model.get_latent_representation())
