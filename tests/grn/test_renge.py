"""RENGE: loss and gradient equal those of every cell by itself, planted effects are found, direct ones told from indirect."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import check_grad
from scipy.special import expit

from grnformer_sc._core.rows import Rows
from grnformer_sc._core.settings import settings
from grnformer_sc.grn.systems.renge.fit import explained, fit
from grnformer_sc.grn.systems.renge.model import Model, Shape, changes, loss_and_gradient, paths, terms_of
from grnformer_sc.grn.systems.renge.predict import Predictor
from grnformer_sc.grn.systems.renge.search import folds_of, search, walk
from grnformer_sc.grn.systems.renge.significance import bootstrap_errors, drawn, q_values
from grnformer_sc.grn.systems.renge.sums import Design, doses_of, sums_of

made = runpy.run_path(str(Path(__file__).parent / "_renge.py"))
planted, as_it_is = made["planted"], made["as_it_is"]

SHAPE = Shape(penalty=0.01, l1_ratio=0.1, n_hops=3)


def random_model(n_times: int, n_genes: int, seed: int = 0) -> Model:
    rng = np.random.default_rng(seed)
    effect, level = rng.normal(size=(n_genes, n_genes)) * 0.3, rng.normal(size=(n_times, n_genes)) + 2
    return Model(effect, level, rng.normal(size=n_genes), 0.7, 0.3)


@pytest.fixture(scope="module")
def cells() -> tuple[Rows, Design, np.ndarray, np.ndarray]:
    """Expression, design, doses and true effects."""
    counts, design, effect = planted()
    return counts, design, doses_of(counts, as_it_is, design).dose, effect


def loss_of_cells(model: Model, x: np.ndarray, design: Design, dose: np.ndarray, shape: Shape) -> float:
    """The loss, cell by cell, with matrices as the equations write them."""
    total, n = 0.0, np.bincount(design.time)
    for cell in range(len(x)):
        time, row = design.time[cell], design.knockout[cell]
        predicted, counted = model.level[time].copy(), np.ones(x.shape[1])
        if row < design.knocked.size:
            gene = design.knocked[row]
            counted[gene] = 0
            unit, blocked = np.zeros(x.shape[1]), np.eye(x.shape[1])
            unit[gene], blocked[gene, gene] = dose[cell], 0
            for hop in range(shape.n_hops):
                weight = expit(model.alpha[gene] + model.beta * design.times[time] - model.gamma * hop)
                path = np.linalg.matrix_power(model.effect @ blocked, hop) @ model.effect
                predicted += weight * path @ unit
        total += (counted * (x[cell] - predicted) ** 2).sum() / n[time]
    powers = [np.linalg.matrix_power(model.effect, k) for k in range(1, shape.n_hops + 1)]
    l1 = shape.l1_ratio * shape.n_hops * np.abs(model.effect).sum()
    return float(total + shape.penalty * (l1 + (1 - shape.l1_ratio) * sum((p**2).sum() for p in powers)))


def test_the_loss_is_that_of_every_cell(cells: Any) -> None:
    counts, design, dose, _ = cells
    x = counts.to_memory().toarray().astype(np.float64)
    model = random_model(3, x.shape[1])
    found, _ = loss_and_gradient(model.vector(), terms_of(sums_of(counts, as_it_is, design, dose)), SHAPE)
    assert found == pytest.approx(loss_of_cells(model, x, design, dose, SHAPE), rel=1e-10)


@pytest.mark.parametrize("n_hops", [1, 2, 4])
def test_the_gradient_is_the_slope_of_the_loss(cells: Any, n_hops: int) -> None:
    counts, design, dose, _ = cells
    terms = terms_of(sums_of(counts, as_it_is, design, dose))
    shape = Shape(penalty=0.05, l1_ratio=0.2, n_hops=n_hops)
    vector = random_model(3, 12).vector()
    slope = np.abs(loss_and_gradient(vector, terms, shape)[1]).max()
    wrong = check_grad(
        lambda v: loss_and_gradient(v, terms, shape)[0], lambda v: loss_and_gradient(v, terms, shape)[1], vector
    )
    assert wrong < 1e-4 * slope


def test_a_path_never_returns_to_the_lost_gene() -> None:
    effect = random_model(1, 6).effect
    for gene in range(6):
        blocked = np.eye(6)
        blocked[gene, gene] = 0
        expected = effect @ blocked @ effect @ blocked @ effect[:, gene]
        np.testing.assert_allclose(paths(effect, np.array([gene]), 3)[2][:, 0], expected, rtol=1e-12)


def test_blocks_and_the_order_of_cells_play_no_part(cells: Any) -> None:
    counts, design, dose, _ = cells
    order = np.random.default_rng(0).permutation(dose.size)
    other = Design(design.time[order], design.knockout[order], design.times, design.knocked)
    shuffled = Rows(counts.source[order])
    with settings.override(chunk_cells=17):
        again = doses_of(shuffled, as_it_is, other).dose
        second = sums_of(shuffled, as_it_is, other, again)
    np.testing.assert_allclose(again, dose[order], rtol=1e-9)
    first = sums_of(counts, as_it_is, design, dose)
    for name in ("n", "sx", "sxx", "se", "sxe", "see"):
        np.testing.assert_allclose(getattr(second, name), getattr(first, name), rtol=1e-9, atol=1e-9)


def test_cells_count_as_often_as_they_are_copied(cells: Any) -> None:
    counts, design, dose, _ = cells
    copies = drawn(design.stratum, np.random.default_rng(1))
    rows = np.repeat(np.arange(dose.size), copies)
    other = Design(design.time[rows], design.knockout[rows], design.times, design.knocked)
    found = sums_of(counts, as_it_is, design, dose, copies)
    expected = sums_of(Rows(counts.source[rows]), as_it_is, other, dose[rows])
    for name in ("n", "sx", "sxx", "se", "sxe", "see"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-9)
    np.testing.assert_array_equal(np.bincount(design.stratum, copies), np.bincount(design.stratum))


def test_cells_that_keep_their_gene_weigh_little() -> None:
    """Half of the cells with the label of a strong knock-out are controls in truth."""
    counts, design, _ = planted(n_cells=200)
    x = counts.to_memory().toarray()
    labelled = np.flatnonzero(design.knockout == 0)
    controls = np.flatnonzero(design.knockout == design.knocked.size)
    escaped = labelled[::2]
    x[escaped] = x[controls[: escaped.size]]
    weight = -doses_of(Rows(counts.source.__class__(x)), as_it_is, design).dose
    assert np.median(weight[labelled[1::2]]) > 2 * np.median(weight[escaped])
    assert (weight[controls] == 0).all()


def test_planted_effects_are_found_and_a_chain_is_no_direct_link(cells: Any) -> None:
    counts, design, dose, effect = cells
    terms = terms_of(sums_of(counts, as_it_is, design, dose))
    shape = Shape(penalty=1e-3, l1_ratio=1e-3, n_hops=3)
    found = fit(terms, shape).model.effect
    asked = np.zeros_like(effect, dtype=bool)
    asked[:, design.knocked] = True
    np.fill_diagonal(asked, val=False)
    true = asked & (effect != 0)
    assert (np.sign(found[true]) == np.sign(effect[true])).all()
    assert np.abs(found[true]).min() > 2 * np.abs(found[asked & (effect == 0)]).max()
    direct_only = fit(terms, Shape(penalty=1e-3, l1_ratio=1e-3, n_hops=1)).model.effect
    assert abs(found[2, 0]) < 0.5 * abs(direct_only[2, 0])
    assert (np.diag(found) == 0).all()


def test_every_start_ends_as_low() -> None:
    counts, design, _ = planted(seed=3)
    terms = terms_of(sums_of(counts, as_it_is, design, doses_of(counts, as_it_is, design).dose))
    first = fit(terms, SHAPE)
    model = random_model(3, 12, seed=5)
    np.fill_diagonal(model.effect, 0)
    assert fit(terms, SHAPE, model).loss == pytest.approx(first.loss, rel=0.01)


def test_r_squared_is_that_of_counted_values(cells: Any) -> None:
    counts, design, dose, _ = cells
    x = counts.to_memory().toarray().astype(np.float64)
    model = random_model(3, 12)
    counted = np.ones_like(x)
    lost = design.knockout < design.knocked.size
    gene = design.knocked[design.knockout[lost]]
    counted[np.flatnonzero(lost), gene] = 0
    change = changes(model, design.times, design.knocked, 2)
    predicted = model.level[design.time]
    predicted[lost] += dose[lost][:, None] * change[design.time[lost], design.knockout[lost]]
    expected = 1 - (counted * (x - predicted) ** 2).sum() / (counted * (x - x.mean(axis=0)) ** 2).sum()
    assert explained(model, sums_of(counts, as_it_is, design, dose), 2) == pytest.approx(expected, rel=1e-9)


def test_folds_keep_knock_outs_together(cells: Any) -> None:
    counts, design, dose, _ = cells
    fold = folds_of(sums_of(counts, as_it_is, design, dose), 3)
    assert (fold[:, :-1] == fold[0, :-1]).all()
    size = np.bincount(fold.ravel(), sums_of(counts, as_it_is, design, dose).n.ravel())
    assert size.max() <= 1.5 * size.min()


def test_the_search_changes_only_what_is_open_and_returns_the_best_first(cells: Any) -> None:
    counts, design, dose, _ = cells
    sums = sums_of(counts, as_it_is, design, dose)
    tried = search(sums, penalty=None, l1_ratio=0.01, n_hops=2, n_folds=3, n_jobs=1)
    assert {(t.shape.l1_ratio, t.shape.n_hops) for t in tried} == {(0.01, 2)}
    assert tried[0].r2 == max(t.r2 for t in tried)
    assert len(tried) > 2


def test_a_walk_ends_after_two_steps_that_do_not_help(cells: Any, monkeypatch: Any) -> None:
    from grnformer_sc.grn.systems.renge import search as module

    scores = iter([0.1, 0.3, 0.2, 0.3, 0.9])
    monkeypatch.setattr(module, "fit", lambda *_: type("F", (), {"model": None})())
    monkeypatch.setattr(module, "explained", lambda *_: next(scores))
    counts, design, dose, _ = cells
    sums = sums_of(counts, as_it_is, design, dose)
    folds = [module.Fold(terms_of(sums), sums)]
    assert [t.r2 for t in walk(folds, [SHAPE] * 5, 1)] == [0.1, 0.3, 0.2, 0.3]


class TestQValues:
    smooth = Shape(penalty=0.01, l1_ratio=0.0, n_hops=2)

    def errors(self, counts: Rows, design: Design, dose: np.ndarray, n: int, jobs: int = 1) -> tuple[Model, np.ndarray]:
        model = fit(terms_of(sums_of(counts, as_it_is, design, dose)), self.smooth).model
        options = {"n_bootstrap": n, "root": 3, "n_jobs": jobs}
        return model, bootstrap_errors(counts, as_it_is, design, dose, self.smooth, model.effect, **options)

    def test_planted_links_pass_and_few_others(self, cells: Any) -> None:
        counts, design, dose, effect = cells
        model, error = self.errors(counts, design, dose, 20)
        q = q_values(model.effect, error)
        true = effect[:, design.knocked] != 0
        assert (q[:, design.knocked][true] < 0.01).all()
        assert (q[:, design.knocked][~true] < 0.01).mean() < 0.15
        assert (np.diag(q) == 1).all()

    def test_links_of_genes_that_were_never_lost_are_called_and_false(self, cells: Any) -> None:
        """The penalty shares what reaches a gene over a lost one among all genes: steady, and no link."""
        counts, design, dose, effect = cells
        model, error = self.errors(counts, design, dose, 20)
        others = np.setdiff1d(np.arange(12), design.knocked)
        called = q_values(model.effect, error)[:, others] < 0.01
        assert called.sum() >= 4
        assert not (called & (effect[:, others] != 0)).any()

    def test_threads_play_no_part(self, cells: Any) -> None:
        counts, design, dose, _ = cells
        once, twice = (self.errors(counts, design, dose, 4, jobs)[1] for jobs in (1, 2))
        np.testing.assert_array_equal(once, twice)

    def test_without_effects_nothing_is_called(self) -> None:
        counts, design, _ = planted(strength=0.0)
        x = counts.to_memory().toarray()
        lost = design.knockout < design.knocked.size
        x[np.flatnonzero(lost), design.knocked[design.knockout[lost]]] += 2  # not even the knocked-out gene moves
        counts = Rows(counts.source.__class__(x))
        model, error = self.errors(counts, design, doses_of(counts, as_it_is, design).dose, 15)
        assert (q_values(model.effect, error) < 0.01).sum() <= 2


def test_a_stored_model_foretells_the_same(cells: Any) -> None:
    import pandas as pd

    model = random_model(3, 12)
    names = pd.Index([f"g{i:02}" for i in range(12)])
    predictor = Predictor(names, np.array([1.0, 2.0, 3.0]), model, 3, np.linspace(1, 2, 12))
    again = Predictor.from_uns(predictor.to_uns())
    np.testing.assert_array_equal(again.change("g04"), predictor.change("g04"))
    change = predictor.change("g04")
    expected = -predictor.baseline[4] * changes(model, predictor.times, np.array([4]), 3)[:, 0]
    others = np.arange(12) != 4
    np.testing.assert_allclose(change[:, others], expected[:, others])
    np.testing.assert_array_equal(change[:, 4], -predictor.baseline[4])
    np.testing.assert_array_equal(predictor.expression("g04"), model.level + change)
    np.testing.assert_array_equal(predictor.change("g04", times=np.array([2.0])), change[1:2])
