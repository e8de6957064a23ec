"""The structure encoder equals PyG's SAGEConv on explicit per-cell graphs."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.nn import SAGEConv

from grnformer_sc.nn.graph import GraphEdges, StructureGraph
from grnformer_sc.nn.perturb import PerturbEdges
from grnformer_sc.nn.structure import RELATIONS, SageLayer, StructureEncoder

N_GENES, N_GROUPS, N_EREGULONS, DIM = 40, 3, 9, 8


@pytest.fixture(scope="module")
def graph() -> StructureGraph:
    """Three groups, each keeping six of nine eRegulons, with five to nine targets each."""
    g = torch.Generator().manual_seed(0)
    tf_of = torch.randperm(N_GENES, generator=g)[:N_EREGULONS]
    sign_of = torch.where(torch.arange(N_EREGULONS) % 3 == 0, -1, 1)
    rows = [(t, r) for t in range(N_GROUPS) for r in sorted(torch.randperm(N_EREGULONS, generator=g)[:6].tolist())]
    targets = [torch.randperm(N_GENES, generator=g)[: 5 + i % 5].sort().values for i in range(len(rows))]
    group, eregulon = torch.tensor([t for t, _ in rows]), torch.tensor([r for _, r in rows])
    partner = torch.stack(
        [torch.randint(0, N_EREGULONS, (60,), generator=g), torch.randint(0, N_GENES, (60,), generator=g)]
    )
    links = {(int(t), int(tf_of[r]), int(x)) for (t, r), own in zip(rows, targets, strict=True) for x in own}
    pairs = sorted({(t, int(tf_of[a]), int(b)) for t in range(N_GROUPS) for a, b in partner.T.tolist()} - links)
    count = torch.bincount(torch.tensor([t for t, _, _ in pairs]), minlength=N_GROUPS)
    return StructureGraph(
        N_GENES, N_GROUPS, row_group=group, row_eregulon=eregulon, row_tf=tf_of[eregulon], row_sign=sign_of[eregulon],
        indptr=torch.cat([torch.zeros(1, dtype=torch.long), torch.tensor([len(t) for t in targets]).cumsum(0)]),
        targets=torch.cat(targets),
        partner_indptr=torch.cat([torch.zeros(1, dtype=torch.long), count.cumsum(0)]),
        partner_tf=torch.tensor([tf for _, tf, _ in pairs]), partner_gene=torch.tensor([x for _, _, x in pairs]),
        partner_r=torch.rand(len(pairs), generator=g) * 2 - 1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def cells() -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    return torch.randint(0, N_GROUPS, (7,), generator=g), torch.rand(7, N_EREGULONS, generator=g) < 0.5


def slow_edges(graph: StructureGraph, group: int, bits: torch.Tensor | None) -> list[tuple[int, int, int]]:
    out = []
    for row in range(graph.row_group.numel()):
        if int(graph.row_group[row]) != group or (bits is not None and not bits[graph.row_eregulon[row]]):
            continue
        own = graph.targets[graph.indptr[row] : graph.indptr[row + 1]]
        out += [(int(graph.row_tf[row]), int(x), int(graph.row_sign[row])) for x in own]
    return sorted(out)


def test_edges_of_a_batch_equal_a_loop_over_rows(graph, cells):
    group, bits = cells
    edges = graph.edges(group, bits)
    for cell in range(group.numel()):
        own = edges.take(edges.graph == cell)
        got = sorted(zip(own.tf.tolist(), own.gene.tolist(), own.sign.tolist(), strict=True))
        assert got == slow_edges(graph, int(group[cell]), bits[cell])


def test_keys_are_the_genes_with_a_link(graph):
    for group in range(N_GROUPS):
        keys = graph.key_index[group][graph.key_present[group]].tolist()
        links = slow_edges(graph, group, None)
        assert keys == sorted({tf for tf, _, _ in links} | {x for _, x, _ in links})


def pyg_layer(layer: SageLayer, h: torch.Tensor, edges: GraphEdges, n_graphs: int) -> torch.Tensor:
    """The same layer from PyG convolutions, one graph at a time."""
    out = []
    for cell in range(n_graphs):
        own = edges.take(edges.graph == cell)
        update = layer.own(h[cell])
        for name in RELATIONS:
            sign, forward = (1 if name.startswith("act") else -1), name.endswith("forward")
            part = own.take(own.sign == sign)
            conv = SAGEConv(DIM, DIM, aggr="mean", root_weight=False, bias=False)
            conv.lin_l.weight.data = layer.relations[name].weight.data
            index = torch.stack([part.tf, part.gene] if forward else [part.gene, part.tf])
            update = update + conv(h[cell], index)
        out.append(h[cell] + torch.nn.functional.gelu(layer.norm(update)))
    return torch.stack(out)


@pytest.mark.parametrize("perturbed", [False, True])
@pytest.mark.parametrize("n_layers", [1, 2])
def test_equals_pyg_on_per_cell_graphs(graph, cells, n_layers, perturbed):
    torch.manual_seed(0)
    group, bits = cells
    encoder = StructureEncoder(DIM, DIM, layers=n_layers).eval()
    torch.nn.init.normal_(encoder.role)
    genes = torch.randn(N_GENES, DIM)
    edges = graph.edges(group, bits)
    if perturbed:
        visible = torch.ones(group.numel(), N_GENES, dtype=torch.bool)
        edges = PerturbEdges()(edges, graph, group, visible, torch.Generator().manual_seed(0))
    with torch.no_grad():
        got = encoder(genes, graph.is_tf, edges, group.numel())
        h = encoder.norm(encoder.project(genes)) + graph.is_tf[:, None] * encoder.role
        h = h.expand(group.numel(), -1, -1)
        for layer in encoder.layers:
            h = pyg_layer(layer, h, edges, group.numel())
    torch.testing.assert_close(got, h, atol=1e-5, rtol=1e-5)


def test_a_cell_without_bits_has_no_messages(graph):
    torch.manual_seed(0)
    encoder = StructureEncoder(DIM, DIM).eval()
    off = graph.edges(torch.tensor([0]), torch.zeros(1, N_EREGULONS, dtype=torch.bool))
    layer = encoder.layers[0]
    assert off.graph.numel() == 0
    assert (layer.messages(torch.randn(1, N_GENES, DIM), off, 1) == 0).all()


class TestPerturbation:
    """Edges that go and edges that come."""

    alpha = 0.3

    def run(self, graph, cells, *, seed=0, alpha=alpha, mode="coexpression", visible=None):
        group, bits = cells
        edges = graph.edges(group, bits)
        if visible is None:
            visible = torch.ones(group.numel(), N_GENES, dtype=torch.bool)
        perturb = PerturbEdges(alpha=alpha, mode=mode)
        return edges, perturb(edges, graph, group, visible, torch.Generator().manual_seed(seed))

    @staticmethod
    def pairs(edges: GraphEdges) -> set[tuple[int, int, int]]:
        return set(zip(edges.graph.tolist(), edges.tf.tolist(), edges.gene.tolist(), strict=True))

    @pytest.mark.parametrize("mode", ["coexpression", "random"])
    def test_every_graph_loses_its_share_and_keeps_its_number_of_edges(self, graph, cells, mode):
        before, after = self.run(graph, cells, mode=mode)
        old, new = self.pairs(before), self.pairs(after)
        for cell in range(cells[0].numel()):
            n = sum(pair[0] == cell for pair in old)
            kept = sum(pair[0] == cell for pair in old & new)
            assert kept == n - int(self.alpha * n)
            assert sum(pair[0] == cell for pair in new) == n

    @pytest.mark.parametrize("mode", ["coexpression", "random"])
    def test_added_pairs_are_visible_and_no_links_of_the_group(self, graph, cells, mode):
        visible = torch.rand(7, N_GENES, generator=torch.Generator().manual_seed(5)) < 0.7
        before, after = self.run(graph, cells, mode=mode, visible=visible)
        added = self.pairs(after) - self.pairs(before)
        assert added
        for cell, tf, gene in added:
            assert visible[cell, tf]
            assert visible[cell, gene]
            assert (tf, gene) not in {(a, b) for a, b, _ in slow_edges(graph, int(cells[0][cell]), None)}

    def test_added_pairs_are_partners_with_the_sign_of_their_correlation(self, graph, cells):
        before, after = self.run(graph, cells)
        new = after.take(torch.arange(after.graph.numel()) >= after.graph.numel() - int(
            sum(int(self.alpha * n) for n in torch.bincount(before.graph, minlength=7).tolist())
        ))  # fmt: skip
        known, _ = graph.partners(cells[0])
        signed = set(
            zip(known.graph.tolist(), known.tf.tolist(), known.gene.tolist(), known.sign.tolist(), strict=True)
        )
        assert (
            set(zip(new.graph.tolist(), new.tf.tolist(), new.gene.tolist(), new.sign.tolist(), strict=True)) <= signed
        )

    def test_strong_partners_are_preferred(self, graph, cells):
        known, weight = graph.partners(cells[0])
        strength = dict(
            zip(
                zip(known.graph.tolist(), known.tf.tolist(), known.gene.tolist(), strict=True),
                weight.tolist(),
                strict=True,
            )
        )
        chosen = []
        for seed in range(20):
            before, after = self.run(graph, cells, seed=seed)
            chosen += [strength[pair] for pair in self.pairs(after) - self.pairs(before)]
        assert sum(chosen) / len(chosen) > weight.mean() + 0.08

    def test_same_seed_same_edges_other_seed_other_edges(self, graph, cells):
        assert self.pairs(self.run(graph, cells)[1]) == self.pairs(self.run(graph, cells)[1])
        assert self.pairs(self.run(graph, cells)[1]) != self.pairs(self.run(graph, cells, seed=1)[1])

    @pytest.mark.parametrize("off", [{"alpha": 0.0}, {"mode": "none"}])
    def test_switched_off_it_changes_nothing(self, graph, cells, off):
        before, after = self.run(graph, cells, **off)
        assert after is before

    def test_too_few_candidates_cost_edges(self, graph, cells):
        dark = torch.zeros(7, N_GENES, dtype=torch.bool)
        before, after = self.run(graph, cells, visible=dark)
        assert self.pairs(after) < self.pairs(before)

    def test_a_share_above_one_is_refused(self):
        with pytest.raises(ValueError, match="alpha"):
            PerturbEdges(alpha=1.2)
