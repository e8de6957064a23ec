"""TF names: the packaged families against curated lists, and the user's own lists."""

from __future__ import annotations

import pandas as pd
import pytest

import grnformer_sc as grs


def test_families_of_human_and_mouse_in_any_case():
    tfs = [
        "Sox9",
        "NEUROD6",
        "Zfp423",
        "ZNF423",
        "HOXA10",
        "Pax6",
        "NR4A1",
        "Tbr1",
        "Mef2c",
        "TP53",
        "Trp53",
        "Myrf",
        "Fosl2",
    ]
    others = ["Gad1", "ACTB", "Zfp36", "ZNF137P", "SOX9-AS1", "Foxred1", "MYCBP", "Tcf25", "Stat", "Junction"]
    assert grs.priors.tf_names(tfs + others) == sorted(tfs)


def test_the_users_list_in_every_form(tmp_path):
    genes, wanted = ["Gad1", "Sox9", "Actb"], ["SOX9", "GAD1", "FOXP2"]
    path = tmp_path / "tfs.txt"
    path.write_text("# curated\nSOX9\tx\n\nGAD1\nFOXP2\n")
    for source in (wanted, path, str(path), pd.DataFrame({"tf": wanted}), iter(wanted)):
        assert grs.priors.tf_names(genes, source=source) == ["Gad1", "Sox9"]


def test_no_tf_and_no_file_are_errors():
    with pytest.raises(ValueError, match="at least one gene must be a TF"):
        grs.priors.tf_names(["ENSG00000125398"])
    with pytest.raises(FileNotFoundError, match="TF list must exist"):
        grs.priors.tf_names(["Sox9"], source="nowhere.txt")


def symbols(path):
    return set(pd.read_csv(path, sep="\t", header=None)[3].astype(str))


@pytest.mark.realdata
def test_human_families_against_lambert_2018(data_dir):
    folder = data_dir / "regulatory_resources"
    genes = symbols(folder / "raw" / "hg38_genes.bed")
    curated = set((folder / "lambert2018_human_tfs.txt").read_text().split()) & genes
    found = set(grs.priors.tf_names(genes))
    assert len(found & curated) / len(found) > 0.96
    assert len(found & curated) / len(curated) > 0.93


@pytest.mark.realdata
def test_mouse_families(data_dir):
    """The mouse list holds enzymes and ribosomal proteins too: recall is asked for names that both lists know."""
    folder = data_dir / "regulatory_resources"
    genes = symbols(folder / "raw" / "mm10_genes.bed")
    mouse = set((folder / "allTFs_mm.txt").read_text().split()) & genes
    human = set((folder / "lambert2018_human_tfs.txt").read_text().split())
    same_name = {gene for gene in genes if gene.upper() in human}
    found = set(grs.priors.tf_names(genes))
    assert len(found & (mouse | same_name)) / len(found) > 0.92
    assert len(found & mouse & same_name) / len(mouse & same_name) > 0.96
