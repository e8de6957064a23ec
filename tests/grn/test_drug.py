"""The model of drug response: factors, regressions by one decomposition, folds, and choices that never see a test fold."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from grnformer_sc.grn.drug.choose import choose, mixtures
from grnformer_sc.grn.drug.factors import factorise, offsets
from grnformer_sc.grn.drug.folds import SPLITS, folds_of, training_pairs
from grnformer_sc.grn.drug.kernels import (
    SharedRidge,
    gaussian,
    linear,
    mixed,
    regulon_scores,
    ridge_per_drug,
    smoothed,
    tanimoto,
)
from grnformer_sc.grn.drug.model import Choice, Similarity, means, predict
from grnformer_sc.grn.drug.predictor import predictor

LINES, DRUGS, RANK = 60, 20, 3


def planted(noise: float = 0.1, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Responses of rank 3, which of them are known, features that give the factors of lines, and the factors of drugs."""
    rng = np.random.default_rng(seed)
    left, right = rng.normal(size=(LINES, RANK)), rng.normal(size=(DRUGS, RANK))
    y = 2 * rng.normal(size=DRUGS) + left @ right.T + noise * rng.normal(size=(LINES, DRUGS))
    features = left @ rng.normal(size=(RANK, 8))
    return y, rng.random(y.shape) < 0.8, features, right


def test_offsets_are_exact_where_nothing_is_missing() -> None:
    rng = np.random.default_rng(0)
    line, drug = rng.normal(size=LINES), rng.normal(size=DRUGS)
    y = 1 + line[:, None] + drug
    found = offsets(y, np.ones(y.shape, bool), shrinkage=0.0).matrix()
    np.testing.assert_allclose(found, y, atol=1e-9)


def test_an_offset_is_drawn_to_zero_by_pseudo_observations() -> None:
    y, known = np.array([[1.0, 3.0]]), np.ones((1, 2), bool)
    found = offsets(y, known, shrinkage=1.0)
    assert found.mean == 2
    np.testing.assert_allclose(found.drugs, [-0.5, 0.5])  # ±1 over one observation and one pseudo-observation
    np.testing.assert_allclose(found.lines, [0])


def test_factors_solve_their_normal_equations() -> None:
    """At the minimum the gradient of the penalised squared error is zero, for lines as for drugs."""
    y, known, _, _ = planted()
    found = factorise(np.where(known, y, 0), known, rank=3, penalty=1.0, n_steps=300)
    error = np.where(known, found.matrix() - y, 0)
    np.testing.assert_allclose(error @ found.right + found.left, 0, atol=1e-5)
    np.testing.assert_allclose(error.T @ found.left + found.right, 0, atol=1e-5)


def test_factors_do_not_read_what_is_unknown_and_follow_a_permutation() -> None:
    y, known, _, _ = planted()
    first = factorise(np.where(known, y, 0), known, rank=3, penalty=1.0).matrix()
    other = factorise(np.where(known, y, 1e6), known, rank=3, penalty=1.0).matrix()
    np.testing.assert_array_equal(first, other)
    order = np.random.default_rng(0).permutation(LINES)
    moved = factorise(np.where(known, y, 0)[order], known[order], rank=3, penalty=1.0).matrix()
    np.testing.assert_allclose(moved, first[order], atol=1e-8)


def test_one_decomposition_is_ridge_regression_at_every_penalty() -> None:
    y, _, x, _ = planted()
    fitted = np.arange(LINES) < 40
    kernel = linear(x)
    shared = SharedRidge.on(kernel, fitted)
    for penalty in (0.1, 3.0):
        apart = ridge_per_drug(kernel, y, np.repeat(fitted[:, None], DRUGS, axis=1), penalty)
        np.testing.assert_allclose(shared.predict(y[fitted], penalty), apart, atol=1e-9)


def test_kernels() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(10, 4))
    for kernel in (linear(x), gaussian(x), tanimoto((x > 0).astype(float))):
        np.testing.assert_allclose(kernel, kernel.T)
        assert np.linalg.eigvalsh(kernel).min() > -1e-9
    constant = np.c_[x, np.full(10, 5.0)]
    np.testing.assert_allclose(linear(constant), linear(x))
    np.testing.assert_allclose(gaussian(x * [1, 10, 100, 2] + 7), gaussian(x))
    assert tanimoto(np.array([[1.0, 1, 0], [1, 0, 0]]))[0, 1] == 0.5
    np.testing.assert_allclose(mixed([linear(x), gaussian(x)], (0.25, 0.75)), 0.25 * linear(x) + 0.75 * gaussian(x))
    assert len(mixtures(3)) == 7
    assert all(sum(weights) == pytest.approx(1) for weights in mixtures(3))


def test_regulons_are_signed_means_and_a_network_without_links_smooths_nothing() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 5))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    found = regulon_scores(x, np.array([[1.0, -2, 1, 0, 0], [1, 1, 0, 0, 0]]))
    assert found.shape == (30, 1)  # the second has two targets
    np.testing.assert_allclose(found[:, 0], (x[:, 0] - x[:, 1] + x[:, 2]) / 3**0.5)
    np.testing.assert_allclose(smoothed(x, sp.csr_matrix((5, 5))), 0.5 * x, atol=1e-12)
    link = sp.csr_matrix(([1.0], ([0], [1])), (5, 5))
    pair = smoothed(x, link)
    assert np.corrcoef(pair[:, 0], pair[:, 1])[0, 1] > np.corrcoef(x[:, 0], x[:, 1])[0, 1]


