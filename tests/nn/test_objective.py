"""Terms of the objective that speak about the network, each against a case computed by hand or a law of torch."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal, Poisson, kl_divergence

from grnformer_sc.nn.gated import GatedEdges
from grnformer_sc.nn.graph import EdgeList, StructureGraph
from grnformer_sc.nn.objective import HELD_OUT, EdgeHead, consistency_loss, edge_loss, hold_out

G, R, TARGETS = 60, 4, 20


@pytest.fixture(scope="module")
def graph() -> StructureGraph:
    g = torch.Generator().manual_seed(0)
    targets = torch.cat([torch.randperm(G - R, generator=g)[:TARGETS].sort().values + R for _ in range(2 * R)])
    none = torch.zeros(0, dtype=torch.long)
    return StructureGraph(
        G, 2, row_group=torch.arange(2).repeat_interleave(R), row_eregulon=torch.arange(R).repeat(2),
        row_tf=torch.arange(R).repeat(2), row_sign=torch.tensor([1, -1, 1, 1]).repeat(2),
        indptr=torch.arange(0, 2 * R * TARGETS + 1, TARGETS), targets=targets, partner_indptr=torch.zeros(3, dtype=torch.long),
        partner_tf=none, partner_gene=none, partner_r=torch.zeros(0),
    )  # fmt: skip


def pairs(e: EdgeList) -> set[tuple[int, int, int]]:
    return set(zip(e.graph.tolist(), e.tf.tolist(), e.gene.tolist(), strict=True))


def test_scores_and_loss_of_a_case_by_hand():
    head = EdgeHead(2)
    head.pair.weight.data = torch.tensor([[1.0, 2.0], [0.0, 1.0]])
    head.bias.data.fill_(0.5)
    h = torch.tensor([[[1.0, 1.0], [2.0, 0.0], [0.0, -1.0]]])
    zero = torch.zeros(2, dtype=torch.long)
    of = EdgeList(zero, zero, torch.tensor([1, 2]), zero + 1, torch.ones(2))
    scores = head(h, of)
    # W h_0 = (3, 1): with h_1 6, with h_2 -1; over the root of 2, plus a half
    expected = [6 / math.sqrt(2) + 0.5, -1 / math.sqrt(2) + 0.5]
    torch.testing.assert_close(scores, torch.tensor(expected))
    loss = (math.log1p(math.exp(-expected[0])) + math.log1p(math.exp(expected[1]))) / 2
    torch.testing.assert_close(edge_loss(scores, torch.tensor([1.0, 0.0])), torch.tensor(loss))
    assert edge_loss(scores[:0], scores[:0]) == 0


def test_a_tenth_of_the_links_is_held_out_and_the_others_are_no_links(graph):
    types = torch.tensor([0, 1])
    edges = GatedEdges.of(graph, types)
    left, held, others = hold_out(edges, types, torch.Generator().manual_seed(0))
    known = pairs(edges.listed)
    assert len(pairs(held)) == held.graph.numel() == 2 * int(HELD_OUT * R * TARGETS)
    assert pairs(held) <= known
    assert not pairs(others) & known
    assert pairs(left.extra) == pairs(held)
    assert (left.extra.weight == -1).all()
    assert 0 < others.graph.numel() <= held.graph.numel()
    assert set(zip(others.graph.tolist(), others.tf.tolist(), strict=True)) <= {pair[:2] for pair in pairs(held)}


def test_views_that_agree_cost_nothing_and_others_their_divergence():
    first, second = torch.tensor([0.2, -1.0, 1.5]), torch.tensor([0.6, -1.0, 0.1])
    for loss in ("poisson", "nb", "mse"):
        spread = torch.tensor([0.3, 1.0, -0.5]) if loss == "nb" else None
        assert consistency_loss(first, first, loss=loss, log_inverse=spread) == 0
        assert consistency_loss(first[:0], first[:0], loss=loss) == 0
    rates = Poisson(first.exp()), Poisson(second.exp())
    both = (kl_divergence(*rates) + kl_divergence(*rates[::-1])) / 2
    torch.testing.assert_close(consistency_loss(first, second, loss="poisson"), both.mean())
    means = Normal(first, 1.0), Normal(second, 1.0)
    torch.testing.assert_close(consistency_loss(first, second, loss="mse"), kl_divergence(*means).mean())


def test_the_divergence_of_negative_binomials_is_a_sum_over_counts():
    first, second, log_r = (torch.tensor([x], dtype=torch.float64) for x in (0.9, -0.3, 0.4))
    counts, r = torch.arange(400, dtype=torch.float64), log_r.exp()
    p, q = (
        torch.distributions.NegativeBinomial(r, probs=x.exp() / (x.exp() + r)).log_prob(counts) for x in (first, second)
    )
    both = ((p.exp() * (p - q)).sum() + (q.exp() * (q - p)).sum()) / 2
    got = consistency_loss(first, second, loss="nb", log_inverse=log_r)
    torch.testing.assert_close(got, both, atol=1e-9, rtol=1e-9)
