"""RiTINI: Granger's test, the equations, windows, training and recovery on a system whose links are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chi2
from torch_geometric.nn import GATConv

from grnformer_sc.grn.systems.ritini.granger import granger
from grnformer_sc.grn.systems.ritini.model import DIM, HISTORY, STEP, Dropout, Pairs, RitiniNet, integrate


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
            found, attention = layer(z, layer.base(candidates, torch.zeros(3)), None)
            for window in range(3):
                expected, (_, weight) = peer(z[window], edges, return_attention_weights=True)
                linked = candidates.any(dim=0)
                torch.testing.assert_close(found[window, linked], expected[linked])
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
        drop = Dropout(0.1, torch.Generator().manual_seed(0))
        x = drop(torch.ones(10_000))
        np.testing.assert_allclose(x.unique().numpy(), [0, 1 / 0.9], rtol=1e-6)
        assert x.mean() == pytest.approx(1, abs=0.02)
        RitiniNet.drawn(0)
        assert torch.equal(torch.get_rng_state(), state)
