"""Changes travel along the links of a network: dense twins, limits of reach, and what must not matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import grnformer_sc as grs
from grnformer_sc._core.rows import Rows
from grnformer_sc.grn import response
from grnformer_sc.grn.response import Cells, Moments, linear_response, moments_of, ridge_coefficients
from grnformer_sc.grn.score import CellInput
from grnformer_sc.grn.simulate_ko import Perturbation, SimulationSettings, agreement, propagate, simulate
from grnformer_sc.grn.wiring import Wiring, steps_from

N_GENES, N_GROUPS = 12, 3
LINEAR = SimulationSettings(model="linear", n_steps=3, per_cell=True, root=0, n_jobs=1)
BOOSTED = replace(LINEAR, model="boosted", n_steps=2)


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch):
    monkeypatch.setitem(response.TREES, "max_iter", 30)


def wired(seed: int, n_links: int = 30) -> Wiring:
    """Random links with cycles among the first six genes."""
    rng = np.random.default_rng(seed)
    pair = np.unique(rng.integers(0, N_GENES, n_links) * N_GENES + rng.integers(0, 6, n_links))
    gene, tf = pair // N_GENES, pair % N_GENES
    keep = gene != tf
    holds = rng.random((keep.sum(), N_GROUPS)) < 0.7
    holds[~holds.any(axis=1), 0] = True
    return Wiring(tf[keep], gene[keep], holds, rng.choice([-1, 1], keep.sum()).astype(np.int8), N_GENES)


def measured(seed: int, n_cells: int = 150) -> CellInput:
    """Counts of cells in three groups of unequal size."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(n_cells, 3))
    rate = np.exp(hidden @ rng.normal(0, 0.6, (3, N_GENES)))
    counts = rng.poisson(rate).astype(np.float32)
    counts[:, -1] += 1  # no cell is empty
    codes = np.sort(rng.choice(N_GROUPS, n_cells, p=[0.6, 0.3, 0.1])).astype(np.int64)
    genes = pd.Index([f"g{i:02d}" for i in range(N_GENES)])
    counts = sp.csr_matrix(counts)
    return CellInput(Rows(counts), genes, codes, np.asarray(counts.sum(axis=1), float).ravel(), (counts.nnz, 0))


def expression(cells: CellInput) -> np.ndarray:
    counts = cells.counts.to_memory().toarray().astype(np.float64)
    return np.log1p(counts * (1e4 / counts.sum(axis=1, keepdims=True))).astype(np.float32).astype(np.float64)


def of(cells: CellInput) -> Cells:
    return Cells(cells.counts, cells.depth, cells.codes, N_GROUPS)


def dense_coefficients(cells: CellInput, wiring: Wiring, penalty: float, pooled: float) -> np.ndarray:
    """Least squares on rows: the cells of a group, all cells with a small weight, and one row per TF for the penalty."""
    x = expression(cells)
    for group in range(N_GROUPS):
        x[cells.codes == group] -= x[cells.codes == group].mean(axis=0)
    out = np.zeros((N_GROUPS, N_GENES, N_GENES))
    for group in range(N_GROUPS):
        weight = np.sqrt((cells.codes == group) + pooled / len(x))
        total = weight @ weight
        for gene in range(N_GENES):
            tfs = wiring.tf[(wiring.gene == gene) & wiring.holds[:, group]]
            if tfs.size:
                a, y = x[:, tfs] * weight[:, None], x[:, gene] * weight
                spread = np.sqrt((a**2).sum(axis=0) / total * penalty * total)
                a, y = np.r_[a, np.diag(spread)], np.r_[y, np.zeros(tfs.size)]
                out[group, tfs, gene] = np.linalg.lstsq(a, y)[0]
    return out


@pytest.mark.parametrize(("penalty", "pooled"), [(0.05, 100.0), (0.5, 1.0)])
def test_coefficients_are_those_of_weighted_least_squares(penalty, pooled):
    cells, wiring = measured(0), wired(1)
    found = ridge_coefficients(moments_of(of(cells), wiring), wiring, penalty=penalty, pooled_cells=pooled)
    twin = dense_coefficients(cells, wiring, penalty, pooled)
    np.testing.assert_allclose(found, twin[:, wiring.tf, wiring.gene], atol=1e-7)
    assert (found[~wiring.holds.T] == 0).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 50), n_steps=st.integers(1, 5))
