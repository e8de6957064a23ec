"""Baselines by hand, the ridge against its textbook form, and choices that add nothing when there is nothing to add."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from grnformer_sc.grn.perturbation import shifts as s
from grnformer_sc.grn.perturbation.bilinear import Space, bilinear, linear_baseline, similarity
from grnformer_sc.grn.perturbation.blend import Ingredients, Inside, Recipe, choose, predict
from grnformer_sc.grn.perturbation.features import by_network, same_gene
from grnformer_sc.grn.perturbation.predict import by_blend, by_rule
from grnformer_sc.grn.perturbation.validation import LEAST, inner_folds, parts, seen_inside

NAMES = [f"G{i}" for i in range(12)]


def shifts_of(names, delta, contexts=None):
    genes = tuple(tuple(name.split("+")) for name in names)
    code = np.zeros(len(names), dtype=np.int64) if contexts is None else np.asarray(contexts, dtype=np.int64)
    return s.Shifts(s.Wanted(genes, code), np.asarray(delta, dtype=float))


def wanted_of(names, contexts=None):
    return shifts_of(names, np.zeros((len(names), 1)), contexts).of


def test_baselines_by_hand():
    train = shifts_of(["A", "B", "A+C"], [[1.0, 0.0], [3.0, 0.0], [5.0, 6.0]])
    wanted = wanted_of(["A+B", "D", "A+D"])
    mean, own = np.array([3.0, 2.0]), np.array([1.0, 0.0])
    np.testing.assert_allclose(s.no_change(train, wanted), 0)
    np.testing.assert_allclose(s.mean_shift(train, wanted), np.tile(mean, (3, 1)))
    np.testing.assert_allclose(s.matching_mean(train, wanted), [[2, 0], mean, (mean + own) / 2])
    np.testing.assert_allclose(s.additive(train, wanted), [[4, 0], mean, mean + own])


def test_a_perturbation_seen_in_another_context_is_taken_from_there():
    train = shifts_of(["A", "B", "A", "C"], [[1.0], [2.0], [5.0], [7.0]], [0, 0, 1, 1])
    wanted = wanted_of(["B", "A+C"], [1, 0])
    np.testing.assert_allclose(s.mean_shift(train, wanted), [[6], [1.5]])
    np.testing.assert_allclose(s.additive(train, wanted), [[2], [1 + 7]])


def additive_screen(rng, noise=0.0, n_genes=40):
    own = rng.normal(size=(12, n_genes))
    pairs = [(i, j) for i in range(12) for j in range(i)][::3]
    names = [*NAMES, *(f"{NAMES[i]}+{NAMES[j]}" for i, j in pairs)]
    delta = np.vstack([own, [own[i] + own[j] for i, j in pairs]])
    return shifts_of(names, delta + noise * rng.normal(size=delta.shape))


def test_additive_is_exact_on_additive_data():
    data = additive_screen(np.random.default_rng(0))
    train, held = data.take(np.arange(12)), data.take(np.arange(12, len(data)))
    np.testing.assert_allclose(s.additive(train, held.of), held.delta, atol=1e-12)


def test_the_ridge_equals_its_textbook_form():
    rng = np.random.default_rng(1)
    data = additive_screen(rng, noise=0.3)
    train, wanted = data.take(np.arange(25)), data.of.take(np.arange(25, len(data)))
    features = rng.normal(size=(12, 5))
    genes = similarity(NAMES, features)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    g, new = (s.incidence(part.genes, genes.names) @ unit for part in (train.of, wanted))
    centre = g.mean(axis=0)
    g, new = g - centre, new - centre
    y = train.delta - train.delta.mean(axis=0)
    p = np.linalg.svd(y, full_matrices=False)[2][:4].T
    penalty = 0.7 * np.trace(g @ g.T) / len(g)
    w = np.linalg.solve(g.T @ g + penalty * np.eye(5), g.T @ y @ p)
    found = bilinear(Space.of(train), wanted, genes=genes, penalty=0.7, rank=4)
    np.testing.assert_allclose(found, train.delta.mean(axis=0) + new @ w @ p.T, atol=1e-10)


def test_the_linear_baseline_knows_measured_genes_only():
    data = additive_screen(np.random.default_rng(2), noise=0.1)
    names = {name: i for i, name in enumerate(NAMES)}
    nowhere = linear_baseline(data, data.of, names=names, place=np.full(12, -1))
    np.testing.assert_allclose(nowhere, s.mean_shift(data, data.of))
    somewhere = linear_baseline(data, data.of, names=names, place=np.arange(12))
    assert np.abs(somewhere - nowhere).max() > 0.01


def test_genes_with_the_same_targets_are_alike():
    edges = pd.DataFrame(
        {"tf": list("AAABBBC"), "gene": list("xyzxyzu"), "sign": [1, 1, -1, 1, 1, -1, 1], "score": 1.0}
    )
    found = by_network(["A", "B", "C", "D"], edges, pd.Index(list("xyzu")))
    np.testing.assert_allclose(found.gram[0], [1, 1, 0, 0])
    np.testing.assert_allclose(np.diag(found.gram), [1, 1, 1, 0])
    flipped = by_network(["A", "B"], edges.assign(sign=[1, 1, -1, -1, -1, 1, 1]), pd.Index(list("xyzu")))
    np.testing.assert_allclose(flipped.gram[0, 1], -1)


@pytest.fixture
def grouped():
    """Perturbed genes in three groups that share a response, which a network knows."""
    rng = np.random.default_rng(3)
    names = [f"P{i:02d}" for i in range(24)]
    group = np.arange(24) % 3
    delta = 0.5 + rng.normal(size=(3, 60))[group] + 0.3 * rng.normal(size=(24, 60))
    edges = pd.DataFrame(
        {"tf": np.repeat(names, 3), "gene": [f"x{3 * g + k}" for g in group for k in range(3)], "sign": 1, "score": 1.0}
    )
    return names, shifts_of(names, delta), edges


def ingredients(names, edges):
    same = same_gene(names)
    linked = by_network(names, edges, pd.Index([f"x{i}" for i in range(9)]))
    return Ingredients({"same": same, "network": linked}, {}, frozenset({"network"}))


def test_a_network_that_knows_the_response_is_used(grouped):
    names, data, edges = grouped
    held = np.arange(0, 24, 5)
    train = data.take(np.setdiff1d(np.arange(24), held))
    outcome = by_blend(ingredients(names, edges), train, data.of.take(held), 0)
    plain = by_blend(ingredients(names, edges.iloc[:0]), train, data.of.take(held), 0)
    assert [choice.uses_network for choice in outcome.choices] == [True]
    assert [choice.uses_network for choice in plain.choices] == [False]
    error, without = (((o.delta - data.delta[held]) ** 2).mean() for o in (outcome, plain))
    assert error < 0.3 * without


def test_without_anything_to_learn_the_best_baseline_is_left():
    rng = np.random.default_rng(4)
    names = [f"P{i:02d}" for i in range(24)]
    shared = rng.normal(size=50)
    used = 0
    for draw in range(8):
        data = shifts_of(names, shared + rng.normal(size=(24, 50)))
        random = pd.DataFrame({"tf": np.repeat(names, 4), "gene": rng.choice([f"x{i}" for i in range(9)], 96)})
        outcome = by_blend(ingredients(names, random.assign(sign=1, score=1.0)), data.take(np.arange(20)),
                           data.of.take(np.arange(20, 24)), draw)  # fmt: skip
        used += outcome.choices[0].uses_network
        if not outcome.choices[0].recipe.weight:
            np.testing.assert_array_equal(
                outcome.delta, s.mean_shift(data.take(np.arange(20)), data.of.take(np.arange(20, 24)))
            )
    assert used <= 3


def test_shared_work_gives_the_same_numbers(grouped):
    names, data, edges = grouped
    folds = inner_folds(data.of, wanted_of(["Z"]), 0)
    known = ingredients(names, edges)
    inside = Inside(data, [(Space.of(data.take(fit)), fit, held) for fit, held in parts(data, folds)], known)
    for penalty, rank, alone in inside.ridges("network"):
        recipe = Recipe("mean", "network", penalty, rank, 1.0)
        np.testing.assert_allclose(alone, inside.found(recipe), atol=1e-10)


def test_inner_folds_keep_perturbations_whole_unless_contexts_are_held_out():
    data = wanted_of([f"P{i}" for i in range(12)] * 2, [0] * 12 + [1] * 12)
    folds = inner_folds(data, wanted_of(["Z"], [0]), 0)
    np.testing.assert_array_equal(folds[:12], folds[12:])
    folds = inner_folds(data, wanted_of(["P3"], [2]), 0)
    assert (folds[:12] != folds[12:]).any()
    assert set(folds) == set(range(10))
    order = np.random.default_rng(0).permutation(24)
    np.testing.assert_array_equal(inner_folds(data.take(order), wanted_of(["P3"], [2]), 0), folds[order])


def test_errors_cover_what_they_should_and_are_unknown_for_few(grouped):
    names, data, _ = grouped
    outcome = by_rule(s.mean_shift, data.take(np.arange(18)), data.of.take(np.arange(18, 24)), 0)
    inside = np.abs(outcome.delta - data.delta[18:]) < outcome.half
    assert 0.85 < inside.mean() < 1
    few = by_rule(s.mean_shift, data.take(np.arange(LEAST - 1)), data.of.take(np.arange(18, 24)), 0)
    assert np.isnan(few.half).all()
    one = by_rule(s.mean_shift, data.take(np.arange(1)), data.of.take(np.arange(18, 24)), 0)
    np.testing.assert_array_equal(one.delta, np.tile(data.delta[0], (6, 1)))
    blended = by_blend(ingredients(names, grouped[2]), data.take(np.arange(1)), data.of.take(np.arange(18, 24)), 0)
    np.testing.assert_array_equal(blended.delta, one.delta)


def test_seen_genes_are_judged_apart(grouped):
    data = additive_screen(np.random.default_rng(5), noise=0.1)
    folds = inner_folds(data.of, wanted_of(["Z"]), 0)
    known = seen_inside(data, folds)
    for fit, held in parts(data, folds):
        genes = {g for row in fit for g in data.of.genes[row]}
        np.testing.assert_array_equal(known[held], [bool(genes & set(data.of.genes[row])) for row in held])
    recipe, steps = choose(data, folds, known, Ingredients({"same": same_gene(NAMES)}, {}, frozenset()))
    assert recipe.weight == 1.0  # singles from doubles: the ridge solves for them
    assert steps[0].gain > 3 * steps[0].error
    out = predict(recipe, Space.of(data), data.of, Ingredients({"same": same_gene(NAMES)}, {}, frozenset()))
    assert np.corrcoef(out.ravel(), data.delta.ravel())[0, 1] > 0.95


def test_sparse_and_dense_features_are_alike():
    features = np.random.default_rng(0).normal(size=(4, 6))
    dense, sparse = similarity(list("abcd"), features), similarity(list("abcd"), sp.csr_matrix(features))
    np.testing.assert_allclose(dense.gram, sparse.gram)
