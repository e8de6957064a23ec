"""Gene names of AnnData brought to a target: counts kept, losses told, a reason where too little matches."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

import grnformer_sc as grs


@pytest.fixture
def adata():
    x = sp.csr_matrix(np.arange(24, dtype=np.float32).reshape(4, 6))
    names = ["MLL", "KMT2A", "CCN2", "CCN2-1", "ENSG00000142871.4", "other"]
    out = AnnData(x, var=pd.DataFrame({"mark": range(6)}, index=names))
    out.layers["dense"] = x.toarray().astype(np.int32)
    out.varm["w"] = np.arange(6)[:, None]
    return out


ALIASES = {"MLL": "KMT2A", "ENSG00000142871": "CCN1"}
TARGET = ["CCN1", "CCN2", "KMT2A"]


def test_counts_of_merged_genes_are_summed_in_x_and_layers(adata):
    before = adata.copy()
    out = grs.pp.harmonize_genes(adata, to=TARGET, aliases=ALIASES)
    assert out.var_names.tolist() == ["KMT2A", "CCN2", "CCN1", "other"]
    x = before.X.toarray()
    expected = np.c_[x[:, 0] + x[:, 1], x[:, 2] + x[:, 3], x[:, 4], x[:, 5]]
    np.testing.assert_array_equal(out.X.toarray(), expected)
    np.testing.assert_array_equal(out.layers["dense"], expected)
    assert out.layers["dense"].dtype == np.int32
    assert out.var["mark"].tolist() == [1, 2, 4, 5]  # of the best match
    assert out.varm["w"].ravel().tolist() == [1, 2, 4, 5]
    counts = out.uns["harmonize_genes"]["counts"]["n"]
    assert counts[["exact", "suffix", "alias", "unmatched", "merged"]].tolist() == [2, 1, 2, 1, 2]
    assert adata.var_names.equals(before.var_names)
    assert (adata.X != before.X).nnz == 0


def test_sums_of_logarithms_are_named(adata, caplog):
    grs.pp.harmonize_genes(adata, to=TARGET, aliases=ALIASES)
    assert "sums of logarithms" not in caplog.text
    adata.layers["logs"] = adata.X.log1p()
    grs.pp.harmonize_genes(adata, to=TARGET, aliases=ALIASES, merge="best")
    assert "sums of logarithms" not in caplog.text
    grs.pp.harmonize_genes(adata, to=TARGET, aliases=ALIASES)
    assert "2 genes were merged by summing, and layers['logs'] holds no counts: sums of logarithms" in caplog.text


def test_the_best_match_alone_and_drop(adata):
    out = grs.pp.harmonize_genes(adata, to=TARGET, aliases=ALIASES, merge="best", unmatched="drop")
    np.testing.assert_array_equal(out.X.toarray(), adata.X.toarray()[:, [1, 2, 4]])
    assert out.var["name_before"].tolist() == ["KMT2A", "CCN2", "ENSG00000142871.4"]


def test_a_second_pass_changes_nothing(adata):
    once = grs.pp.harmonize_genes(adata, to=TARGET, aliases=ALIASES)
    twice = grs.pp.harmonize_genes(once, to=TARGET, aliases=ALIASES)
    assert twice.var_names.equals(once.var_names)
    assert (twice.X != once.X).nnz == 0


def test_a_column_of_var_is_found(adata):
    adata.var["gene_symbols"] = ["KMT2A", "a", "CCN2", "b", "CCN1", "c"]
    adata.var_names = [f"x{i}" for i in range(6)]
    out = grs.pp.harmonize_genes(adata, to=TARGET)
    assert set(out.var_names) == {"KMT2A", "CCN2", "CCN1", "x1", "x3", "x5"}


def test_other_modalities_and_labels_are_kept(toy):
    target = toy["rna"].var_names
    toy["rna"].var_names = target.str.lower()
    out = grs.pp.harmonize_genes(toy, to=target, species="human")
    assert out["rna"].var_names.equals(target)
    assert (out["atac"].X != toy["atac"].X).nnz == 0
    assert toy["rna"].var_names.equals(target.str.lower())


def test_a_pair_need_not_hold_the_same_cells(toy):
    rna, atac = toy["rna"][:100].copy(), toy["atac"][50:].copy()
    out = grs.pp.harmonize_genes((rna, atac), to=rna.var_names)
    assert out[0].var_names.equals(rna.var_names)
    assert out[1].n_obs == atac.n_obs


def test_an_unmatched_gene_never_takes_the_name_of_another_one():
    adata = AnnData(np.ones((2, 3), dtype=np.float32), var=pd.DataFrame(index=["Gad1", "Sox9", "PAX6"]))
    out = grs.pp.harmonize_genes(adata, to=["GAD1", "SOX9", "PAX6"], orthologs={"Gad1": "GAD1", "Sox9": "SOX9"})
    assert out.var_names.tolist() == ["GAD1", "SOX9"]  # PAX6 of the data is no ortholog of the target's PAX6


def test_a_gtf_tells_ids_and_symbols(tmp_path):
    ids = [f"ENSG{i:011d}" for i in range(3)]
    rows = [
        f'chr1\tx\tgene\t{10 + i}\t{90 + i}\t.\t+\t.\tgene_id "{g}.1"; gene_name "{s}";'
        for i, (g, s) in enumerate(zip(ids, TARGET, strict=True))
    ]
    path = tmp_path / "genes.gtf"
    path.write_text("\n".join(rows) + "\n")
    adata = AnnData(np.ones((2, 3), dtype=np.float32), var=pd.DataFrame(index=[g + ".7" for g in ids]))
    assert grs.pp.harmonize_genes(adata, to=path).var_names.tolist() == TARGET


def test_ids_against_symbols_are_named_with_the_most_expressed_first():
    ids = [f"ENSG{i:011d}" for i in range(30)]
    adata = AnnData(np.tile(np.arange(30, dtype=np.float32), (2, 1)), var=pd.DataFrame(index=ids))
    with pytest.raises(
        ValueError, match=r"most expressed first: \[ENSG00000000029.*\(10 more\).*Ensembl ids.*aliases="
    ):
        grs.pp.harmonize_genes(adata, to=[f"GENE{i}" for i in range(30)])


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({}, ValueError, "names to reach"),
        ({"to": []}, ValueError, "must hold names"),
        ({"to": "symbol"}, ValueError, "needs a table"),
        ({"to": TARGET, "column": "nothing"}, KeyError, "nothing"),
        ({"to": TARGET, "merge": "mean"}, ValueError, "merge"),
        ({"to": ["A", "B"]}, ValueError, "must match"),
        ({"to": TARGET, "aliases": pd.DataFrame({"a": [], "b": [], "c": []})}, KeyError, "column with symbols"),
    ],
)
def test_wrong_input_is_named(adata, options, error, text):
    with pytest.raises(error, match=text):
        grs.pp.harmonize_genes(adata, **options)


@pytest.mark.realdata
def test_mouse_names_against_human_ones_give_the_reason(data_dir):
    genes = (data_dir / "snare_mouse_cortex/raw/genes.txt").read_text().split()
    adata = AnnData(sp.csr_matrix((2, len(genes)), dtype=np.float32), var=pd.DataFrame(index=genes))
    human = pd.read_csv(data_dir / "gene_vocab/geneformer_30M_tokens.csv.gz")["symbol"].dropna()
    with pytest.raises(ValueError, match=r"look like mouse, the target like human.*orthologs="):
        grs.pp.harmonize_genes(adata, to=human)
    # spelling stands in for a real table of orthologs
    pairs = pd.DataFrame({"mouse": genes, "human": [name.upper() for name in genes]})
    out = grs.pp.harmonize_genes(adata, to=human, orthologs=pairs)
    assert out.uns["harmonize_genes"]["counts"].loc["ortholog", "n"] > 0.5 * len(genes)


@pytest.mark.realdata
def test_ids_and_symbols_go_round(data_dir):
    table = pd.read_csv(data_dir / "gene_vocab/geneformer_30M_tokens.csv.gz").dropna(subset=["symbol"])
    table = table[["ensembl", "symbol"]].drop_duplicates("symbol").head(3000)
    adata = AnnData(sp.random(5, len(table), 0.2, "csr", np.float32, 0), var=pd.DataFrame(index=table["ensembl"]))
    there = grs.pp.harmonize_genes(adata, to="symbol", aliases=table)
    assert there.var_names.tolist() == table["symbol"].tolist()
    back = grs.pp.harmonize_genes(there, to=table["ensembl"], aliases=table)
    assert back.var_names.equals(adata.var_names)
    assert (back.X != adata.X).nnz == 0
