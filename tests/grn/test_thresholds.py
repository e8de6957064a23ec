"""Thresholds against scikit-learn's mixture, known dips, and the equation of the crossing."""

from __future__ import annotations

import inspect
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linprog
from scipy.stats import norm
from sklearn.mixture import GaussianMixture

from grnformer_sc.grn._kernels.dip import dip_statistics
from grnformer_sc.grn.thresholds import CHUNK_REGULONS, crossing, fit_mixtures, fit_thresholds, multimodal, otsu


def two_modes(n: int, seed: int, *, share: float = 0.3, gap: float = 0.5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(n) < share, rng.normal(0.2 + gap, 0.07, n), rng.normal(0.2, 0.04, n))


def test_dip_of_small_samples_is_known():
    """The dip of n equally spaced points is 1 / (2n); two far pairs of points have the largest dip, 1/4."""
    assert dip_statistics(np.arange(10.0)[None])[0] == pytest.approx(1 / 20)
    assert dip_statistics(np.array([[0.0, 0.001, 0.999, 1.0]]))[0] == pytest.approx(0.25, abs=1e-3)


def test_dip_test_rejects_a_twentieth_of_uniform_samples():
    uniform = np.random.default_rng(0).random((200, 2000))
    assert 0.03 < multimodal(uniform).mean() < 0.07


def test_mixtures_equal_scikit_learn():
    x = np.stack([two_modes(800, seed) for seed in range(CHUNK_REGULONS + 3)], axis=1)
    weight, centre, spread = fit_mixtures(x)
    for column in (0, 7, CHUNK_REGULONS + 2):
        model = GaussianMixture(2, tol=1e-8, max_iter=500, reg_covar=1e-12, random_state=0).fit(x[:, [column]])
        order = np.argsort(model.means_.ravel())
        np.testing.assert_allclose(centre[:, column], model.means_.ravel()[order], atol=2e-4)
        np.testing.assert_allclose(spread[:, column], np.sqrt(model.covariances_.ravel()[order]), atol=5e-4)
        np.testing.assert_allclose(weight[:, column], model.weights_[order], atol=1e-3)


def test_both_components_are_equal_at_the_crossing():
    weight, centre, spread = (
        np.array([[0.7, 0.5], [0.3, 0.5]]),
        np.array([[0.1, 0.1], [0.4, 0.3]]),
        np.array([[0.05, 0.04], [0.1, 0.04]]),
    )
    cut, found = crossing(weight, centre, spread)
    assert found.all()
    density = weight * norm.pdf(cut, centre, spread)
    np.testing.assert_allclose(density[0], density[1], rtol=1e-6)


def test_each_shape_gets_its_rule():
    rng = np.random.default_rng(0)
    one_mode = rng.normal(0.2, 0.05, 1000)
    x = np.stack([two_modes(1000, 1), one_mode, np.full(1000, 0.3)], axis=1)
    found = fit_thresholds(x)
    assert found.rule == ["mixture", "unimodal", "constant"]
    assert 0.28 < found.value[0] < 0.55
    assert found.value[1] == pytest.approx(one_mode.mean() + 2 * one_mode.std())
    assert not (x[:, 2] > found.value[2]).any()


def test_trough_lies_in_the_gap_and_can_be_asked_for():
    found = fit_thresholds(two_modes(1000, 1)[:, None], rule="trough")
    assert found.rule == ["trough"]
    assert 0.28 < found.value[0] < 0.6


def test_order_of_cells_changes_nothing_but_rounding():
    x = np.stack([two_modes(500, seed) for seed in range(4)], axis=1)
    shuffled = np.random.default_rng(0).permutation(x)
    np.testing.assert_allclose(fit_thresholds(x).value, fit_thresholds(shuffled).value, rtol=1e-6)


def between_classes(x: np.ndarray, cut: float) -> float:
    """Otsu's criterion by its definition: shares of the classes and their means."""
    low, high = x[x <= cut], x[x > cut]
    return low.size * high.size / x.size**2 * (low.mean() - high.mean()) ** 2


@given(arrays(np.int64, st.tuples(st.integers(2, 30), st.integers(1, 3)), elements=st.integers(0, 12)))
def test_no_cut_separates_better_than_otsu(x):
    x = x[:, x.min(axis=0) < x.max(axis=0)].astype(float)
    for column, cut in zip(x.T, otsu(x) if x.size else [], strict=True):
        best = max(between_classes(column, value) for value in np.unique(column)[:-1])
        np.testing.assert_allclose(between_classes(column, cut), best, rtol=1e-9)
        lower, upper = column[column <= cut].max(), column[column > cut].min()
        assert cut == (lower + upper) / 2


