"""Gene positions are matched by name, and another genome is noticed."""

from __future__ import annotations

import pandas as pd
import pytest

from grnformer_sc._core.genome import need_same_genome, place_genes, positions_from_var


def annotation(names: list[str]) -> pd.DataFrame:
    n = len(names)
    return pd.DataFrame(
        {"chrom": ["chr1"] * n, "start": range(n), "end": range(10, 10 + n), "strand": ["-"] * n}, index=names
    )


def test_positions_follow_the_order_of_the_genes_and_unknown_genes_are_counted() -> None:
    table, n_unknown = place_genes(pd.Index(["B", "none", "A"]), annotation(["A", "B"]))
    assert n_unknown == 1
    assert table["chrom"].tolist() == ["chr1", "", "chr1"]
    assert table["start"].tolist() == [1, 0, 0]
    assert table["strand"].tolist() == ["-", "+", "-"]


@pytest.mark.parametrize(
    ("genes", "fix"),
    [(["GAD1", "SST"], "letter case"), (["ENSMUSG01", "ENSMUSG02"], "Ensembl"), (["x", "y"], "same species")],
)
def test_too_few_known_genes_say_why(genes: list[str], fix: str) -> None:
    with pytest.raises(ValueError, match=rf"(?s)50%.*0 of 2.*Fix: .*{fix}"):
        place_genes(pd.Index(genes), annotation(["Gad1", "Sst"]))


def test_positions_are_read_from_var_only_when_complete() -> None:
    var = annotation(["A"])
    assert positions_from_var(var.drop(columns="strand")) is None
    found = positions_from_var(var.assign(other=1))
    assert found is not None
    assert list(found.columns) == ["chrom", "start", "end", "strand"]


@pytest.mark.parametrize(("chrom", "fix"), [("chr1", "genome build"), ("1", "chromosome names")])
def test_regions_far_from_every_gene_mean_another_genome(chrom: str, fix: str) -> None:
    regions = pd.DataFrame({"chrom": [chrom] * 20})
    with pytest.raises(ValueError, match=rf"(?s)10%.*5\.0%.*Fix: .*{fix}"):
        need_same_genome(pd.DataFrame({"region": [0]}), annotation(["A"]), regions)
    need_same_genome(pd.DataFrame({"region": [0, 1]}), annotation(["A"]), regions)
