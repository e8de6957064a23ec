"""Every metric against a value worked out by hand, and the laws that make it a fair one."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from scipy.stats import pearsonr

import grnformer_sc as grs

m = grs.metrics
TRUTH = np.array([[1.0, 2.0, 3.0, 4.0, 0.0], [0.0, 0.0, 1.0, 0.0, -1.0], [2.0, -2.0, 0.0, 0.0, 5.0]])
PREDICTED = np.array([[2.0, 4.0, 6.0, 8.0, 0.0], [1.0, 1.0, 1.0, 1.0, 1.0], [-2.0, 2.0, 0.0, 0.0, -5.0]])


def test_correlation_of_changes_by_hand():
    np.testing.assert_allclose(m.delta_correlation(PREDICTED, TRUTH), [1, np.nan, -1])
    reference = np.ones_like(TRUTH)
    expected = [pearsonr(PREDICTED[0], TRUTH[0])[0], np.nan, pearsonr(PREDICTED[2], TRUTH[2])[0]]
    np.testing.assert_allclose(m.delta_correlation(PREDICTED, TRUTH, reference=reference), expected)
    # the three largest changes of the first row are genes 1 to 3: (4, 6, 9) with (2, 3, 4)
    changed = PREDICTED.copy()
    changed[0, 3] = 9
    found = m.delta_correlation(changed, TRUTH, top=3)[0]
    assert found == pytest.approx(pearsonr([4, 6, 9], [2, 3, 4])[0])


def test_a_reference_that_holds_the_test_is_the_trap():
    """With the mean of all perturbations as reference the mean of the others scores exactly -1."""
    truth = np.random.default_rng(0).normal(size=(6, 9))
    others = np.array([np.delete(truth, i, axis=0).mean(axis=0) for i in range(6)])
    np.testing.assert_allclose(m.delta_correlation(others, truth, reference=np.tile(truth.mean(axis=0), (6, 1))), -1)


def test_errors_by_hand():
    np.testing.assert_allclose(m.delta_error(PREDICTED, TRUTH), [30 / 5, (1 + 1 + 0 + 1 + 4) / 5, (16 + 16 + 100) / 5])
    np.testing.assert_allclose(m.delta_error(PREDICTED, TRUTH, top=2), [(9 + 16) / 2, 2, (100 + 16) / 2])


def test_retrieval_by_hand():
    truth, predicted = np.array([[0.0], [1.0], [3.0]]), np.array([[0.9], [1.1], [2.9]])
    # the first prediction is nearer to 1 than to its own 0, and nearer to 0 than to 3
    np.testing.assert_allclose(m.centroid_accuracy(predicted, truth), [0.5, 1, 1])
    # the second truth, 1, is as far from its own prediction 1.1 as from 0.9; binary fractions make it a tie
    predicted = np.array([[0.75], [1.25], [2.5]])
    np.testing.assert_allclose(m.rank_score(predicted, truth), [0, 0.25, 0])
    np.testing.assert_allclose(m.discrimination_score(predicted, truth), [1 - 1 / 3, 1, 1])


def test_the_perturbed_gene_does_not_count_in_discrimination():
    truth = np.array([[9.0, 0.0, 1.0], [0.0, 9.0, 2.0]])
    predicted = np.array([[9.0, 0.0, 2.0], [0.0, 9.0, 1.0]])  # right targets, exchanged responses
    targets = np.array([[True, False, False], [False, True, False]])
    np.testing.assert_allclose(m.discrimination_score(predicted, truth), [1, 1])
    both = np.array([[True, True, False]] * 2)
    np.testing.assert_allclose(m.discrimination_score(predicted, truth, excluded=both), [0.5, 0.5])
    assert m.discrimination_score(predicted, truth, excluded=targets).shape == (2,)


def test_the_same_prediction_for_all_is_chance_and_one_perturbation_has_no_rank():
    truth = np.random.default_rng(1).normal(size=(7, 5))
    same = np.tile(truth.mean(axis=0), (7, 1))
    assert m.centroid_accuracy(same, truth).mean() == pytest.approx(0.5)
    np.testing.assert_allclose(m.rank_score(same, truth), 0.5)
    for metric in (m.centroid_accuracy, m.rank_score, m.discrimination_score):
        assert np.isnan(metric(truth[:1], truth[:1])).all()


def test_energy_distance_by_hand_and_as_a_law():
    x, y = np.array([[0.0], [2.0]]), np.array([[1.0], [5.0]])
    # 2 * mean(1, 5, 1, 3) - 2 - 4
    assert m.energy_distance(x, y) == pytest.approx(2 * 2.5 - 2 - 4)
    rng = np.random.default_rng(0)
    draws = [m.energy_distance(rng.normal(size=(50, 3)), rng.normal(size=(60, 3))) for _ in range(60)]
    assert abs(np.mean(draws)) < 3 * np.std(draws) / np.sqrt(60)
    assert np.isnan(m.energy_distance(x[:1], y))


@pytest.mark.parametrize(
    "metric", [m.delta_correlation, m.delta_error, m.centroid_accuracy, m.rank_score, m.discrimination_score]
)
def test_missing_values_and_other_shapes_are_refused(metric):
    with pytest.raises(ValueError, match="the same shape"):
        inspect.unwrap(metric)(TRUTH[:, :2], TRUTH)
    with pytest.raises(ValueError, match="1 NaN or infinite"):
        metric(np.where(TRUTH == 4, np.nan, TRUTH), TRUTH)
    shuffled = np.random.default_rng(0).permutation(5)
    np.testing.assert_allclose(metric(PREDICTED[:, shuffled], TRUTH[:, shuffled]), metric(PREDICTED, TRUTH))


def test_energy_distance_needs_the_same_genes():
    with pytest.raises(ValueError, match="2 and 1"):
        inspect.unwrap(m.energy_distance)(np.ones((3, 2)), np.ones((3, 1)))
