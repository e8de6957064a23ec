"""Matching of gene names and the guess of the species."""

from __future__ import annotations

import pandas as pd
import pytest

import grnformer_sc as grs
from grnformer_sc.priors._genes import match_names, read_synonyms

HGNC = pd.DataFrame(
    {
        "hgnc_id": ["HGNC:1", "HGNC:2", "HGNC:3"],
        "symbol": ["KMT2A", "CCN1", "CCN2"],
        "alias_symbol": ["TRX1|HRX", "GIG1", "GIG1|HCS24"],
        "prev_symbol": ["MLL", "CYR61", "CTGF"],
        "ensembl_gene_id": ["ENSG00000118058", "ENSG00000142871", "ENSG00000118523"],
    }
)


def ways(names, target, **options):
    table = match_names(pd.Index(names), target, **options)
    return dict(zip(table["before"], zip(table["after"], table["way"], strict=True), strict=True))


def test_every_way_of_matching():
    names = ["KMT2A", " CCN1", "CCN2", "CCN2-1", "ENSG00000118058.12", "MLL", "hrx", "HRX", "ccn2", "none", "NKX2-1"]
    found = ways(names, ["KMT2A", "CCN1", "CCN2"], synonyms=read_synonyms(HGNC))
    assert found == {
        "KMT2A": ("KMT2A", "exact"),
        " CCN1": ("CCN1", "whitespace"),
        "CCN2": ("CCN2", "exact"),
        "CCN2-1": ("CCN2", "suffix"),
        "ENSG00000118058.12": ("KMT2A", "id"),
        "MLL": ("KMT2A", "previous"),
        "hrx": ("", "unmatched"),
        "HRX": ("KMT2A", "alias"),
        "ccn2": ("CCN2", "case"),
        "none": ("", "unmatched"),
        "NKX2-1": ("", "unmatched"),
    }


def test_an_alias_of_two_genes_is_ambiguous_unless_one_is_in_the_target():
    synonyms = read_synonyms(HGNC)
    assert ways(["GIG1"], ["CCN1", "CCN2"], synonyms=synonyms)["GIG1"] == ("", "ambiguous")
    assert ways(["GIG1"], ["CCN2"], synonyms=synonyms)["GIG1"] == ("CCN2", "alias")


def test_names_reach_ids_through_the_table():
    ids = HGNC["ensembl_gene_id"].tolist()
    found = ways(["CCN1", "MLL", ids[2] + ".3"], ids, synonyms=read_synonyms(HGNC))
    assert [after for after, _ in found.values()] == [ids[1], ids[0], ids[2]]


def test_the_file_of_the_table_reads_the_same(tmp_path):
    path = tmp_path / "hgnc.txt"
    HGNC.to_csv(path, sep="\t", index=False)
    pd.testing.assert_frame_equal(read_synonyms(path).table, read_synonyms(HGNC).table)


def test_orthologs_take_the_one_of_the_same_spelling_or_none():
    table = pd.DataFrame({"symbol": ["GAD1", "GAD2", "HBA1", "HBA2", "SERPINA1"]})
    table["alias"] = ["Gad1", "Gad1", "Hba", "Hba", "Serpina1a"]
    found = ways(["Gad1", "Hba", "Serpina1a", "Xist"], table["symbol"], orthologs=read_synonyms(table))
    assert found == {
        "Gad1": ("GAD1", "ortholog"),
        "Hba": ("", "ambiguous"),
        "Serpina1a": ("SERPINA1", "ortholog"),
        "Xist": ("", "unmatched"),
    }


@pytest.mark.parametrize(
    ("species", "names"),
    [
        ("human", [f"GENE{i}" for i in range(30)]),
        ("human", [f"ENSG{i:011d}.2" for i in range(30)]),
        ("mouse", [f"Gene{i}" for i in range(30)]),
        ("rat", [f"Gene{i}" for i in range(30)] + ["RGD1359290", "RT1-Aw2"]),
        ("zebrafish", [f"gene{i}a" for i in range(30)]),
        ("fly", [f"CG{i}" for i in range(1000, 1030)] + ["Antp", "ftz", "Su(H)"]),
        ("yeast", [f"YAL{i:03d}C" for i in range(30)]),
        ("arabidopsis", [f"AT1G{i:05d}" for i in range(30)]),
        ("unknown", ["GAD1"] * 30),
        ("unknown", [f"+{i}" for i in range(30)]),
    ],
)
def test_species_are_told_apart(species, names):
    guess, evidence = grs.priors.guess_species(names)
    assert guess == species
    assert evidence["score"].is_monotonic_decreasing


@pytest.mark.realdata
def test_species_of_real_lists(data_dir):
    folder = data_dir / "regulatory_resources"
    for name, species in (("allTFs_hg38.txt", "human"), ("allTFs_mm.txt", "mouse")):
        assert grs.priors.guess_species((folder / name).read_text().split())[0] == species