@pytest.mark.parametrize("split", SPLITS)
def test_what_is_held_out_together_is_in_one_fold(split: str) -> None:
    _, known, _, _ = planted()
    groups = np.arange(LINES) // 10
    fold = folds_of(split, known, n_splits=3, groups=groups, rng=np.random.default_rng(0))
    assert (fold[~known] == -1).all()
    assert split == "both" or (fold[known] >= 0).all()
    for number in range(3):
        test = fold == number
        train = training_pairs(split, known, test)
        assert test.any()
        assert not (train & test).any()
        cold_lines, cold_drugs = test.any(axis=1) & train.any(axis=1), test.any(axis=0) & train.any(axis=0)
        assert cold_lines.any() == (split in ("pair", "drug"))
        assert cold_drugs.any() == (split in ("pair", "line", "group"))
        if split == "group":
            assert not set(groups[test.any(axis=1)]) & set(groups[train.any(axis=1)])


def test_too_few_things_for_the_folds_are_named() -> None:
    known = np.ones((4, 3), bool)
    for split, what in (("line", "lines"), ("drug", "drugs"), ("group", "groups")):
        with pytest.raises(ValueError, match=what):
            folds_of(split, known, n_splits=5, groups=np.arange(4), rng=np.random.default_rng(0))


def line_cold(features: np.ndarray, seed: int = 0) -> float:
    """Mean correlation inside drugs over five folds of lines."""
    y, known, _, _ = planted()
    fold = folds_of("line", known, n_splits=5, groups=None, rng=np.random.default_rng(seed))
    run = predictor("grnformer", y, Similarity((gaussian(features),)), split="line", groups=None)
    r = []
    for number in range(5):
        test = fold == number
        found, _ = run(known & ~test, np.random.default_rng(number), False)
        r += [np.corrcoef(found[test[:, d], d], y[test[:, d], d])[0, 1] for d in range(DRUGS) if test[:, d].sum() > 4]
    return float(np.mean(r))


def test_lines_are_told_apart_by_true_features_and_not_by_exchanged_ones() -> None:
    features = planted()[2]
    assert line_cold(features) > 0.9
    assert line_cold(features[np.random.default_rng(5).permutation(LINES)]) < 0.1


@pytest.mark.parametrize("method", ["grnformer", "mf", "ridge", "offsets", "drug_mean", "line_mean"])
@pytest.mark.parametrize("split", ["pair", "line", "group"])
def test_nothing_held_out_is_seen_before_it_is_predicted(method: str, split: str) -> None:
    """Other values in the place of the held-out ones give the same bits and the same choices."""
    y, known, features, _ = planted()
    groups = np.arange(LINES) // 6
    fold = folds_of(split, known, n_splits=5, groups=groups, rng=np.random.default_rng(0))
    test = fold == 0
    told = []
    for values in (y, np.where(test, -1e3, y), np.where(test, np.nan, y)):
        kernels = Similarity((gaussian(features), linear(features)))
        run = predictor(method, values, kernels, split=split, groups=groups, raw=[linear(features)])
        told.append(run(known & ~test, np.random.default_rng(0), False))
    for found, chosen in told[1:]:
        np.testing.assert_array_equal(found, told[0][0])
        assert chosen == told[0][1]


def test_the_useful_representation_is_chosen_by_validation() -> None:
    y, known, features, _ = planted()
    noise = np.random.default_rng(9).normal(size=(LINES, 8))
    similar = Similarity((gaussian(noise), gaussian(features)))
    choice = choose(y, known, similar, split="line", groups=None, rng=np.random.default_rng(0))
    assert choice.weights == (0.0, 1.0)


def test_unseen_drugs_follow_similar_ones() -> None:
    y, known, features, right = planted()
    seen = known.copy()
    seen[:, ::4] = False
    similar = Similarity((gaussian(features),), gaussian(right))
    found = predict(y, seen, similar, Choice(rank=3, penalty=1.0, weights=(1.0,), drug_ridge=0.1))
    named = predict(y, seen, Similarity((gaussian(features),)), Choice(rank=3, penalty=1.0, weights=(1.0,)))
    for drug in range(0, DRUGS, 4):
        assert np.ptp(named[:, drug] - named[:, 0]) == pytest.approx(0)  # names: the mean of the line
    r = [np.corrcoef(found[:, d], y[:, d])[0, 1] for d in range(0, DRUGS, 4)]
    assert np.mean(r) > 0.5


def test_means_of_what_was_never_measured_are_the_overall_mean() -> None:
    y, known, _, _ = planted()
    known[:, 0] = False
    known[0] = False
    assert means(y, known, of="drug_mean")[:, 0] == pytest.approx(y[known].mean())
    assert means(y, known, of="line_mean")[0] == pytest.approx(y[known].mean())
    np.testing.assert_allclose(means(y, known, of="drug_mean")[0, 3], y[known[:, 3], 3].mean())