@given(share=st.sampled_from([0.0, 0.25, 0.5, 0.9, 0.99, 1.0]), seed=st.integers(0, 99))
def test_a_quantile_leaves_its_share_of_cells_above(share, seed):
    x = np.random.default_rng(seed).random((200, CHUNK_REGULONS + 2))
    found = fit_thresholds(x, rule="quantile", quantile=share)
    assert set(found.rule) == {"quantile"}
    above = (x > found.value).sum(axis=0)
    assert (np.abs(above - 200 * (1 - share)) <= 1).all()


@pytest.mark.parametrize("rule", ["mixture", "trough", "otsu", "quantile"])
def test_a_regulon_has_the_same_threshold_alone_and_among_others(rule):
    x = np.stack([two_modes(300, seed) for seed in range(CHUNK_REGULONS + 2)], axis=1)
    x[:, 5] = 0.25
    together = fit_thresholds(x, rule=rule)
    for column in (0, 5, CHUNK_REGULONS + 1):
        alone = fit_thresholds(x[:, [column]], rule=rule)
        np.testing.assert_allclose(alone.value[0], together.value[column], rtol=1e-9)
        assert alone.rule[0] == together.rule[column]
    assert together.rule[5] == "constant"
    assert not (x[:, 5] > together.value[5]).any()
    assert {name for i, name in enumerate(together.rule) if i != 5} == {rule}


def test_otsu_and_quantiles_do_not_ask_for_modes():
    x = np.random.default_rng(0).normal(0.2, 0.05, (1000, 1))
    assert fit_thresholds(x).rule == ["unimodal"]
    assert (x > fit_thresholds(x, rule="otsu").value).mean() == pytest.approx(0.5, abs=0.1)
    assert (x > fit_thresholds(x, rule="quantile", quantile=0.8).value).mean() == pytest.approx(0.2, abs=1e-3)


def test_unknown_rules_and_quantiles_are_named():
    x, fit = np.zeros((3, 1)), inspect.unwrap(fit_thresholds)  # past the run-time type check
    with pytest.raises(ValueError, match="rule must be one of"):
        fit(x, rule="auto")
    for wrong in (-0.1, 1.1, 90, np.nan):
        with pytest.raises(ValueError, match=r"quantile must lie in \[0, 1\]"):
            fit(x, rule="quantile", quantile=wrong)


@pytest.mark.golden
def test_unimodal_thresholds_equal_those_of_pyscenic(golden_dir):
    """Where both take mean + 2 sd the thresholds agree; its own dip test calls other regulons unimodal than Hartigan's."""
    stored = np.load(golden_dir / "aucell" / "cortex.npz")
    ours = fit_thresholds(stored["pyscenic_thr05_seeds"][0].astype(np.float64))
    unimodal = stored["pyscenic_binarize_unimodal_thr05"].astype(bool)
    both = unimodal & np.array([rule == "unimodal" for rule in ours.rule])
    assert both.sum() >= 5
    np.testing.assert_allclose(ours.value[both], stored["pyscenic_binarize_threshold_thr05"][both], rtol=1e-5)


def slow_dip(x: np.ndarray) -> float:
    """Smallest distance to a distribution that is convex before and concave after one of the points."""
    return min(distance_with_mode(x, mode) for mode in range(x.size))


def distance_with_mode(x: np.ndarray, mode: int) -> float:
    """A linear programme: G at the points up to the mode, G from the mode on (it may jump there), and the distance d."""
    n = x.size
    left, right, d = np.arange(mode + 1), np.arange(mode + 1, n + 1), n + 1
    rows = [({mode + 1: 1, mode: -1}, 0)]  # sums of weight x unknown that are at least so large
    rows += [({i: -1, d: 1}, -i / n) for i in left]
    rows += [({i: 1, d: 1}, (i + 1) / n) for i in left[:-1]]
    rows += [({i: 1, d: 1}, i / n) for i in right]
    rows += [({i: -1, d: 1}, -(i - 1) / n) for i in right[1:]]
    for part, at, sign in ((left, x[: mode + 1], 1), (right, x[mode:], -1)):
        rows += [({b: 1, a: -1}, 0) for a, b in pairwise(part)]
        for k in range(part.size - 2):
            one, two = at[k + 1] - at[k], at[k + 2] - at[k + 1]
            bend = {part[k + 2]: sign / two, part[k + 1]: -sign * (1 / two + 1 / one), part[k]: sign / one}
            rows.append((bend, 0))
    matrix = np.zeros((len(rows), d + 1))
    for row, (weights, _) in zip(matrix, rows, strict=True):
        row[list(weights)] = list(weights.values())
    cost = np.eye(d + 1)[d]
    return linprog(cost, A_ub=-matrix, b_ub=[-least for _, least in rows], bounds=[(0, 1)] * (d + 1)).fun


@pytest.mark.parametrize("seed", range(12))
def test_dip_equals_linear_programmes(seed):
    x = np.sort(np.random.default_rng(seed).random(9))
    assert dip_statistics(x[None])[0] == pytest.approx(max(slow_dip(x), 1 / 18), abs=1e-9)
