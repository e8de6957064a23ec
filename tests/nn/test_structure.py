"""The structure encoder equals PyG's convolutions on explicit per-cell graphs."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch_geometric.nn import GCNConv, GINConv, SAGEConv

from grnformer_sc.nn import blocks
from grnformer_sc.nn.convolutions import CONVOLUTIONS, RELATIONS, SageConvolution
from grnformer_sc.nn.gated import GatedEdges
from grnformer_sc.nn.graph import EdgeList, StructureGraph
from grnformer_sc.nn.perturb import PerturbEdges
from grnformer_sc.nn.structure import StructureEncoder, StructureLayer

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


def explicit(edges: GatedEdges) -> EdgeList:
    """Every edge by itself, corrections applied: what comes is appended, what goes is looked up and taken out."""
    e, extra = edges.listed, edges.extra
    if extra is None:
        return e
    codes = [((x.graph * N_GENES + x.tf) * N_GENES + x.gene) * 2 + (x.sign > 0) for x in (e, extra)]
    gone = extra.weight < 0
    assert torch.isin(codes[1][gone], codes[0]).all()
    return e.take(~torch.isin(codes[0], codes[1][gone])).extended(extra.take(~gone))


def test_edges_of_a_batch_equal_a_loop_over_rows(graph, cells):
    group, bits = cells
    edges = graph.edges(group, bits)
    for cell in range(group.numel()):
        own = edges.take(edges.graph == cell)
        got = sorted(zip(own.tf.tolist(), own.gene.tolist(), own.sign.tolist(), strict=True))
        assert got == slow_edges(graph, int(group[cell]), bits[cell])


def test_keys_are_the_genes_with_a_link(graph):
    for group in range(N_GROUPS):
        links = slow_edges(graph, group, None)
        tfs = {tf for tf, _, _ in links}
        for tf_only, expected in ((False, tfs | {x for _, x, _ in links}), (True, None)):
            index, present = graph.keys(tf_only=tf_only)
            got = index[group][present[group]].tolist()
            linked = {tf for tf, _, _ in links} | {x for _, x, _ in links}
            assert got == sorted(expected or {g for g in linked if bool(graph.is_tf[g])})


def pyg_sage(conv, name, index, weight, h):
    layer = SAGEConv(DIM, DIM, aggr="mean", root_weight=False, bias=False)
    layer.lin_l.weight.data = conv.relations[name].weight.data
    assert bool((weight == 1).all())  # SAGEConv takes no weights
    return layer(h, index)


def pyg_gcn(conv, name, index, weight, h):
    """Self loops are added by hand: PyG's own would take the place of the edge of a TF that regulates itself."""
    layer = GCNConv(DIM, DIM, bias=False, add_self_loops=False)
    layer.lin.weight.data = conv.relations[name].weight.data
    loops = torch.arange(N_GENES).expand(2, -1)
    return layer(h, torch.cat([index, loops], dim=1), torch.cat([weight, torch.ones(N_GENES)]))


def pyg_gin(conv, name, index, weight, h):
    weights = copy.deepcopy(conv.relations[name].state_dict())
    layer = GINConv(copy.deepcopy(conv.relations[name]), eps=float(conv.eps[name].detach()))  # resets the weights
    layer.nn.load_state_dict(weights)
    assert bool((weight == 1).all())
    return layer(h, index)


PYG = {"sage": pyg_sage, "gcn": pyg_gcn, "gin": pyg_gin}


def by_pyg(kind: str, layer: StructureLayer, h: torch.Tensor, edges: EdgeList, n_graphs: int) -> torch.Tensor:
    """The same layer from PyG convolutions, one graph and relation at a time."""
    out = []
    for cell in range(n_graphs):
        own = edges.take(edges.graph == cell)
        update = layer.conv.own(h[cell])
        for name in RELATIONS:
            part = own.take(own.sign == (1 if name.startswith("act") else -1))
            pair = [part.tf, part.gene] if name.endswith("forward") else [part.gene, part.tf]
            update = update + PYG[kind](layer.conv, name, torch.stack(pair), part.weight, h[cell])
        out.append(h[cell] + torch.relu(layer.norm(update)))
    return torch.stack(out)


