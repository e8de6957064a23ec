"""FLeCS: equations, pairings, training and forecasts on cells whose links are known."""

from __future__ import annotations

import logging
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

import grnformer_sc as grs
from grnformer_sc._core.rows import Rows
from grnformer_sc.grn.systems.flecs.model import Links, Parameters, Wired, integrate, slope_of
from grnformer_sc.grn.systems.flecs.predict import Predictor
from grnformer_sc.grn.systems.flecs.training import Training, batches_of, mean_of_time, no_change, train
from grnformer_sc.grn.systems.flecs.trajectories import Design, chains, drawn, matched, unit_times

planted = runpy.run_path(str(Path(__file__).parent / "_flecs.py"))["planted"]
SETTINGS = Training(lr=0.05, lr_drop=0.1, max_step=0.5)


def start_of(links: Links, seed: int = 1) -> Parameters:
    return Parameters.drawn(links, np.random.default_rng(seed))


def epochs(n: int, number: int) -> list[Any]:
    return list(batches_of(np.arange(n), 100, number, root=0))


def predictor(links: Links, weight: Any, **changed: Any) -> Predictor:
    """A model of one cell in which every gene begins at 1."""
    n = links.n_genes
    one = Parameters(np.asarray(weight, np.float32), np.zeros(n, np.float32), np.full(n, 0.5, np.float32))
    genes = pd.Index([f"G{number}" for number in range(n)])
    fields = {
        "since": 0.0,
        "max_step": 0.25,
        "start": np.ones((1, n), np.float32),
        "highest": np.full(n, 5, np.float32),
    }
    return Predictor(genes, np.array([0.0, 1.0, 3.0]), links, one, **{**fields, **changed})


@pytest.fixture(scope="module")
def fitted() -> tuple[Any, Any, Any]:
    """Planted cells, their measured trajectories, and what the training made of them."""
    made = planted()
    paths = made.paths()
    return made, paths, train(made.links, start_of(made.links), paths, epochs(300, 80), SETTINGS)


class TestEquations:
    @pytest.mark.parametrize("n_genes", [5, 30])
    def test_the_slope_is_sigmoid_of_inputs_minus_decay(self, n_genes: int) -> None:
        made = planted(n_genes=n_genes, n_paths=7)
        p, x = made.truth, made.states[:, 0]
        matrix = np.zeros((n_genes, n_genes))
        matrix[made.links.source, made.links.target] = p.weight
        expected = 1 / (1 + np.exp(-(x @ matrix + p.bias))) - p.alpha * x
        found = slope_of(Wired(made.links), *p.tensors())(torch.from_numpy(x))
        np.testing.assert_allclose(found.numpy(), expected, atol=2e-6)

    def test_going_along_links_is_the_dense_product_and_so_are_its_gradients(self) -> None:
        made = planted(n_genes=30, n_paths=7)
        found = []
        for dense in (True, False):
            weight, bias, alpha = (x.double().requires_grad_() for x in made.truth.tensors())
            x = torch.from_numpy(made.states[:, 0]).double().requires_grad_()
            end = integrate(slope_of(Wired(made.links, dense=dense), weight, bias, alpha), x, made.times, 0.5)
            torch.autograd.backward((end**2).sum())
            found.append([end.detach(), *(part.grad for part in (weight, bias, alpha, x))])
        for one, other in zip(*found, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)

    def test_without_links_a_gene_relaxes_exponentially(self) -> None:
        links = Links(np.array([0]), np.array([1]), 2)
        p = Parameters(np.zeros(1, np.float32), np.array([0.3, -1], np.float32), np.array([0.2, 0.7], np.float32))
        times = np.array([0.0, 0.5, 2.0])
        x = torch.tensor([[0.0, 4.0]])
        found = integrate(slope_of(Wired(links), *p.tensors()), x, times, 0.1)[0].numpy()
        rest = 1 / (1 + np.exp(-p.bias)) / p.alpha
        np.testing.assert_allclose(found, rest + (x.numpy() - rest) * np.exp(-p.alpha * times[:, None]), rtol=1e-5)

    @settings(max_examples=25, deadline=None)
    @given(st.integers(0, 1000))
    def test_states_stay_between_0_and_what_decay_allows(self, seed: int) -> None:
        made = planted(seed, n_paths=20, n_times=6)
        assert (made.states >= 0).all()
        limit = np.maximum(made.states[:, 0], 1 / made.truth.alpha)
        assert (made.states <= limit[:, None] * (1 + 1e-5)).all()

    def test_symmetrizing_adds_each_reverse_once(self) -> None:
        both = Links(np.array([0, 1, 2]), np.array([1, 0, 2]), 4).symmetrized()
        assert list(zip(both.source, both.target, strict=True)) == [(0, 1), (1, 0), (2, 2)]
        both = Links(np.array([3]), np.array([1]), 4).symmetrized()
        assert list(zip(both.source, both.target, strict=True)) == [(1, 3), (3, 1)]


