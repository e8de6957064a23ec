"""Histogram boosting against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.tree import DecisionTreeRegressor

from grnformer_sc.grn.boosting import BoostSettings, bin_columns, blocks_of, boost_block


def bins_of(x: np.ndarray, n_bins: int = 64) -> np.ndarray:
    """Bins as a dense matrix, cells x features."""
    found = bin_columns(sp.csc_matrix(x), n_bins)
    return sp.csc_matrix((found.bins, found.indices, found.indptr), x.shape).toarray()


def slow_boost(bins: np.ndarray, y: np.ndarray, options: BoostSettings) -> np.ndarray:
    """The same trees by trying every feature and bin in every node."""
    residual, importance = y - y.mean(), np.zeros(bins.shape[1])
    for _ in range(options.n_trees):
        parts = [np.arange(y.size)]
        for _ in range(options.depth):
            parts = [half for part in parts for half in split(part, bins, residual, importance, options.min_leaf)]
        for part in parts:
            residual[part] -= options.rate * residual[part].mean()
    return importance / importance.sum()


def split(part: np.ndarray, bins: np.ndarray, residual: np.ndarray, importance: np.ndarray, least: int) -> list:
    best, at = 1e-12, None
    for f in range(bins.shape[1]):
        for v in np.unique(bins[part, f])[1:]:
            right = bins[part, f] >= v
            if min(right.sum(), (~right).sum()) < least:
                continue
            step = residual[part][right].mean() - residual[part][~right].mean()
            gain = step**2 * right.sum() * (~right).sum() / part.size
            if gain > best:
                best, at = gain, (f, right)
    if at is None:
        return [part]
    importance[at[0]] += best / residual.size
    return [part[~at[1]], part[at[1]]]


@pytest.fixture(scope="module")
def regression() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.random((400, 15)) + 0.1
    y = 2 * x[:, 0] + (x[:, 1] > 0.6) * x[:, 2] * 3 + rng.normal(0, 0.3, 400)
    return x, y.astype(np.float32)


def fit(x: np.ndarray, y: np.ndarray, options: BoostSettings, seed: int = 7) -> tuple[np.ndarray, int]:
    start, feature = np.array([0, x.shape[1]]), np.arange(x.shape[1])
    seeds = np.array([seed], dtype=np.uint64)
    importance, trees, _ = boost_block(
        bin_columns(sp.csc_matrix(x), options.n_bins), start, feature, y[None], seeds, options
    )
    return importance, int(trees[0])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), n_bins=st.sampled_from([2, 7, 256]))
def test_bins_keep_the_order_and_give_ties_one_bin(seed, n_bins):
    rng = np.random.default_rng(seed)
    x = rng.poisson([0.3, 3, 30], (50, 3)) * rng.choice([1.0, 0.7])
    for column, binned in zip(x.T, bins_of(x, n_bins).astype(int).T, strict=True):
        order = np.argsort(column, kind="stable")
        assert (np.diff(binned[order]) >= 0).all()
        assert (np.diff(binned[order])[np.diff(column[order]) == 0] == 0).all()
        assert ((binned == 0) == (column == 0)).all() or (column > 0).all()
        assert np.array_equal(np.unique(binned), np.arange(binned.max() + 1))  # no empty bin
        assert binned.max() < n_bins


def test_sparse_columns_use_all_bins():
    x = np.zeros((1000, 1))
    x[:100, 0] = np.random.default_rng(0).permutation(100) + 1.0
    assert np.array_equal(np.unique(bins_of(x, 11)), np.arange(11))
    assert (np.bincount(bins_of(x, 11)[:, 0])[1:] == 10).all()


def test_trees_equal_an_exhaustive_search():
    rng = np.random.default_rng(3)
    x = rng.poisson(0.8, (120, 6)) * 1.0
    x[:, 5] = rng.gamma(1, 1, 120)  # no zeros
    y = (x[:, 0] + x[:, 1] * (x[:, 2] > 0) + rng.normal(0, 0.5, 120)).astype(np.float32)
    options = BoostSettings(n_trees=20, rate=0.2, max_features=1.0, n_bins=16, min_leaf=8)
    np.testing.assert_allclose(fit(x, y, options)[0], slow_boost(bins_of(x, 16), y.astype(float), options), atol=1e-6)


@pytest.mark.parametrize("subsample", [1.0, 0.7])
def test_neither_level_nor_scale_of_the_gene_matters(subsample):
    rng = np.random.default_rng(5)
    x = rng.poisson(0.4, (300, 8)) * 1.0
    y = x[:, 0] + x[:, 1] * x[:, 2] + rng.normal(0, 0.5, 300)
    options = BoostSettings(n_trees=100, rate=0.1, max_features=0.5, subsample=subsample)
    plain, n_trees = fit(x, y.astype(np.float32), options)
    other, m_trees = fit(x, (1e4 * y - 3e4).astype(np.float32), options)
    np.testing.assert_allclose(other, plain, atol=2e-3)
    assert abs(n_trees - m_trees) <= 2


def test_many_fast_trees_share_the_importance_of_like_features():
    """Every feature sets one cell apart; all other cells fall together, tree by tree, far below where they began."""
    x = np.ones((400, 100))
    x[np.arange(100), np.arange(100)] = 0
    y = np.repeat([1.0, 0.0], [100, 300]).astype(np.float32)
    importance, _ = fit(x, y, BoostSettings(n_trees=800, rate=0.1, max_features=0.1))
    np.testing.assert_allclose(importance, 0.01, atol=0.01)


def test_no_cells_give_no_importance():
    importance, n_trees = fit(np.empty((0, 2)), np.empty(0, np.float32), BoostSettings(n_trees=3))
    assert importance.tolist() == [0, 0]
    assert n_trees == 0


def test_trees_that_fit_everything_report_all_of_the_variance():
    rng = np.random.default_rng(6)
    x = rng.poisson(0.5, (4000, 3)) * 1.0
    y = (x[:, 0] > 0) * 2.0 + (x[:, 1] > 1) + rng.normal(0, 1e-3, 4000)
    options = BoostSettings(n_trees=300, rate=0.1, max_features=1.0, subsample=0.5)
    both = np.arange(3), y.astype(np.float32)[None], np.array([3], dtype=np.uint64)
    explained = boost_block(bin_columns(sp.csc_matrix(x), 16), np.array([0, 3]), *both, options)[2]
    assert explained[0] == pytest.approx(1, abs=0.01)


def test_one_tree_on_all_features_equals_scikit_learn(regression):
    x, y = regression
    options = BoostSettings(n_trees=1, rate=1.0, max_features=1.0, n_bins=250)
    importance, _ = fit(x, y, options)
    tree = DecisionTreeRegressor(max_depth=3).fit(bins_of(x, 250), y)
    np.testing.assert_allclose(importance, tree.feature_importances_, atol=2e-3)


def test_importances_agree_with_scikit_learn(regression):
    x, y = regression
    ours, _ = fit(x, y, BoostSettings(n_trees=200, rate=0.05, max_features=0.3))
    model = GradientBoostingRegressor(learning_rate=0.05, n_estimators=200, max_features=0.3, random_state=0)
    theirs = model.fit(x, y).feature_importances_
    assert np.corrcoef(ours, theirs)[0, 1] > 0.97


def test_out_of_bag_stop_ends_early_on_noise_and_later_on_signal(regression):
    x, y = regression
    options = BoostSettings(n_trees=2000, rate=0.05, max_features=0.3, subsample=0.8)
    noise = np.random.default_rng(1).normal(size=400).astype(np.float32)
    trees_signal, trees_noise = fit(x, y, options)[1], fit(x, noise, options)[1]
    assert 25 <= trees_noise < trees_signal < 2000


def test_a_gene_without_candidates_is_left_out(regression):
    x, y = regression
    options = BoostSettings(n_trees=5)
    start = np.array([0, 0, 15])
    seeds = np.array([1, 7], dtype=np.uint64)
    importance, trees, explained = boost_block(
        bin_columns(sp.csc_matrix(x), 64), start, np.arange(15), np.stack([y, y]), seeds, options
    )
    assert trees[0] == explained[0] == 0
    np.testing.assert_array_equal(importance, fit(x, y, options)[0])


@pytest.mark.parametrize("subsample", [1.0, 0.8])
def test_a_cut_into_blocks_changes_no_bit(regression, subsample):
    x, y = regression
    genes = np.stack([y, y**2, -y, np.sin(y)])
    start = np.array([0, 15, 20, 20, 28])
    feature, seeds = np.r_[0:15, 3:8, 1:9], np.arange(1, 5, dtype=np.uint64)
    options, binned = (
        BoostSettings(n_trees=60, subsample=subsample, max_features=0.4),
        bin_columns(sp.csc_matrix(x), 32),
    )
    whole, trees, explained = boost_block(binned, start, feature, genes, seeds, options)
    for g in range(4):
        own = slice(start[g], start[g + 1])
        offsets = start[g : g + 2] - start[g]
        part = boost_block(binned, offsets, feature[own], genes[g : g + 1], seeds[g : g + 1], options)
        np.testing.assert_array_equal(part[0], whole[own])
        assert part[1] == trees[g]
        assert part[2] == explained[g]


def test_explained_variance_is_a_cautious_estimate_of_that_in_new_cells(regression):
    x, y = regression
    noise = np.random.default_rng(1).normal(size=400).astype(np.float32)
    options = BoostSettings(n_trees=2000, rate=0.05, max_features=0.3, subsample=0.8)
    binned, features = bin_columns(sp.csc_matrix(x), options.n_bins), np.arange(x.shape[1])
    both = np.tile(features, 2), np.stack([y, noise]), np.array([7, 7], dtype=np.uint64)
    _, trees, explained = boost_block(binned, np.array([0, 15, 30]), *both, options)
    train, test = slice(0, 300), slice(300, 400)
    model = GradientBoostingRegressor(
        learning_rate=0.05, n_estimators=int(trees[0]), max_features=0.3, subsample=0.8, random_state=0
    ).fit(x[train], y[train])
    assert -0.15 < explained[0] - model.score(x[test], y[test]) < 0.02
    assert explained[1] < 0.01


def test_blocks_cover_all_genes_once():
    blocks = blocks_of(np.array([5, 0, 9, 30, 1, 1]), limit=10)
    assert [g for a, b in blocks for g in range(a, b)] == list(range(6))
    assert blocks_of(np.empty(0, dtype=int)) == []


@pytest.mark.parametrize("wrong", [{"rate": 0.0}, {"max_features": 1.5}, {"n_bins": 1}, {"depth": 9}])
def test_settings_outside_their_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        BoostSettings(**wrong)
