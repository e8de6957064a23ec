"""Differential regions: a plain Mantel-Haenszel test, calibration under unequal depth, blocks of cells."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.stats import binom, hypergeom

import grnformer_sc as grs
from grnformer_sc._core.rows import Rows
from grnformer_sc.grn.differential import depth_strata, differential_table, stratified_test

NAMES = pd.Index(["a", "b", "c"])


def cells(rng, n=600, n_regions=400, deep=3.0):
    """Cells of three groups without any difference but depth: group a is deeper."""
    codes = rng.integers(0, 3, n)
    depth = rng.lognormal(0, 0.4, n) * np.where(codes == 0, deep, 1.0)
    rate = rng.lognormal(-2, 1.2, n_regions)
    return sp.csr_matrix(rng.poisson(depth[:, None] * rate), dtype=np.float32), codes


def table_of(x, codes, **options):
    names = pd.Index([f"r{i:03d}" for i in range(x.shape[1])])
    return differential_table(
        Rows(x), codes, NAMES, names, **{"n_strata": 10, "max_fdr": 0.05, "min_log2fc": 0.5} | options
    )


def test_equal_to_tables_one_by_one():
    rng = np.random.default_rng(0)
    opened = rng.integers(0, 5, (4, 3, 6))
    opened[:, :, 0] = 0
    size = rng.integers(5, 9, (4, 3))
    size[2, 1], opened[2, 1] = 0, 0
    pvalue, fold = stratified_test(opened, size)
    for g in range(3):
        for r in range(6):
            mean = variance = up = down = 0.0
            for s in range(4):
                a, n, m, N = opened[s, g, r], size[s, g], opened[s, :, r].sum(), size[s].sum()
                mean += n * m / N
                variance += n * (N - n) * m * (N - m) / (N**2 * (N - 1))
                up += a * (N - n) / N
                down += (m - a) * n / N
            total = opened[:, g, r].sum()
            trials = max(np.ceil(mean**2 / (mean - variance)), total) if mean else 1
            assert pvalue[g, r] == pytest.approx(binom.sf(total - 1, trials, mean / trials), rel=1e-9)
            assert fold[g, r] == pytest.approx(np.log2((up + 0.5) / (down + 0.5)), abs=1e-12)
    assert (pvalue[:, 0] == 1).all()


@pytest.mark.parametrize(("cells", "share"), [((200, 300, 150), 0.02), ((40, 60, 50), 0.4), ((3, 5, 20), 0.01)])
def test_the_tail_is_close_to_that_of_the_exact_distribution(cells, share):
    """The sum of one hypergeometric number per stratum, by convolution; less than a factor of 1.7 off down to 1e-6."""
    others = np.array([500, 400, 300])
    opened = np.maximum(np.rint(share * (np.array(cells) + others)), 1).astype(int)
    exact = np.ones(1)
    for n, N, m in zip(cells, cells + others, opened, strict=True):
        exact = np.convolve(exact, hypergeom.pmf(np.arange(min(n, m) + 1), N, m, n))
    tail = np.cumsum(exact[::-1])[::-1]
    counts = np.flatnonzero((tail > 1e-6) & (tail < 0.5))
    for count in counts:
        own = np.minimum(count - np.r_[0, np.cumsum(np.minimum(opened, cells))[:-1]], np.minimum(opened, cells)).clip(0)
        table = np.stack([np.stack([own, opened - own], axis=1)], axis=2)
        pvalue, _ = stratified_test(table, np.stack([cells, others], axis=1))
        assert tail[count] / 1.7 < pvalue[0, 0] < 1.7 * tail[count]
    assert counts.size > 2


def test_planted_regions_are_found_and_little_else():
    rng = np.random.default_rng(1)
    x, codes = cells(rng)
    more = sp.lil_matrix(x)
    more[np.ix_(codes == 1, range(20))] = rng.poisson(1.0, ((codes == 1).sum(), 20))
    table = table_of(more.tocsr(), codes)
    found = set(table.loc[table["group"] == "b", "region"])
    planted = {f"r{i:03d}" for i in range(20)}
    assert len(found & planted) >= 18
    assert len(found - planted) <= 2


def test_depth_alone_makes_no_region_differential():
    """One group is twice as deep: p-values stay at the nominal rate, and without strata they do not."""
    rng = np.random.default_rng(2)
    early = {strata: [] for strata in (1, 20)}
    for _ in range(5):
        x, codes = cells(rng, deep=2.0)
        for strata, shares in early.items():
            every = table_of(x, codes, n_strata=strata, max_fdr=1.0, min_log2fc=-99.0)
            shares.append((every["pvalue"] < 0.05).sum() / (3 * x.shape[1]))
    assert np.mean(early[20]) < 0.05
    assert np.mean(early[1]) > 0.1


def test_rare_groups_and_regions_make_no_false_discovery():
    """A region open in a single cell of a group of ten proves nothing."""
    rng = np.random.default_rng(5)
    x = sp.csr_matrix(rng.random((3000, 1000)) < rng.lognormal(-6, 1, 1000), dtype=np.float32)
    codes = np.where(np.arange(3000) < 10, 0, 1 + rng.integers(0, 2, 3000))
    assert len(table_of(x, codes)) == 0
    every = table_of(x, codes, max_fdr=1.0, min_log2fc=-99.0)
    for level in (0.05, 0.001):
        assert (every["pvalue"] < level).sum() / 3000 <= level


def test_strata_are_equal_in_size_and_ordered():
    depth = np.random.default_rng(0).permutation(1000)
    strata = depth_strata(depth, 10)
    assert np.bincount(strata).tolist() == [100] * 10
    assert (np.diff(strata[np.argsort(depth)]) >= 0).all()
    assert depth_strata(np.ones(5, int), 10).tolist() == [0] * 5


def test_neither_blocks_nor_the_order_of_cells_and_regions_change_the_table():
    rng = np.random.default_rng(3)
    x, codes = cells(rng, 200, 60)
    whole = table_of(x, codes, max_fdr=1.0)
    order = rng.permutation(200)
    with grs.settings.override(chunk_cells=17):
        pd.testing.assert_frame_equal(table_of(x[order].tocsr(), codes[order], max_fdr=1.0), whole)