class TestPairs:
    @pytest.mark.parametrize("seed", range(3))
    def test_equal_numbers_are_paired_as_by_exact_transport(self, seed: int) -> None:
        ot = pytest.importorskip("ot", reason="POT is not installed")
        rng = np.random.default_rng(seed)
        before, after = rng.normal(size=(60, 5)), rng.normal(0.5, 1, size=(60, 5))
        plan = ot.emd(np.full(60, 1 / 60), np.full(60, 1 / 60), cdist(before, after, "sqeuclidean"))
        np.testing.assert_array_equal(matched(before, after), plan.argmax(axis=1))
        assert (plan > 0).sum() == 60

    @pytest.mark.parametrize(("n_before", "n_after", "n"), [(20, 30, 60), (45, 30, 90), (10, 40, 40)])
    def test_cells_used_several_times_are_the_plan_of_unequal_numbers(
        self, n_before: int, n_after: int, n: int
    ) -> None:
        """With a common multiple of both numbers each cell has exactly its mass, and the plan is that of ot.emd."""
        ot = pytest.importorskip("ot", reason="POT is not installed")
        rng = np.random.default_rng(n)
        before, after = rng.normal(size=(n_before, 4)), rng.normal(size=(n_after, 4))
        cost = cdist(before, after, "sqeuclidean")
        plan = ot.emd(np.full(n_before, 1 / n_before), np.full(n_after, 1 / n_after), cost)
        rows, columns = drawn(np.arange(n_before), n, rng), drawn(np.arange(n_after), n, rng)
        found = np.zeros_like(plan)
        np.add.at(found, (rows, columns[matched(before[rows], after[columns])]), 1 / n)
        np.testing.assert_allclose(found, plan, atol=1e-12)

    @pytest.mark.parametrize(("n_before", "n_after"), [(50, 70), (23, 64)])
    def test_other_numbers_are_exact_for_the_masses_that_were_drawn(self, n_before: int, n_after: int) -> None:
        ot = pytest.importorskip("ot", reason="POT is not installed")
        rng = np.random.default_rng(0)
        before, after = rng.normal(size=(n_before, 4)), rng.normal(size=(n_after, 4))
        rows, columns = drawn(np.arange(n_before), 64, rng), drawn(np.arange(n_after), 64, rng)
        mass = [np.bincount(x, minlength=n) / 64 for x, n in ((rows, n_before), (columns, n_after))]
        cost = cdist(before, after, "sqeuclidean")
        own = cost[rows, columns[matched(before[rows], after[columns])]].mean()
        assert own == pytest.approx(ot.emd2(*mass, cost), rel=1e-9)

    @settings(max_examples=50, deadline=None)
    @given(st.integers(1, 30), st.integers(1, 80))
    def test_no_cell_is_drawn_more_than_once_oftener_than_another(self, n_cells: int, n: int) -> None:
        count = np.bincount(drawn(np.arange(n_cells), n, np.random.default_rng(0)), minlength=n_cells)
        assert count.sum() == n
        assert count.max() - count.min() <= 1


