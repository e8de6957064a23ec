"""Search space and region -> gene scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from grnformer_sc.grn.boosting import BoostSettings
from grnformer_sc.grn.region_gene import parse_regions, score_pairs, score_swapped, search_space
from grnformer_sc.grn.spearman import spearman_pairs


@pytest.mark.parametrize("name", ["chr1:100-200", "chr1_100_200", "chr1-100-200", "GL456.1:100-200"])
def test_region_names_of_all_common_forms_are_read(name):
    row = parse_regions([name]).iloc[0]
    assert (row["start"], row["end"]) == (100, 200)
    assert row["chrom"] in ("chr1", "GL456.1")


@pytest.mark.parametrize("name", ["peak1", "chr1:200-100", "chr1:5"])
def test_other_region_names_are_named_in_the_error(name):
    with pytest.raises(ValueError, match=rf"chrom:start-end.*{name}"):
        parse_regions(["chr1:1-2", name])


def brute_force(genes: pd.DataFrame, regions: pd.DataFrame, window: int, anchor: str) -> set[tuple[int, int]]:
    found = set()
    for g, gene in enumerate(genes.itertuples()):
        tss = gene.start if gene.strand == "+" else gene.end
        for r, region in enumerate(regions.itertuples()):
            middle = round((region.start + region.end) / 2)
            inside = gene.start <= middle <= gene.end
            near = abs(middle - tss) <= window
            if anchor == "body":
                inside, near = False, region.start < gene.end + window and region.end > gene.start - window
            if region.chrom == gene.chrom and (inside or near):
                found.add((g, r))
    return found


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), window=st.sampled_from([0, 50, 400]), anchor=st.sampled_from(["tss", "body"]))
def test_search_space_equals_brute_force(seed, window, anchor):
    rng = np.random.default_rng(seed)
    start = rng.integers(0, 1000, 12)
    genes = pd.DataFrame(
        {
            "chrom": rng.choice(["a", "b", ""], 12),
            "start": start,
            "end": start + rng.integers(1, 200, 12),
            "strand": rng.choice(["+", "-"], 12),
        }
    )
    at = rng.integers(0, 1200, 40)
    regions = pd.DataFrame({"chrom": rng.choice(["a", "b"], 40), "start": at, "end": at + rng.integers(2, 60, 40)})
    pairs = search_space(genes, regions, window=window, anchor=anchor)
    assert set(zip(pairs["gene"], pairs["region"], strict=True)) == brute_force(genes, regions, window, anchor)
    assert pairs["gene"].is_monotonic_increasing
    assert pairs["weight"].between(0, 1).all()


def test_distance_is_negative_upstream_on_both_strands():
    genes = pd.DataFrame({"chrom": ["a", "a"], "start": [1000, 1000], "end": [2000, 2000], "strand": ["+", "-"]})
    regions = pd.DataFrame({"chrom": ["a"], "start": [890], "end": [910]})
    assert search_space(genes, regions, window=5000)["distance"].tolist() == [-100, 1100]


def test_weight_falls_with_the_power_of_distance():
    genes = pd.DataFrame({"chrom": ["a"], "start": [0], "end": [1], "strand": ["+"]})
    at = np.array([1_000, 5_000, 50_000])
    regions = pd.DataFrame({"chrom": "a", "start": at - 1, "end": at + 1})
    np.testing.assert_allclose(search_space(genes, regions)["weight"], [1, 1, 10**-0.87], rtol=1e-5)


@pytest.fixture(scope="module")
def linked() -> dict:
    """Ten genes with twelve regions each, of which the first two drive the gene."""
    rng = np.random.default_rng(0)
    access = rng.poisson(0.7, (300, 120)).astype(np.float32)
    expression = np.stack(
        [access[:, 12 * g] + access[:, 12 * g + 1] + rng.poisson(0.5, 300) for g in range(10)], axis=1
    ).astype(np.float32)
    return {
        "expression": expression, "accessibility": sp.csc_matrix(access),
        "gene": np.repeat(np.arange(10), 12), "region": np.arange(120),
    }  # fmt: skip


def test_spearman_equals_scipy(linked):
    rho = spearman_pairs(**linked, n_jobs=2)
    dense = linked["accessibility"].toarray()
    expected = [
        spearmanr(linked["expression"][:, g], dense[:, r])[0]
        for g, r in zip(linked["gene"], linked["region"], strict=True)
    ]
    np.testing.assert_allclose(rho, expected, atol=1e-6)


def test_spearman_of_a_constant_is_zero():
    flat = sp.csc_matrix(np.array([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]))
    rho = spearman_pairs(np.array([[1.0], [2.0], [3.0]]), flat, np.array([0, 0]), np.array([0, 1]), n_jobs=1)
    assert rho.tolist() == [0, 0]


SMALL = BoostSettings(n_trees=60, rate=0.1, max_features=0.3)


def test_importance_finds_the_drivers_and_sums_to_one(linked):
    seeds = np.arange(1, 11, dtype=np.uint64)
    importance, _ = score_pairs(**linked, seeds=seeds, settings=SMALL, n_jobs=1)
    per_gene = importance.reshape(10, 12)
    np.testing.assert_allclose(per_gene.sum(axis=1), 1, rtol=1e-5)
    assert (per_gene[:, :2].sum(axis=1) > 0.8).all()


def test_same_bits_for_any_number_of_threads_and_any_blocks(linked, monkeypatch):
    from grnformer_sc.grn import boosting

    seeds = np.arange(1, 11, dtype=np.uint64)
    one = score_pairs(**linked, seeds=seeds, settings=SMALL, n_jobs=1)
    monkeypatch.setattr(boosting, "BLOCK_PAIRS", 13)
    monkeypatch.setattr(boosting.blocks_of, "__defaults__", (13,))
    two = score_pairs(**linked, seeds=seeds, settings=SMALL, n_jobs=2)
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])


def test_runs_with_swapped_genes_equal_runs_on_swapped_expression(linked):
    seeds = np.arange(1, 21, dtype=np.uint64).reshape(2, 10)
    donors = np.stack([np.roll(np.arange(10), 3), np.arange(10)[::-1]])
    importance, rho = score_swapped(**linked, seeds=seeds, donors=donors, settings=SMALL, n_jobs=2)
    for run, donor in enumerate(donors):
        swapped = {**linked, "expression": linked["expression"][:, donor]}
        one = score_pairs(**swapped, seeds=seeds[run], settings=SMALL, n_jobs=1)
        np.testing.assert_array_equal(importance[:, run], one[0])
        np.testing.assert_array_equal(rho[:, run], one[1])


def test_no_pairs_give_no_scores(linked):
    none = {**linked, "gene": np.empty(0, int), "region": np.empty(0, int)}
    importance, rho = score_pairs(**none, seeds=np.arange(10, dtype=np.uint64), settings=SMALL, n_jobs=1)
    assert importance.size == rho.size == 0


@pytest.mark.golden
def test_search_space_holds_that_of_scenicplus(golden_dir):
    planted = np.load(golden_dir / "scenicplus" / "planted_input.npz")
    stored = np.load(golden_dir / "scenicplus" / "planted_region_to_gene.npz")
    genes = pd.DataFrame(
        {"chrom": planted["gene_chrom"], "start": planted["gene_start"], "end": planted["gene_end"], "strand": "+"}
    )
    pairs = search_space(genes, parse_regions(pd.Index(planted["region_names"])), window=150_000, anchor="body")
    ours = dict(zip(zip(pairs["gene"], pairs["region"], strict=True), pairs["distance"], strict=True))
    gene = pd.Index(planted["gene_names"]).get_indexer(stored["gene_names"][stored["gene"]])
    region = pd.Index(planted["region_names"]).get_indexer(stored["region_names"][stored["region"]])
    theirs = dict(zip(zip(gene, region, strict=True), stored["distance"], strict=True))
    assert set(ours) <= set(theirs)
    # they count regions that touch the window, we those whose midpoint lies in it
    assert len(theirs) - len(ours) < 0.003 * len(theirs)
    assert all(theirs[pair] == -distance for pair, distance in ours.items())
