"""False discovery rates: the counting, what is permuted, and calibration where nothing is planted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

import grnformer_sc as grs
from grnformer_sc.grn import links
from grnformer_sc.grn.boosting import BoostSettings
from grnformer_sc.grn.links import Pools, Work, score_swapped_regions, score_tfs
from grnformer_sc.grn.nulls import score_shuffled, swap_genes, tail_rate
from grnformer_sc.grn.settings import InferSettings

FAST = InferSettings(tf_gene=BoostSettings(n_trees=100, rate=0.1, depth=2, max_features=1.0, n_bins=16))
NUMBERS = st.lists(st.integers(0, 9), min_size=1, max_size=20)


@given(NUMBERS, st.lists(NUMBERS, min_size=1, max_size=4))
def test_a_rate_is_the_share_of_null_links_at_the_best_threshold(real, nulls):
    """Brute force over all thresholds that keep a link."""

    def at(threshold):
        false = 1 + sum(sum(v >= threshold for v in null) for null in nulls)
        return min(1, false / len(nulls) / sum(v >= threshold for v in real))

    expected = [min(at(t) for t in real if t <= score) for score in real]
    found = tail_rate(np.array(real, float), [np.array(null, float) for null in nulls])
    np.testing.assert_allclose(found, expected)


@given(st.integers(0, 1000), st.lists(st.integers(1, 9), min_size=3, max_size=6))
def test_a_gene_is_given_one_of_another_chromosome(seed, sizes):
    if 2 * max(sizes) > sum(sizes):
        sizes = [*sizes, max(sizes)]
    chromosome = pd.Series(np.repeat([f"chr{i}" for i in range(len(sizes))], sizes))
    chromosome.index = np.random.default_rng(seed).permutation(2 * len(chromosome))[: len(chromosome)]
    donors = swap_genes(2 * len(chromosome), chromosome, np.random.default_rng(seed))
    linked = chromosome.index.to_numpy()
    assert sorted(donors[linked]) == sorted(linked)
    assert (chromosome[donors[linked]].to_numpy() != chromosome[linked].to_numpy()).all()
    others = np.setdiff1d(np.arange(donors.size), linked)
    np.testing.assert_array_equal(donors[others], others)


@pytest.fixture(scope="module")
def pools():
    """Gene 2 follows TF 0; TF 1 and gene 3 are higher in the second group, and only there together."""
    rng = np.random.default_rng(0)
    codes = np.repeat([0, 1], 150)
    x = rng.normal(size=(300, 5)).astype(np.float32)
    x[:, 2] += 2 * x[:, 0]
    x[:, [1, 3]] += 3 * codes[:, None]
    return Pools(x - x.min(axis=0), codes, pd.Index(list("abcde")), np.array([0, 1]))


def test_how_many_runs_share_their_regions_changes_no_bit(pools, monkeypatch):
    rng = np.random.default_rng(0)
    access = sp.csc_matrix(rng.poisson(0.5, (300, 6)).astype(np.float32))
    pairs = pd.DataFrame({"gene": [0, 0, 2, 2, 4, 4], "region": range(6), "weight": 1.0})
    given = replace(pools, accessibility=access, pairs=pairs)
    work = Work(settings=InferSettings(region_gene=BoostSettings(n_trees=20, rate=0.1)), root=1, n_jobs=1)
    donors = np.stack([np.roll(np.arange(5), shift) for shift in (1, 2, 3)])
    together = list(score_swapped_regions([given], pairs, work, donors))
    monkeypatch.setattr(links, "RUNS_AT_ONCE", 2)
    for one, other in zip(together, score_swapped_regions([given], pairs, work, donors), strict=True):
        pd.testing.assert_frame_equal(one, other)
    assert not together[0]["importance"].equals(together[1]["importance"])


def test_shuffling_breaks_links_within_groups_and_keeps_groups(pools):
    work = Work(settings=FAST, root=1, n_jobs=1)
    real = score_tfs([pools], work)
    null = score_shuffled([pools], work, real, 0)
    assert real.rho[0, 2] > 0.8
    assert abs(null.rho[0, 2]) < 0.2
    assert null.rho[1, 3] > 0.5  # what the group explains is no evidence, so it stays in the null
    assert real.vote[0, 2] > 3 * null.vote[0, 2]
    assert null.importance.shape == real.importance.shape


def test_permutations_repeat_and_differ(pools):
    work = Work(settings=FAST, root=1, n_jobs=1)
    real = score_tfs([pools], work)
    first, again, other = (score_shuffled([pools], work, real, number).rho for number in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("seed", [3, 4])
def test_where_nothing_is_planted_nothing_is_discovered(seed):
    mdata = grs.datasets.simulate_multiome(300, n_genes=150, n_tfs=12, n_types=3, planted=False, rng=seed)
    grs.tl.build_grn(mdata, groupby="cell_type", n_perm=4)
    found = mdata["rna"].uns["grn"]
    assert len(found["edges"]) > 100  # the method itself always finds links
    for rate in ("fdr", "region_gene_fdr", "tf_gene_fdr"):
        assert (found["edges"][rate] <= 0.1).sum() == 0
    assert (found["eregulons"]["fdr"] <= 0.1).sum() == 0


def test_strong_links_are_discovered():
    """Triplets found at a rate of .2 are mostly true, and there are some."""
    mdata = grs.datasets.simulate_multiome(1000, n_genes=200, n_tfs=20, n_types=4, rng=1)
    grs.tl.build_grn(mdata, groupby="cell_type", n_perm=3)
    rna, on = mdata["rna"], ["tf", "region", "gene"]
    edges = rna.uns["grn"]["edges"]
    found = edges.loc[edges["fdr"] <= 0.2, on].astype(str)
    assert len(found) >= 10
    assert len(found.merge(rna.uns["truth"][on])) / len(found) > 0.7
