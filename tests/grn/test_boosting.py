"""Histogram boosting against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.tree import DecisionTreeRegressor

from grnformer_sc.grn._kernels.boosting import quantile_bins
from grnformer_sc.grn.boosting import BoostSettings, blocks_of, boost_block


def bins_of(x: np.ndarray, n_bins: int = 64) -> np.ndarray:
    out = np.zeros((x.shape[1], x.shape[0]), dtype=np.uint8)
    rows = np.tile(np.arange(x.shape[0]), x.shape[1])
    quantile_bins(np.arange(x.shape[1] + 1) * x.shape[0], rows, x.T.ravel(), x.shape[0], n_bins, out)
    return out


@pytest.fixture(scope="module")
def regression() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.random((400, 15)) + 0.1
    y = 2 * x[:, 0] + (x[:, 1] > 0.6) * x[:, 2] * 3 + rng.normal(0, 0.3, 400)
    return x, y.astype(np.float32)


def fit(x: np.ndarray, y: np.ndarray, settings: BoostSettings, seed: int = 7) -> tuple[np.ndarray, int]:
    start, feature = np.array([0, x.shape[1]]), np.arange(x.shape[1])
    seeds = np.array([seed], dtype=np.uint64)
    importance, trees = boost_block(bins_of(x, settings.n_bins), start, feature, y[None], seeds, settings)
    return importance, int(trees[0])


def test_bins_keep_the_order_and_give_ties_one_bin():
    values = np.array([[0.0, 3.0], [1.0, 3.0], [1.0, 1.0], [5.0, 2.0]])
    indptr, rows, data = (
        np.array([0, 3, 7]),
        np.array([1, 2, 3, 0, 1, 2, 3]),
        np.array([1.0, 1.0, 5.0, 3.0, 3.0, 1.0, 2.0]),
    )
    out = np.zeros((2, 4), dtype=np.uint8)
    quantile_bins(indptr, rows, data, 4, 16, out)
    for column, binned in zip(values.T, out.astype(int), strict=True):
        assert (np.sign(np.subtract.outer(column, column)) == np.sign(np.subtract.outer(binned, binned))).all()


def test_one_tree_on_all_features_equals_scikit_learn(regression):
    x, y = regression
    settings = BoostSettings(n_trees=1, rate=1.0, max_features=1.0, n_bins=250)
    importance, _ = fit(x, y, settings)
    tree = DecisionTreeRegressor(max_depth=3).fit(bins_of(x, 250).T, y)
    np.testing.assert_allclose(importance, tree.feature_importances_, atol=2e-3)


def test_importances_agree_with_scikit_learn(regression):
    x, y = regression
    ours, _ = fit(x, y, BoostSettings(n_trees=200, rate=0.05, max_features=0.3))
    model = GradientBoostingRegressor(learning_rate=0.05, n_estimators=200, max_features=0.3, random_state=0)
    theirs = model.fit(x, y).feature_importances_
    assert np.corrcoef(ours, theirs)[0, 1] > 0.97


def test_out_of_bag_stop_ends_early_on_noise_and_later_on_signal(regression):
    x, y = regression
    settings = BoostSettings(n_trees=2000, rate=0.05, max_features=0.3, subsample=0.8)
    noise = np.random.default_rng(1).normal(size=400).astype(np.float32)
    trees_signal, trees_noise = fit(x, y, settings)[1], fit(x, noise, settings)[1]
    assert 25 <= trees_noise < trees_signal < 2000


def test_a_gene_without_candidates_is_left_out(regression):
    x, y = regression
    settings = BoostSettings(n_trees=5)
    start = np.array([0, 0, 15])
    seeds = np.array([1, 7], dtype=np.uint64)
    importance, trees = boost_block(bins_of(x), start, np.arange(15), np.stack([y, y]), seeds, settings)
    assert trees[0] == 0
    np.testing.assert_array_equal(importance, fit(x, y, settings)[0])


def test_blocks_cover_all_genes_once():
    blocks = blocks_of(np.array([5, 0, 9, 30, 1, 1]), limit=10)
    assert [g for a, b in blocks for g in range(a, b)] == list(range(6))
    assert blocks_of(np.empty(0, dtype=int)) == []


@pytest.mark.parametrize("wrong", [{"rate": 0.0}, {"max_features": 1.5}, {"n_bins": 1}, {"depth": 9}])
def test_settings_outside_their_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        BoostSettings(**wrong)