@pytest.mark.parametrize("perturbed", [False, True])
@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize("kind", list(CONVOLUTIONS))
def test_equals_pyg_on_per_cell_graphs(graph, cells, kind, n_layers, perturbed):
    torch.manual_seed(0)
    group, bits = cells
    encoder = StructureEncoder(DIM, DIM, layers=n_layers, conv=kind).eval()
    torch.nn.init.normal_(encoder.role)
    genes = torch.randn(N_GENES, DIM, requires_grad=True)
    edges = GatedEdges.of(graph, group, bits)
    if perturbed:
        visible = torch.ones(group.numel(), N_GENES, dtype=torch.bool)
        edges = PerturbEdges()(edges, group, visible, torch.Generator().manual_seed(0))
        assert edges.extra is not None
    got = encoder(encoder.features(genes, graph.is_tf), edges)
    h = encoder.features(genes, graph.is_tf).expand(group.numel(), -1, -1)
    for layer in encoder.layers:
        h = by_pyg(kind, layer, h, explicit(edges), group.numel())
    torch.testing.assert_close(got, h, atol=1e-5, rtol=1e-5)
    up = torch.randn_like(h)
    weights = [genes, encoder.project.weight, encoder.role, *encoder.norm.parameters()]
    weights += [p for layer in encoder.layers for p in (*layer.norm.parameters(), *layer.conv.own.parameters())]
    slow, fast = (torch.autograd.grad(x, weights, up) for x in (h, got))
    for a, b in zip(slow, fast, strict=True):
        torch.testing.assert_close(a, b, atol=2e-5 * max(1, float(a.detach().abs().max())), rtol=1e-4)


def test_weights_of_links_weigh_messages(graph, cells):
    """GCN takes weights in PyG; the mean of SAGE becomes a weighted mean."""
    torch.manual_seed(0)
    group, bits = cells
    heavy = copy.deepcopy(graph)
    heavy.weight = torch.rand(graph.targets.numel()) * 2 + 0.1
    h = torch.randn(group.numel(), N_GENES, DIM)
    edges = GatedEdges.of(heavy, group, bits)
    gcn = StructureLayer(DIM, conv="gcn").eval()
    torch.testing.assert_close(gcn(h, edges), by_pyg("gcn", gcn, h, edges.listed, group.numel()), atol=1e-5, rtol=1e-5)
    sage = SageConvolution(DIM)
    for name in RELATIONS[1:]:
        torch.nn.init.zeros_(sage.relations[name].weight)
    cell, gene = 2, int(edges.listed.gene[edges.listed.graph == 2][0])
    own = edges.listed.take((edges.listed.graph == cell) & (edges.listed.gene == gene) & (edges.listed.sign == 1))
    mean = (own.weight[:, None] * h[cell, own.tf]).sum(dim=0) / own.weight.sum().clamp(min=1e-9)
    expected = sage.own(h[cell, gene]) + sage.relations["act_forward"](mean)
    torch.testing.assert_close(sage(h, edges)[cell, gene], expected, atol=1e-5, rtol=1e-5)


def test_the_number_of_threads_does_not_matter(graph, cells):
    torch.manual_seed(0)
    edges, encoder = GatedEdges.of(graph, *cells), StructureEncoder(DIM, DIM, dropout=0.0)
    genes, before, found = torch.randn(N_GENES, DIM), torch.get_num_threads(), []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        out = encoder(encoder.features(genes, graph.is_tf), edges)
        found.append((out, *torch.autograd.grad(out.square().sum(), list(encoder.layers.parameters()))))
    torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_a_batch_without_edges_hears_nothing(graph):
    torch.manual_seed(0)
    off = GatedEdges.of(graph, torch.tensor([0, 1]), torch.zeros(2, N_EREGULONS, dtype=torch.bool))
    h = torch.randn(2, N_GENES, DIM)
    for kind in CONVOLUTIONS:
        layer = StructureLayer(DIM, conv=kind).eval()
        none = by_pyg(kind, layer, h, off.listed, 2)
        torch.testing.assert_close(layer(h, off), none, atol=1e-5, rtol=1e-5)
        assert torch.isfinite(layer(h, off)).all()
    visible = torch.ones(2, N_GENES, dtype=torch.bool)
    assert PerturbEdges()(off, torch.tensor([0, 1]), visible, torch.Generator().manual_seed(0)) is off


@pytest.mark.parametrize("kind", list(CONVOLUTIONS))
@pytest.mark.parametrize("shared", [False, True])
def test_the_kernels_equal_the_plain_sums_of_other_devices(graph, cells, kind, shared, monkeypatch):
    torch.manual_seed(0)
    edges = GatedEdges.of(graph, *cells)
    edges = PerturbEdges()(edges, cells[0], torch.ones(7, N_GENES, dtype=torch.bool), torch.Generator().manual_seed(0))
    layer = StructureLayer(DIM, conv=kind).eval()
    h, up = torch.randn(1 if shared else 7, N_GENES, DIM, requires_grad=True), torch.randn(7, N_GENES, DIM)
    found = []
    for where in ("cpu", "nowhere"):
        monkeypatch.setattr(blocks, "KERNELS_ON", where)
        out = layer(h, replace(edges))  # nothing is kept from before
        found.append((out, *torch.autograd.grad(out, [h, *layer.parameters()], up)))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5 * max(1, float(a.detach().abs().max())), rtol=1e-4)