def test_linear_changes_are_the_clamped_power_series_of_the_coefficients(seed, n_steps):
    cells, wiring = measured(seed), wired(seed + 1)
    fixed = np.unique(wiring.tf)[:2]
    moments = moments_of(of(cells), wiring)
    wide = np.full(N_GENES, np.inf)
    given_ = Perturbation(fixed, np.array([0.0, 3.0])[: fixed.size], -wide, wide, n_steps)
    twin = dense_coefficients(cells, wiring, response.PENALTY, response.POOLED_CELLS)
    for group in range(N_GROUPS):
        x = expression(cells)[cells.codes == group].mean(axis=0, keepdims=True)
        start = np.zeros_like(x)
        start[:, fixed] = given_.levels - x[:, fixed]
        step = twin[group].copy()
        step[:, fixed] = 0
        expected = sum(start @ np.linalg.matrix_power(step, k) for k in range(n_steps + 1))
        found = propagate(x, np.array([group]), given_, linear_response(moments, wiring))
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_knock_out_and_as_much_more_are_opposite_where_nothing_is_cut():
    cells, wiring = measured(0), wired(1)
    respond = linear_response(moments_of(of(cells), wiring), wiring)
    fixed, wide = np.unique(wiring.tf)[:1], np.full(N_GENES, np.inf)
    x = expression(cells)[:1]
    less, more = (
        propagate(x, np.array([0]), Perturbation(fixed, level, -wide, wide, 3), respond)
        for level in (x[0, fixed] * 0, 2 * x[0, fixed])
    )
    np.testing.assert_allclose(less, -more, atol=1e-12)
    assert (less != 0).sum() > 1


@pytest.mark.parametrize("chosen", [LINEAR, BOOSTED], ids=["linear", "boosted"])
@pytest.mark.parametrize("n_steps", [1, 2, 4])
def test_nothing_changes_beyond_the_steps_or_outside_the_group_of_a_link(chosen, n_steps):
    cells, wiring = measured(0, 400), wired(3, 14)
    start = np.unique(wiring.tf)[:1]
    found = simulate(cells, wiring, start, np.zeros(1), replace(chosen, n_steps=n_steps))
    for group in range(N_GROUPS):
        near = {int(start[0])}
        for _ in range(n_steps):
            links = zip(wiring.tf[wiring.holds[:, group]], wiring.gene[wiring.holds[:, group]], strict=True)
            near |= {int(gene) for tf, gene in links if int(tf) in near}
        reached = set(found.genes[found.step[:, group] >= 0].tolist())
        assert reached == near
        assert set(found.genes[found.change[:, group] != 0].tolist()) <= near
        of_group = found.cells[cells.codes == group]
        assert set(found.genes[np.unique(of_group.indices)].tolist()) <= near


def test_steps_are_shortest_ways():
    tf, gene = np.array([0, 1, 0, 2, 3]), np.array([1, 2, 3, 3, 4])
    holds = np.array([[1, 1], [1, 1], [0, 1], [1, 1], [1, 1]], dtype=bool)
    chain = Wiring(tf, gene, holds, np.ones(5, np.int8), 6)
    order = np.lexsort((tf, gene))
    chain = replace(chain, tf=tf[order], gene=gene[order], holds=holds[order])
    assert steps_from(chain, np.array([0]), 3).T.tolist() == [[0, 1, 2, 3, -1, -1], [0, 1, 2, 1, 2, -1]]


def test_a_tf_without_a_count_in_a_group_changes_exactly_nothing_there():
    cells, wiring = measured(0, 400), wired(1)
    place = np.unique(wiring.tf)[-1:]
    counts = cells.counts.to_memory().tolil()
    counts[np.flatnonzero(cells.codes == 1), int(place[0])] = 0
    cells = replace(cells, counts=Rows(sp.csr_matrix(counts)), depth=np.asarray(counts.sum(axis=1), float).ravel())
    for chosen in (LINEAR, BOOSTED):
        found = simulate(cells, wiring, place, np.zeros(1), chosen)
        assert (found.change[:, 1] == 0).all()
        assert (found.change[:, 0] != 0).sum() > 1
        assert found.cells[cells.codes == 1].nnz == 0


@pytest.mark.parametrize("chosen", [LINEAR, BOOSTED], ids=["linear", "boosted"])
def test_expression_plus_change_stays_inside_what_was_observed(chosen):
    cells, wiring = measured(0, 300), wired(1)
    x = expression(cells)
    for level in (0.0, np.inf):
        found = simulate(cells, wiring, np.unique(wiring.tf)[:1], np.array([level]), chosen)
        after = x[:, found.genes] + found.cells.toarray()
        assert (after >= x[:, found.genes].min(axis=0) - 1e-5).all()
        assert (after <= x[:, found.genes].max(axis=0) + 1e-5).all()


