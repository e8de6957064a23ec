"""RiTINI: Granger's test, the equations, windows, training and recovery on a system whose links are known."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from scipy.stats import chi2
from torch_geometric.nn import GATConv

from grnformer_sc._core.rows import Rows
from grnformer_sc.grn.systems.ritini.granger import granger
from grnformer_sc.grn.systems.ritini.model import DIM, STEP, Dropout, Pairs, RitiniNet, integrate
from grnformer_sc.grn.systems.ritini.network import edges_of
from grnformer_sc.grn.systems.ritini.options import AHEAD, HISTORY, RitiniOptions
from grnformer_sc.grn.systems.ritini.predict import Predictor
from grnformer_sc.grn.systems.ritini.series import Series, bins_of, points_of, windows
from grnformer_sc.grn.systems.ritini.training import Graph, Trained, Training, train
from grnformer_sc.metrics import average_precision

made = runpy.run_path(str(Path(__file__).parent / "_ritini.py"))
planted, switching = made["planted"], made["switching"]


class TestGranger:
    def test_statistic_and_p_are_those_of_two_regressions(self) -> None:
        """As statsmodels has it for lag 1: chi2 = n (RSS_0 - RSS_1) / RSS_1 with n = points - 1, constants in both."""
        x = np.random.default_rng(0).normal(size=(30, 4)).cumsum(axis=0)
        found = granger(x)
        for source in range(4):
            for target in range(4):
                if source == target:
                    continue
                now, own, other = x[1:, target], x[:-1, target], x[:-1, source]
                small = np.column_stack([np.ones(29), own])
                large = np.column_stack([small, other])
                rss = [float(np.linalg.lstsq(part, now, rcond=None)[1][0]) for part in (small, large)]
                expected = 29 * (rss[0] - rss[1]) / rss[1]
                assert found.statistic[source, target] == pytest.approx(expected, rel=1e-8)
                assert found.surprise[source, target] == pytest.approx(-np.log(chi2.sf(expected, 1)), rel=1e-8)
                effect = np.linalg.lstsq(large, now, rcond=None)[0][2]
                assert np.sign(found.correlation[source, target]) == np.sign(effect)

    def test_a_gene_says_nothing_of_itself_and_nothing_is_said_by_one_that_never_changes(self) -> None:
        x = np.random.default_rng(1).normal(size=(20, 3))
        x[:, 1] = 2.0
        x = np.column_stack([x, 3 * x[:, 0] - 1])
        found = granger(x)
        assert (np.diag(found.statistic) == 0).all()
        for part in (found.statistic, found.surprise, found.correlation):
            assert np.isfinite(part).all()
            assert (part[1] == 0).all()
            assert (part[:, 1] == 0).all()
            assert part[0, 3] == part[3, 0] == 0  # the same course but for its unit

    def test_links_of_a_noisy_chain_stand_out_and_p_is_uniform_without_any(self) -> None:
        rng = np.random.default_rng(2)
        x = rng.normal(size=(400, 30))
        p = np.exp(-granger(x).surprise)[~np.eye(30, dtype=bool)]
        assert 0.035 < (p < 0.05).mean() < 0.065
        x[1:, 1] += x[:-1, 0]
        assert granger(x).surprise[0, 1] > 30 > granger(x).surprise[1, 0]

    def test_surprise_has_no_largest_value(self) -> None:
        x = np.random.default_rng(3).normal(size=(3000, 2))
        x[1:, 1] = x[:-1, 0] + 1e-3 * x[1:, 1]
        assert 1000 < granger(x).surprise[0, 1] < np.inf


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def random_graph(n: int, seed: int = 0) -> torch.Tensor:
    candidates = torch.rand(n, n, generator=torch.Generator().manual_seed(seed)) < 0.4
    candidates[:, 0] = False  # a gene that nothing can act on
    return candidates & ~torch.eye(n, dtype=torch.bool)


class TestEquations:
    def test_attention_is_that_of_a_graph_attention_layer(self) -> None:
        candidates, layer = random_graph(7), RitiniNet.drawn(1).graph_ode.func.gnn
        torch.nn.init.normal_(layer.bias, generator=torch.Generator().manual_seed(0))
        peer = GATConv(DIM, DIM, heads=1, add_self_loops=False, negative_slope=0.2)
        peer.load_state_dict(layer.state_dict())
        z = noise(3, 7, DIM)
        edges = candidates.nonzero().T
        with torch.no_grad():
            found, attention = layer(z, layer.lay(candidates, torch.zeros(3)))
            for window in range(3):
                expected, (_, weight) = peer(z[window], edges, return_attention_weights=True)
                torch.testing.assert_close(found[window], expected)
                torch.testing.assert_close(attention[window].T[candidates], weight[:, 0])

    def test_steps_are_of_fourth_order(self) -> None:
        """The state that nothing drives falls as exp(-a t): an error of (a h)^5 / 120 for each step."""
        rate = 3.0
        states, _ = integrate(lambda z: (-rate * z, z), torch.ones(1, 1, 1, dtype=torch.float64))
        exact = torch.exp(-rate * STEP * torch.arange(4, dtype=torch.float64))
        error = (states.ravel() - exact).abs()
        assert error[0] == 0
        assert error[1] == pytest.approx((rate * STEP) ** 5 / 120, rel=0.1)

    def test_every_window_by_itself_gives_the_same(self) -> None:
        net, candidates = RitiniNet.drawn(2, Pairs(6, 3)).eval(), random_graph(6)
        history, place = noise(5, HISTORY, 6), torch.linspace(0, 1, 5)
        with torch.no_grad():
            together = net(history, candidates, place)
            for k in range(5):
                alone = net(history[k : k + 1], candidates, place[k : k + 1])
                torch.testing.assert_close(alone.values[0], together.values[k])
                torch.testing.assert_close(alone.attention[0], together.attention[k])

    @pytest.mark.parametrize("pairs", [None, Pairs(6, 3)])
    def test_genes_may_come_in_any_order(self, pairs: Pairs | None) -> None:
        net, candidates, order = RitiniNet.drawn(3, pairs), random_graph(6), torch.tensor([3, 1, 5, 0, 4, 2])
        history, place = noise(4, HISTORY, 6), torch.linspace(0, 1, 4)
        with torch.no_grad():
            found = net(history, candidates, place)
            if pairs is not None:
                layer = net.graph_ode.func
                for name in ("odds", "effect"):
                    weight = getattr(layer.gnn, name)
                    weight.copy_(weight[..., order, :][..., order].clone())
                layer.own.copy_(layer.own[order].clone())
            again = net(history[..., order], candidates[order][:, order], place)
        torch.testing.assert_close(again.values, found.values[..., order])
        torch.testing.assert_close(again.attention, found.attention[:, order][:, :, order])

    def test_attention_sums_to_one_where_a_gene_has_candidates_and_is_zero_elsewhere(self) -> None:
        candidates = random_graph(6)
        with torch.no_grad():
            found = RitiniNet.drawn(4)(noise(2, HISTORY, 6), candidates, torch.zeros(2))
        torch.testing.assert_close(found.attention.sum(dim=1), candidates.any(dim=0).float().expand(2, 6))
        assert (found.attention[:, ~candidates] == 0).all()

    def test_in_the_published_form_all_targets_rank_their_sources_alike(self) -> None:
        """Log odds are a rising function of a value of the source plus one of the target, whatever the weights."""
        everyone = ~torch.eye(8, dtype=torch.bool)
        history = 3 * noise(4, HISTORY, 8)
        for pairs, alike in ((None, True), (Pairs(8, 1), False)):
            net = RitiniNet.drawn(5, pairs)
            if pairs is not None:
                torch.nn.init.normal_(net.graph_ode.func.gnn.odds, generator=torch.Generator().manual_seed(0))
            with torch.no_grad():
                attention = net(history, everyone, torch.zeros(4)).attention
            first, second = attention[:, 2:, 0], attention[:, 2:, 1]  # sources that both targets have
            assert bool((first.argsort(dim=1) == second.argsort(dim=1)).all()) == alike

    def test_dropout_keeps_the_mean_and_draws_from_its_own_generator(self) -> None:
        state = torch.get_rng_state()
        x = Dropout(0.1, torch.Generator().manual_seed(0)).masks(100, 100)
        np.testing.assert_allclose(x.unique().numpy(), [0, 1 / 0.9], rtol=1e-6)
        assert x.mean() == pytest.approx(1, abs=0.02)
        RitiniNet.drawn(0)
        assert torch.equal(torch.get_rng_state(), state)


class TestSeries:
    def test_bins_hold_equal_numbers_and_never_part_equal_times(self) -> None:
        time = np.random.default_rng(0).permutation(100).astype(float)
        bins = bins_of(time, 20)
        assert (np.bincount(bins) == 5).all()
        assert (np.diff(bins[np.argsort(time)]) >= 0).all()
        tied = np.repeat([3.0, 1.0, 2.0], [50, 10, 40])
        assert bins_of(tied, 20).tolist() == [2] * 50 + [0] * 10 + [1] * 40

    def test_points_are_means_of_log_expression_weighted_by_a_kernel(self) -> None:
        rng = np.random.default_rng(1)
        x, time = rng.poisson(2.0, (60, 4)).astype(np.float32) + 1, rng.uniform(size=60)
        bins = bins_of(time, 12)
        times, raw = points_of(Rows(sp.csr_matrix(x)), time, bins, smooth=0.0, normalize=True)
        log = np.log1p(x / x.sum(axis=1, keepdims=True) * 1e4)
        np.testing.assert_allclose(raw, [log[bins == k].mean(axis=0) for k in range(12)], rtol=1e-5)
        np.testing.assert_allclose(times, [time[bins == k].mean() for k in range(12)])
        _, smooth = points_of(Rows(sp.csr_matrix(x)), time, bins, smooth=1.5, normalize=True)
        weight = np.exp(-0.5 * ((np.arange(12) - 4) / 1.5) ** 2)
        np.testing.assert_allclose(smooth[4], weight @ raw / weight.sum(), rtol=1e-5)

    def test_every_window_is_a_history_and_what_follows_it(self) -> None:
        x = np.arange(60, dtype=np.float32).reshape(20, 3)
        history, ahead = windows(x)
        assert len(history) == 20 - HISTORY - AHEAD + 1
        for k in (0, 7, 11):
            np.testing.assert_array_equal(history[k], x[k : k + HISTORY])
            np.testing.assert_array_equal(ahead[k], x[k + HISTORY : k + HISTORY + AHEAD])


class TestLinks:
    def test_lift_is_attention_over_equal_parts_and_signs_are_those_of_the_correlation(self) -> None:
        genes = pd.Index(["a", "b", "c"])
        attention = np.zeros((2, 3, 3), dtype=np.float32)
        attention[:, 0, 2], attention[:, 1, 2], attention[:, 0, 1] = [0.8, 0.6], [0.2, 0.4], 1
        candidates, rho = attention[0] > 0, np.array([[0, 0.5, -0.2], [0, 0, 0.1], [0, 0, 0]])
        told: dict[str, Any] = {"time_key": "t", "threshold": 0.3}
        table = edges_of(attention, candidates, rho, genes, RitiniOptions(**told), evidence="prior").set_index(
            ["tf", "gene"]
        )
        np.testing.assert_allclose(table["tf_gene_importance"], [1.0, 1.4, 0.6], rtol=1e-6)  # a-b (act), a-c (rep), b-c
        assert table["sign"].tolist() == [1, -1, 1]
        np.testing.assert_allclose(table["tf_gene_rho"], [0.5, -0.2, 0.1], rtol=1e-6)
        plain = edges_of(
            attention, candidates, rho, genes, RitiniOptions(**told, rank="attention", top=1), evidence="none"
        )
        assert plain[["tf", "gene"]].astype(str).to_numpy().tolist() == [["a", "b"]]
        strict = edges_of(
            attention, candidates, rho, genes, RitiniOptions(**told | {"threshold": 0.31}), evidence="none"
        )
        assert len(strict) == 2


def test_planted_links_are_ranked_above_their_noisy_prior() -> None:
    system = planted(2, n_drivers=3, n_targets=6, n_points=70)
    values = Series.of(np.arange(70.0), system.values).standard
    settings = Training(epochs=80, batch_size=31, lr=0.01)
    graph = Graph(system.prior, system.prior)
    attention = train(RitiniNet.drawn(2, Pairs(9, 3)), values, graph, settings, root=2).attention
    lift = attention.mean(axis=0) * system.prior.sum(axis=0)
    off = ~np.eye(9, dtype=bool)
    prior = average_precision(system.truth[off], system.prior[off].astype(float))
    assert average_precision(system.truth[off], lift[off]) > 1.2 * prior


@pytest.fixture(scope="module")
def switched() -> tuple[Trained, Series, Graph]:
    """A model of pairs, fitted to targets of which two exchange their driver half-way."""
    x, _ = switching()
    graph = np.zeros((6, 6), dtype=bool)
    graph[:2, 2:] = True
    series = Series.of(np.arange(100.0), x)
    settings = Training(epochs=80, batch_size=46, lr=0.02)
    return (
        train(RitiniNet.drawn(0, Pairs(6, 3)), series.standard, Graph(graph, graph), settings, root=0),
        series,
        Graph(graph, graph),
    )


class TestSwitch:
    def test_attention_moves_when_the_driver_changes(self, switched: tuple[Trained, Series, Graph]) -> None:
        """One system; how often it does so on others stands in benchmarks/bench_ritini.py."""
        attention = switched[0].attention
        move = attention[55:, 0, 2:].mean(axis=0) - attention[:35, 0, 2:].mean(axis=0)
        assert move[0] < -0.4  # from driver 0 to 1
        assert move[1] > 0.2  # and back
        assert move[0] == move.min()

    def test_in_the_published_form_targets_with_equal_candidates_move_together(self) -> None:
        x, _ = switching()
        graph = np.zeros((6, 6), dtype=bool)
        graph[:2, 2:] = True
        settings = Training(epochs=3, batch_size=46, lr=0.01)
        values = Series.of(np.arange(100.0), x).standard
        attention = train(RitiniNet.drawn(0), values, Graph(graph, graph), settings, root=0).attention
        first = attention[:, 0, 2:] > attention[:, 1, 2:]
        assert (first == first[:, :1]).all()

    def test_holding_a_driver_pulls_its_targets_by_their_sign(self, switched: tuple[Trained, Series, Graph]) -> None:
        trained, series, graph = switched
        genes = pd.Index([f"g{k}" for k in range(6)])
        model = Predictor.of(trained.net, series, genes, graph.candidates)
        high = model.change({"g0": np.inf}) - model.change({"g0": float(series.values[:, 0].min())})
        np.testing.assert_allclose(high[:, 0], np.ptp(series.values[:, 0]))
        early, late = high[:35].mean(axis=0), high[55:].mean(axis=0)
        assert early[2] > 0.1  # a target of g0, then no more
        assert abs(late[2]) < early[2] / 2
        assert late[3] < -0.1  # a target in the second half, which g0 represses
        assert min(early[4], late[4]) > 0.1
        assert (high[:, 1] == 0).all()  # nothing acts on a driver
        again = Predictor.from_uns(model.to_uns())
        np.testing.assert_array_equal(again.change({"g0": 0.0}, ["g1"]), model.change({"g0": 0.0}, ["g1"]))

    def test_a_gene_without_its_links_moves_what_hears_of_it_and_not_itself(
        self, switched: tuple[Trained, Series, Graph]
    ) -> None:
        trained, series, graph = switched
        model = Predictor.of(trained.net, series, pd.Index([f"g{k}" for k in range(6)]), graph.candidates)
        change = np.abs(model.change({}, ["g0"])).mean(axis=0)
        assert (change[:2] == 0).all()
        assert (change[2:] > 0.01).all()

    def test_a_run_is_repeated_to_the_bit(self) -> None:
        x, _ = switching(n_points=30)
        graph = Graph(*[np.triu(np.ones((6, 6), dtype=bool), 1)] * 2)
        settings = Training(epochs=2, batch_size=8, lr=0.01)
        values = Series.of(np.arange(30.0), x).standard
        first, again = (train(RitiniNet.drawn(1), values, graph, settings, root=3) for _ in range(2))
        np.testing.assert_array_equal(first.attention, again.attention)
        assert first.losses == again.losses
        other = train(RitiniNet.drawn(1), values, graph, settings, root=4)
        assert first.losses != other.losses