def test_scales_have_layers_of_their_own_when_asked(graph):
    torch.manual_seed(0)
    edges, genes = GatedEdges.of(graph, torch.arange(N_GROUPS)), torch.randn(N_GENES, DIM)
    for tie in (True, False):
        encoder = StructureEncoder(DIM, DIM, tie_scales=tie).eval()
        h = encoder.features(genes, graph.is_tf)
        assert torch.equal(encoder(h, edges, scale="cell"), encoder(h, edges, scale="type")) is tie


def test_expression_is_read_where_it_is_shown(graph):
    torch.manual_seed(0)
    encoder = StructureEncoder(DIM, DIM, read_expression=True)
    h = encoder.features(torch.randn(N_GENES, DIM), graph.is_tf)
    genes, shown = torch.tensor([[3, 5, 0], [7, 0, 2]]), torch.tensor([[True, False, False], [True, False, True]])
    expression = torch.randn(2, 3, DIM, requires_grad=True)
    got = encoder.with_expression(h, expression, genes, shown)
    changed = {(0, 3), (1, 7), (1, 2)}
    assert {tuple(x) for x in (got != h).any(dim=2).nonzero().tolist()} == changed
    torch.testing.assert_close(got[1, 2], h[0, 2] + encoder.read(expression[1, 2]))
    got.sum().backward()
    assert expression.grad is None  # the backbone does not learn through the nodes


class TestPerturbation:
    """Edges that go and edges that come."""

    alpha = 0.3

    def run(self, graph, cells, *, seed=0, alpha=alpha, mode="coexpression", visible=None, keep_degree=False):
        group, bits = cells
        edges = GatedEdges.of(graph, group, bits)
        if visible is None:
            visible = torch.ones(group.numel(), N_GENES, dtype=torch.bool)
        perturb = PerturbEdges(alpha=alpha, mode=mode, keep_degree=keep_degree)
        after = perturb(edges, group, visible, torch.Generator().manual_seed(seed))
        return edges.listed, explicit(after)

    @staticmethod
    def pairs(edges: EdgeList) -> set[tuple[int, int, int]]:
        return set(zip(edges.graph.tolist(), edges.tf.tolist(), edges.gene.tolist(), strict=True))

    @pytest.mark.parametrize("mode", ["coexpression", "random"])
    @pytest.mark.parametrize("keep_degree", [False, True])
    @pytest.mark.parametrize("share", [0.05, 0.3, 1.0])
    def test_the_number_of_edges_never_changes(self, graph, cells, mode, keep_degree, share):
        visible = torch.rand(7, N_GENES, generator=torch.Generator().manual_seed(3)) < share
        before, after = self.run(graph, cells, mode=mode, visible=visible, keep_degree=keep_degree)
        for cell in range(7):
            assert (after.graph == cell).sum() == (before.graph == cell).sum()
        if keep_degree:
            code = [torch.bincount(e.graph * N_GENES + e.tf, minlength=7 * N_GENES) for e in (before, after)]
            assert torch.equal(*code)

    def test_a_sparse_cell_swaps_as_many_edges_as_it_has_candidates(self, graph, cells):
        visible = torch.rand(7, N_GENES, generator=torch.Generator().manual_seed(3)) < 0.3
        before, after = self.run(graph, cells, visible=visible)
        new, old = self.pairs(after) - self.pairs(before), self.pairs(before)
        for cell in range(7):
            known = graph.partners(cells[0][[cell]])
            candidates = int((visible[cell, known.tf] & visible[cell, known.gene]).sum())
            n = sum(pair[0] == cell for pair in old)
            assert sum(pair[0] == cell for pair in new) == min(int(self.alpha * n), candidates)

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
        known = graph.partners(cells[0])
        signed = set(
            zip(known.graph.tolist(), known.tf.tolist(), known.gene.tolist(), known.sign.tolist(), strict=True)
        )
        new = set(zip(after.graph.tolist(), after.tf.tolist(), after.gene.tolist(), after.sign.tolist(), strict=True))
        old = self.pairs(before)
        assert {pair for pair in new if pair[:3] not in old} <= signed

    def test_strong_partners_are_preferred(self, graph, cells):
        known = graph.partners(cells[0])
        weight = known.weight
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
        group, edges = cells[0], GatedEdges.of(graph, *cells)
        visible = torch.ones(7, N_GENES, dtype=torch.bool)
        assert PerturbEdges(**off)(edges, group, visible, torch.Generator().manual_seed(0)) is edges

    @pytest.mark.parametrize("mode", ["coexpression", "random"])
    def test_a_cell_that_shows_nothing_keeps_its_edges(self, graph, cells, mode):
        dark = torch.zeros(7, N_GENES, dtype=torch.bool)
        before, after = self.run(graph, cells, visible=dark, mode=mode)
        assert self.pairs(after) == self.pairs(before)

    def test_a_share_above_one_is_refused(self):
        with pytest.raises(ValueError, match="alpha"):
            PerturbEdges(alpha=1.2)