def test_the_mean_over_cells_is_the_change_of_the_group_where_nothing_is_cut(monkeypatch):
    cells, wiring = measured(0, 300), wired(1)
    monkeypatch.setattr(np, "clip", lambda x, low, high: x)
    found = simulate(cells, wiring, np.unique(wiring.tf)[:2], np.array([0.0, 2.0]), LINEAR)
    for group in range(N_GROUPS):
        mean = found.cells[cells.codes == group].mean(axis=0).A1
        np.testing.assert_allclose(mean, found.change[:, group], rtol=1e-5, atol=1e-6)


def test_the_change_of_a_group_is_the_mean_of_its_sampled_cells_with_trees():
    cells, wiring = measured(0, 300), wired(1)  # fewer cells than are sampled: all of them
    found = simulate(cells, wiring, np.unique(wiring.tf)[:1], np.zeros(1), BOOSTED)
    for group in range(N_GROUPS):
        mean = found.cells[cells.codes == group].mean(axis=0).A1
        np.testing.assert_allclose(mean, found.change[:, group], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("chosen", [LINEAR, BOOSTED], ids=["linear", "boosted"])
def test_blocks_and_threads_change_no_bit(chosen):
    cells, wiring = measured(0, 300), wired(1)
    levels = np.array([0.0, np.inf])

    def run(chunk, n_jobs):
        with grs.settings.override(chunk_cells=chunk):
            return simulate(cells, wiring, np.unique(wiring.tf)[:2], levels, replace(chosen, n_jobs=n_jobs))

    first = run(1024, 1)
    for chunk, n_jobs in ((50, 1), (64, 3)):
        again = run(chunk, n_jobs)
        assert again.change.tobytes() == first.change.tobytes()
        assert (again.cells != first.cells).nnz == 0


def test_trees_find_what_no_line_shows():
    rng = np.random.default_rng(0)
    tf = rng.integers(0, 3, 3000)
    target = rng.poisson(np.where(tf == 1, 8, 1))  # most where the TF is at its middle level
    counts = sp.csr_matrix(np.c_[tf, target, 100 - tf - target].astype(np.float32))
    genes = pd.Index(["TF", "target", "rest"])
    cells = CellInput(Rows(counts), genes, np.zeros(3000, np.int64), np.full(3000, 100.0), (counts.nnz, 0))
    wiring = Wiring(np.array([0]), np.array([1]), np.ones((1, 1), bool), np.ones(1, np.int8), 3)
    levels = 0.0, float(np.log1p(100)), np.inf

    def changes(chosen):
        return [simulate(cells, wiring, np.array([0]), np.array([level]), chosen).change[1, 0] for level in levels]

    low, middle, high = changes(BOOSTED)
    assert low < -0.2
    assert high < 0
    assert middle > 0.5
    low, middle, high = changes(LINEAR)
    assert (middle - low) * (high - middle) > 0


def test_small_groups_lean_on_the_others():
    gram = np.array([[[1000.0]], [[2.0]]])
    moments = Moments(
        np.array([1000, 2]), np.zeros((2, 2)), np.zeros(2), np.ones(2), np.array([0]), gram,
        np.array([[1000.0], [-2.0]]),
    )  # fmt: skip
    wiring = Wiring(np.array([0]), np.array([1]), np.ones((1, 2), bool), np.ones(1, np.int8), 2)
    large, small = ridge_coefficients(moments, wiring, penalty=0.0, pooled_cells=100.0)[:, 0]
    assert large > 0.99
    assert small > 0.9
    alone = ridge_coefficients(moments, wiring, penalty=0.0, pooled_cells=0.0)[:, 0]
    np.testing.assert_allclose(alone, [1, -1])


def test_agreement_counts_links_that_act_as_their_sign_says():
    wiring = Wiring(
        np.array([0, 0, 0]), np.array([1, 2, 3]), np.array([[1, 1], [1, 1], [1, 0]], bool),
        np.array([1, -1, 0], np.int8), 4,
    )  # fmt: skip
    change = np.array([[-1.0, -1.0], [-0.5, 0.2], [0.3, 0.0], [9.0, 9.0]])
    assert agreement(change, wiring, np.array([0])) == (2, 3)