def two_lineages(n: int = 40) -> tuple[Rows, Design, np.ndarray]:
    """Counts of cells in two lineages whose numbers change from time to time, and the lineage of each."""
    rng = np.random.default_rng(0)
    size = [(n, n), (2 * n, 2 * n), (n // 2, n // 2)]
    time = np.concatenate([np.full(sum(pair), number) for number, pair in enumerate(size)])
    lineage = np.concatenate([np.repeat([0, 1], pair) for pair in size])
    rate = np.full((time.size, 20), 5.0)
    rate[:, :8] += 40 * (lineage == 0)[:, None]
    rate[:, 8:16] += 40 * (lineage == 1)[:, None]
    rate[:, 16:] += 20 * time[:, None]
    counts = Rows(sp.csr_matrix(rng.poisson(rate).astype(np.float32)))
    design = Design(time, np.zeros(time.size, dtype=np.int64), np.arange(3.0), ("all",), np.array([-1]))
    return counts, design, lineage


class TestTrajectories:
    def test_they_keep_to_their_lineage_and_use_all_cells(self) -> None:
        counts, design, lineage = two_lineages()
        cells, label = chains(counts, design, n_trajectories=500, n_comps=5, root=0, n_jobs=1)
        assert cells.shape == (160, 3)
        assert (label == 0).all()
        np.testing.assert_array_equal(design.time[cells], np.tile([0, 1, 2], (160, 1)))
        np.testing.assert_array_equal(np.unique(cells), np.arange(design.time.size))
        assert (lineage[cells] == lineage[cells[:, :1]]).all()

    def test_threads_play_no_part_and_the_seed_does(self) -> None:
        counts, design, _ = two_lineages()
        label = np.arange(design.time.size) % 2
        two = replace(design, label=label, names=("A", "control"), lost=np.array([3, -1]))
        options = {"n_trajectories": 30, "n_comps": 5}
        found = [chains(counts, two, root=0, n_jobs=jobs, **options) for jobs in (1, 2)]
        for one, other in zip(*found, strict=True):
            np.testing.assert_array_equal(one, other)
        assert (label[found[0][0]] == found[0][1][:, None]).all()
        assert not np.array_equal(chains(counts, two, root=1, n_jobs=1, **options)[0], found[0][0])

    def test_a_label_without_cells_at_a_time_passes_over_it(self) -> None:
        counts, design, _ = two_lineages()
        label = np.where((design.time != 1) & (np.arange(design.time.size) % 2 == 0), 0, 1)
        two = replace(design, label=label, names=("A", "control"), lost=np.array([3, -1]))
        cells, of = chains(counts, two, n_trajectories=30, n_comps=5, root=0, n_jobs=1)
        assert (cells[of == 0, 1] == -1).all()
        assert (cells[:, [0, 2]] >= 0).all()
        assert (cells[of == 1] >= 0).all()

    def test_what_memory_does_not_hold_is_not_paired(self, caplog: pytest.LogCaptureFixture) -> None:
        counts, design, _ = two_lineages()
        with grs.settings.override(max_memory="10KB"), caplog.at_level(logging.INFO):
            cells, _ = chains(counts, design, n_trajectories=500, n_comps=5, root=0, n_jobs=1)
        assert len(cells) == 25  # 16 bytes for a pair
        assert (
            "75 of 280 cells drawn for trajectories (n_trajectories=500, cut to 25 by settings.max_memory)"
            in caplog.text
        )

    def test_times_are_in_units_of_the_mean_gap(self) -> None:
        np.testing.assert_allclose(unit_times(np.array([10.0, 11, 14])), [0, 0.5, 2])


class TestTraining:
    def test_planted_weights_are_found(self, fitted: tuple[Any, Any, Any]) -> None:
        made, paths, trained = fitted
        weight, truth = trained.parameters.weight, made.truth.weight
        x = paths.expression.toarray()
        prior = np.corrcoef(x.T)[made.links.source, made.links.target]
        found, by_prior = (float(np.corrcoef(each, truth)[0, 1]) for each in (weight, prior))
        assert found > 0.92
        assert found > by_prior + 0.2
        np.testing.assert_allclose(trained.parameters.alpha, made.truth.alpha, atol=0.1)
        assert trained.losses[-1] < 0.1 * no_change(paths, [np.arange(300)])

    def test_cells_without_a_gene_say_nothing_of_its_weights(self) -> None:
        made = planted(knockouts=(2,))
        paths = replace(made.paths(), lost=np.full(300, 2))
        start = start_of(made.links)
        trained = train(made.links, start, paths, epochs(300, 2), SETTINGS).parameters
        out, into = made.links.source == 2, made.links.target == 2
        np.testing.assert_array_equal(trained.weight[out | into], start.weight[out | into])
        assert (trained.weight[~out & ~into] != start.weight[~out & ~into]).all()

    def test_knock_outs_help_to_find_the_links_of_their_gene(self) -> None:
        made = planted(1, knockouts=(0, 1, 2))
        trained = train(made.links, start_of(made.links), made.paths(), epochs(300, 40), SETTINGS)
        own = np.isin(made.links.source, [0, 1, 2])
        assert np.corrcoef(trained.parameters.weight[own], made.truth.weight[own])[0, 1] > 0.9

    def test_times_without_cells_do_not_count(self) -> None:
        made = planted(n_paths=40)
        paths = made.paths()
        cells = paths.cells.copy()
        cells[:20, 2] = -1
        other = replace(paths, cells=cells)
        rows = [[np.arange(20)]]
        short = replace(paths, cells=cells[:, [0, 1, 3]], times=paths.times[[0, 1, 3]])
        one, two = (train(made.links, start_of(made.links), each, rows, SETTINGS) for each in (other, short))
        np.testing.assert_allclose(one.parameters.weight, two.parameters.weight, atol=1e-6)
        assert no_change(other, rows[0]) == pytest.approx(no_change(short, rows[0]))

    def test_the_mean_of_the_time_is_that_of_other_trajectories(self) -> None:
        paths = planted(n_paths=40).paths()
        seen, rows = paths.states(np.arange(40)), np.arange(10, 40)
        square = (seen[:10, 1:] - seen[10:, 1:].mean(axis=0)) ** 2
        assert mean_of_time(paths, rows, [np.arange(10)]) == pytest.approx(square.sum() / seen[:10].size, rel=1e-5)

    def test_decay_never_becomes_negative(self) -> None:
        made = planted(n_paths=50)
        rising = replace(made, states=made.states + 3 * made.times[None, :, None])
        trained = train(made.links, start_of(made.links), rising.paths(), epochs(50, 30), SETTINGS)
        assert trained.parameters.alpha.min() == 0

    def test_a_loss_that_is_no_number_is_an_error(self) -> None:
        made = planted(n_paths=50)
        with pytest.raises(FloatingPointError, match=r"finite number\. Found: (nan|inf) in epoch 1.*smaller lr"):
            train(made.links, start_of(made.links), made.paths(), epochs(50, 3), Training(lr=1e20, max_step=0.5))

    def test_the_bits_are_the_same_with_more_threads(self) -> None:
        made = planted(n_paths=50)
        before = torch.get_num_threads()
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(train(made.links, start_of(made.links), made.paths(), epochs(50, 2), SETTINGS).parameters)
            assert torch.get_num_threads() == threads
        torch.set_num_threads(before)
        for name in ("weight", "bias", "alpha"):
            np.testing.assert_array_equal(getattr(found[0], name), getattr(found[1], name))


class TestForecasts:
    chain = Links(np.array([0, 1, 3]), np.array([1, 2, 4]), 5)  # 0 -> 1 -| 2, and apart from these 3 -> 4

    def test_signs_follow_the_links(self) -> None:
        change = predictor(self.chain, [1, -1, 1]).change({"G0": 0.0})
        assert (change[:, 0] < 0).all()
        assert (change[1:, 1] < 0).all()
        assert (change[1:, 2] > 0).all()
        assert (change[0, 1:] == 0).all()
        more = predictor(self.chain, [1, -1, 1]).change({"G0": 4.0})
        assert (more[1:, 1] > 0).all()
        assert (more[1:, 2] < 0).all()

    def test_genes_that_no_link_reaches_do_not_change_by_a_bit(self) -> None:
        change = predictor(self.chain, [1, -1, 1]).change({"G0": 0.0})
        assert (change[:, 3:] == 0).all()

    def test_a_held_gene_stays_at_its_level_or_the_highest_seen(self) -> None:
        model = predictor(self.chain, [1, -1, 1])
        found = model.expression({"G0": 0.5, "G3": np.inf})
        np.testing.assert_array_equal(found[:, 0], 0.5)
        np.testing.assert_array_equal(found[:, 3], 5)

    @settings(max_examples=25, deadline=None)
    @given(st.integers(0, 1000), st.floats(0, 3), st.floats(0, 3))
    def test_among_activators_a_higher_level_lowers_nothing(self, seed: int, one: float, other: float) -> None:
        links = planted(seed).links
        rng = np.random.default_rng(seed)
        model = predictor(links, rng.uniform(0, 2, links.source.size))
        low, high = (model.expression({"G0": level}) for level in sorted((one, other)))
        assert (high - low >= -1e-5).all()

    def test_a_gene_lost_before_the_first_time_has_acted_by_then(self) -> None:
        at_once = predictor(self.chain, [1, -1, 1]).change({"G0": 0.0})
        earlier = predictor(self.chain, [1, -1, 1], since=-2.0).change({"G0": 0.0})
        assert at_once[0, 1] == 0
        assert earlier[0, 1] < 0
        assert earlier.shape == at_once.shape

    def test_it_is_the_same_after_going_through_arrays(self) -> None:
        model = predictor(self.chain, [1, -1, 1], since=-1.0)
        again = Predictor.from_uns(model.to_uns())
        np.testing.assert_array_equal(again.change({"G0": 0.0}), model.change({"G0": 0.0}))

    def test_a_trained_model_foretells_a_gene_that_was_never_lost(self, fitted: tuple[Any, Any, Any]) -> None:
        made, _, trained = fitted
        names = pd.Index([f"G{number}" for number in range(12)])
        start = made.states[:, 0]
        changes = [
            Predictor(names, made.times, made.links, p, start, start.max(axis=0), 0.0, 0.25).change({"G3": 0.0})[-1]
            for p in (made.truth, trained.parameters)
        ]
        others = names != "G3"
        assert np.abs(changes[0][others]).max() > 0.2
        assert np.corrcoef(changes[0][others], changes[1][others])[0, 1] > 0.95
