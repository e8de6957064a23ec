"""LINGER's core: loss, gradient, training, Fisher information, contributions, metacells, strengths, networks in files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from torch import Tensor

from grnformer_sc._core.rows import Rows
from grnformer_sc.grn.score import CellInput
from grnformer_sc.grn.systems.linger import inputs as inputs_module
from grnformer_sc.grn.systems.linger import strength as strength_module
from grnformer_sc.grn.systems.linger.bulk import Pretrained, match
from grnformer_sc.grn.systems.linger.cells import relative, strengths_of_cells, strongest_of_rows
from grnformer_sc.grn.systems.linger.inputs import Samples, Wiring, blocks_of, pools_of, samples_of, task_of
from grnformer_sc.grn.systems.linger.model import FIRST, SECOND, Inputs, Nets, drawn, evaluate, fisher, stacked
from grnformer_sc.grn.systems.linger.network import fit
from grnformer_sc.grn.systems.linger.options import LingerOptions
from grnformer_sc.grn.systems.linger.shapley import contributions, mean_contributions
from grnformer_sc.grn.systems.linger.strength import Seen, Shared, shared, strongest, trans, triplets
from grnformer_sc.grn.systems.linger.training import Anchor, Graph, Task, loss_terms, slope, train

N_SAMPLES, N_TFS = 15, 6
WIDTHS = (3, 5, 4)  # regions of three genes

Planted = tuple[Wiring, Samples]


def double(nets: Nets) -> Nets:
    return nets.map(lambda part: part.double())


def random_nets(seed: int = 0, widths: tuple[int, ...] = WIDTHS) -> Nets:
    generator = torch.Generator().manual_seed(seed)
    return double(stacked([drawn(N_TFS, n, max(widths), generator) for n in widths]))


def random_task(seed: int = 0, *, anchored: bool = False) -> Task:
    """Three genes, the second of which is the TF 1; hits at random."""
    rng = np.random.default_rng(seed)
    region = torch.from_numpy(rng.normal(size=(3, max(WIDTHS), N_SAMPLES)))
    hits = torch.from_numpy((rng.random((3, N_TFS, max(WIDTHS))) < 0.4).astype(float))
    hits[1, 1] = 0
    for gene, width in enumerate(WIDTHS):
        region[gene, width:], hits[gene, :, width:] = 0, 0
    x = Inputs(torch.from_numpy(rng.normal(size=(N_TFS, N_SAMPLES))), region)
    y = torch.from_numpy(rng.normal(size=(3, N_SAMPLES)))
    anchor = None
    if anchored:
        anchor = Anchor(random_nets(7), random_nets(8).map(lambda part: part**2))
    return Task(x, y, (torch.tensor([1]), torch.tensor([1])), Graph.of(hits), anchor)


def module_of(nets: Nets, gene: int) -> torch.nn.Sequential:
    """The network of one gene as torch modules, without padding."""
    layers = torch.nn.Linear(N_TFS + WIDTHS[gene], FIRST), torch.nn.Linear(FIRST, SECOND), torch.nn.Linear(SECOND, 1)
    relu = torch.nn.ReLU
    module = torch.nn.Sequential(layers[0], relu(), layers[1], relu(), layers[2]).double()
    with torch.no_grad():
        layers[0].weight.copy_(torch.cat([nets.tf[gene], nets.region[gene, :, : WIDTHS[gene]]], dim=1))
        for layer, weight, bias in (
            (layers[0], None, nets.bias1), (layers[1], nets.second, nets.bias2), (layers[2], nets.third[:, None], nets.bias3),
        ):  # fmt: skip
            layer.bias.copy_(bias[gene])
            if weight is not None:
                layer.weight.copy_(weight[gene])
    return module


def rows_of(task: Task, gene: int) -> Tensor:
    """Inputs of one gene, samples x inputs."""
    return torch.cat([task.x.tf, task.x.region[gene, : WIDTHS[gene]]]).T


def laplacian_of(task: Task, gene: int) -> Tensor:
    """Normalised Laplacian of the motif graph by scipy."""
    assert task.graph is not None
    hits = (task.graph.link[gene, :, : WIDTHS[gene]] != 0).double().numpy()
    whole = np.block([[np.zeros((N_TFS, N_TFS)), hits], [hits.T, np.zeros((WIDTHS[gene],) * 2)]])
    return torch.from_numpy(sp.csgraph.laplacian(whole, normed=True))


@pytest.mark.parametrize("gene", range(3))
class TestEquations:
    def test_predictions_equal_a_module_per_gene(self, gene: int) -> None:
        nets, task = random_nets(), random_task()
        found = evaluate(nets, task.x).out[gene]
        np.testing.assert_allclose(found, module_of(nets, gene)(rows_of(task, gene))[:, 0].detach(), atol=1e-12)

    @pytest.mark.parametrize("term", ["ewc", "inner"])
    def test_every_term_equals_a_computation_by_hand(self, gene: int, term: Any) -> None:
        nets, task = random_nets(), random_task(anchored=True)
        options = LingerOptions(l1=0.3, laplacian=0.7, bulk="x", prior_term=term, prior_weight=2.5)
        found = {name: float(value[gene]) for name, value in loss_terms(nets, task, options).items()}
        width = WIDTHS[gene]
        first = np.concatenate([nets.tf[gene], nets.region[gene, :, :width]], axis=1)
        rest = [part[gene].numpy() for part in list(nets)[2:]]
        hidden = np.maximum(first @ rows_of(task, gene).numpy().T + rest[0][:, None], 0)
        out = rest[3] @ np.maximum(rest[1] @ hidden + rest[2][:, None], 0) + rest[4]
        assert found["mse"] == pytest.approx(np.mean((out - task.y[gene].numpy()) ** 2))
        assert found["l1"] == pytest.approx(0.3 * (np.abs(first).sum() + sum(np.abs(part).sum() for part in rest)))
        expected = np.trace(first @ laplacian_of(task, gene).numpy() @ first.T)
        assert found["laplacian"] == pytest.approx(0.7 * expected)
        assert task.anchor is not None
        then, weight = task.anchor.nets, task.anchor.fisher
        if term == "ewc":
            parts = zip(nets, then, weight, strict=True)
            expected = sum(float((w[gene] * (a[gene] - b[gene]) ** 2).sum()) for a, b, w in parts)
        else:
            other = np.concatenate([then.tf[gene], then.region[gene, :, :width]], axis=1)
            expected = -np.sum(first * other)
        assert found["prior"] == pytest.approx(2.5 * expected)

    def test_fisher_information_is_the_mean_squared_derivative_of_single_samples(self, gene: int) -> None:
        nets, task = random_nets(), random_task()
        module, total = module_of(nets, gene), None
        for row in rows_of(task, gene):
            module.zero_grad()
            torch.autograd.backward(module(row))
            squares = [part.grad**2 / N_SAMPLES for part in module.parameters() if part.grad is not None]
            total = squares if total is None else [a + b for a, b in zip(total, squares, strict=True)]
        assert total is not None
        found = fisher(nets, task.x)
        first = torch.cat([found.tf[gene], found.region[gene, :, : WIDTHS[gene]]], dim=1)
        ours = [first, found.bias1[gene], found.second[gene], found.bias2[gene], found.third[gene], found.bias3[gene]]
        for one, other in zip(ours, total, strict=True):
            np.testing.assert_allclose(one, other.squeeze(), atol=1e-12)

    def test_training_in_a_block_equals_training_gene_by_gene(self, gene: int) -> None:
        """A plain loop of torch: a module per gene, its loss with autograd, Adam; 100 epochs."""
        task, options = random_task(), LingerOptions()
        found = train(random_nets(), task, options)
        module, x, matrix = module_of(random_nets(), gene), rows_of(task, gene), laplacian_of(task, gene)
        first = module[0].weight
        open_ = torch.ones_like(first)
        if gene == 1:
            open_[:, 1] = 0
        with torch.no_grad():
            first.mul_(open_)
        first.register_hook(lambda by: by * open_)
        adam = torch.optim.Adam(module.parameters(), lr=0.01, weight_decay=0.01)
        for _ in range(100):
            adam.zero_grad()
            loss = ((module(x)[:, 0] - task.y[gene]) ** 2).mean()
            loss = loss + 0.01 * sum(part.abs().sum() for part in module.parameters())
            torch.autograd.backward(loss + torch.trace(first @ matrix @ first.T))
            adam.step()
        ours = torch.cat([found.tf[gene], found.region[gene, :, : WIDTHS[gene]]], dim=1)
        np.testing.assert_allclose(ours, first.detach(), atol=1e-5)
        np.testing.assert_allclose(found.second[gene], module[2].weight.detach(), atol=1e-5)
        np.testing.assert_allclose(evaluate(found, task.x).out[gene], module(x)[:, 0].detach(), atol=1e-5)


@pytest.mark.parametrize("term", ["none", "ewc", "inner"])
def test_the_gradient_is_that_of_the_loss(term: str) -> None:
    task = random_task(anchored=term != "none")
    told: dict[str, Any] = {} if term == "none" else {"bulk": "x", "prior_term": term, "prior_weight": 0.4}
    options, nets = LingerOptions(l1=0.2, laplacian=0.6, **told), random_nets(3)
    with_graph = nets.map(lambda part: part.clone().requires_grad_())
    terms = loss_terms(with_graph, task, options)
    torch.autograd.backward(sum(terms.values(), torch.zeros(3)).sum())
    for name, ours, part in zip(Nets.__slots__, slope(nets, task, options), with_graph, strict=True):
        assert part.grad is not None
        expected = part.grad.clone()
        if name == "tf":
            expected[1, :, 1] = 0
        np.testing.assert_allclose(ours, expected, atol=1e-12)


def test_closed_inputs_and_places_without_a_region_stay_0() -> None:
    nets = train(random_nets(), random_task(), LingerOptions(epochs=5))
    assert (nets.tf[1, :, 1] == 0).all()
    assert (nets.region[0, :, WIDTHS[0] :] == 0).all()
    assert (nets.tf[0] != 0).all()


def test_too_large_a_rate_is_an_error() -> None:
    task = random_task()
    with pytest.raises(FloatingPointError, match=r"smaller lr \(now 10\)"):
        train(random_nets(), replace(task, y=task.y * 1e308), LingerOptions(lr=10, epochs=3))


class TestContributions:
    @pytest.mark.parametrize("seed", range(4))
    def test_they_add_up_to_the_prediction_less_its_mean_over_the_background(self, seed: int) -> None:
        nets, task, background = random_nets(seed), random_task(seed), torch.tensor([0, 3, 4, 9])
        out = evaluate(nets, task.x).out
        for gene in range(3):
            one = nets.map(lambda part, gene=gene: part[gene : gene + 1])
            found = contributions(one, Inputs(task.x.tf, task.x.region[gene : gene + 1]), background)
            np.testing.assert_allclose(found.sum(dim=0), out[gene] - out[gene, background].mean(), atol=1e-10)

    def test_they_are_exact_shapley_values_of_a_linear_model(self) -> None:
        """With biases that keep every unit on, the value of an input is its slope times its distance from the mean."""
        nets, task, background = random_nets(), random_task(), torch.tensor([1, 2, 7])
        nets = replace(nets, bias1=nets.bias1 + 100, bias2=nets.bias2 + 1000)
        for gene in range(3):
            one = nets.map(lambda part, gene=gene: part[gene : gene + 1])
            x = torch.cat([task.x.tf, task.x.region[gene]])
            weight = nets.third[gene] @ nets.second[gene] @ torch.cat([nets.tf[gene], nets.region[gene]], dim=1)
            expected = weight[:, None] * (x - x[:, background].mean(dim=1, keepdim=True))
            found = contributions(one, Inputs(task.x.tf, task.x.region[gene : gene + 1]), background)
            np.testing.assert_allclose(found, expected, atol=1e-9)

    def test_the_rescale_rule_equals_going_through_the_layers_pair_by_pair(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        nets, task, background = random_nets(), random_task(), torch.tensor([0, 5, 11])
        monkeypatch.setattr("grnformer_sc.grn.systems.linger.shapley.BLOCK", 1000)  # in several blocks
        tf, region = mean_contributions(nets, task.x, background)
        layers, gene = evaluate(nets, task.x), 1
        x = torch.cat([task.x.tf, task.x.region[gene]]).numpy()
        first = torch.cat([nets.tf[gene], nets.region[gene]], dim=1).numpy()
        total = np.zeros((len(x), N_SAMPLES))
        for n in range(N_SAMPLES):
            for b in background.tolist():
                m = nets.third[gene].numpy()
                for z, weight in (
                    (layers.second[gene].numpy(), nets.second[gene].numpy()),
                    (layers.first[gene].numpy(), first),
                ):
                    change, passed = z[:, n] - z[:, b], np.maximum(z[:, n], 0) - np.maximum(z[:, b], 0)
                    ratio = np.where(n == b, z[:, n] > 0, passed / np.where(n == b, 1, change))
                    m = weight.T @ (m * ratio)
                total[:, n] += m * (x[:, n] - x[:, b]) / 3
        np.testing.assert_allclose(torch.cat([tf[gene], region[gene]]), np.abs(total).mean(axis=1), atol=1e-10)


def standardised(values: np.ndarray) -> np.ndarray:
    spread = values.std(axis=1, keepdims=True)
    return ((values - values.mean(axis=1, keepdims=True)) / np.where(spread == 0, 1, spread)).astype(np.float32)


@pytest.fixture(scope="module")
def planted() -> Planted:
    """Twelve genes, of which four are TFs; each has regions of its own, and its first TF and region move it."""
    rng = np.random.default_rng(0)
    genes = pd.Index([f"g{i:02d}" for i in range(12)])
    n = np.array([0, 2, 3, 1, 4, 2, 3, 2, 5, 1, 2, 3])
    gene = np.repeat(np.arange(12), n)
    pairs = pd.DataFrame(
        {"gene": gene, "region": np.arange(gene.size), "distance": rng.integers(-9000, 9000, gene.size)}
    )
    regions = pd.Index([f"chr1:{1000 * i + 100}-{1000 * i + 600}" for i in range(gene.size)])
    hits = sp.csr_matrix(np.round(rng.random((gene.size, 4)), 3) * (rng.random((gene.size, 4)) < 0.7))
    wiring = Wiring(genes, genes[[2, 5, 7, 11]], regions, pairs, hits)
    x = rng.normal(size=(12, 60))
    access = rng.normal(size=(gene.size, 60))
    x[4] = x[2] + 0.8 * access[pairs.index[pairs["gene"] == 4][0]] + 0.1 * rng.normal(size=60)
    x[3] = 0
    return wiring, Samples(standardised(x), standardised(access))


class TestBlocks:
    def test_every_gene_that_varies_and_has_a_region_is_in_one_block_with_its_pairs(
        self, planted: Planted, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wiring, samples = planted
        targets = wiring.targets(samples)
        assert set(targets) == set(range(12)) - {0, 3}
        monkeypatch.setattr(inputs_module, "BLOCK_BYTES", 4 * inputs_module.gene_bytes(4, 3, 60))
        blocks = list(blocks_of(wiring, targets, 60))
        assert len(blocks) > 2
        assert sorted(np.concatenate([block.genes for block in blocks])) == sorted(targets)
        for block in blocks:
            for gene, pair in zip(block.genes, block.pair, strict=True):
                assert list(pair[pair >= 0]) == list(wiring.pairs.index[wiring.pairs["gene"] == gene])

    def test_a_task_holds_inputs_targets_and_motifs_of_other_tfs(self, planted: Planted) -> None:
        wiring, samples = planted
        block = next(b for b in blocks_of(wiring, wiring.targets(samples), 60) if 5 in b.genes)
        task, place = task_of(block, wiring, samples, "cpu"), list(block.genes).index(5)
        assert samples.accessibility is not None
        assert wiring.hits is not None
        assert task.graph is not None
        rows = np.flatnonzero(wiring.pairs["gene"] == 5)
        np.testing.assert_array_equal(task.x.region[place, : rows.size], samples.accessibility[rows])
        np.testing.assert_array_equal(task.y[place], samples.expression[5])
        hits = wiring.hits[rows].toarray().T != 0
        hits[1] = False  # gene 5 is TF 1
        np.testing.assert_array_equal(task.graph.link[place, :, : rows.size] != 0, hits)
        assert (place, 1) in list(zip(*(part.tolist() for part in task.closed), strict=True))

    def test_a_prior_closes_all_other_tfs(self, planted: Planted) -> None:
        wiring, samples = planted
        allowed = np.zeros((4, 12))
        allowed[[0, 2], 6] = allowed[1, 5] = 1
        alone = Wiring(wiring.genes, wiring.tfs, pd.Index([]), wiring.pairs[:0], None, sp.csr_matrix(allowed))
        samples = Samples(samples.expression)
        assert list(alone.targets(samples)) == [5, 6]
        found = fit(samples, alone, LingerOptions(epochs=20), root=0, n_jobs=1)
        assert (found.tf_gene[1] > 0).tolist() == [True, False, True, False]
        assert not found.tf_gene[0].any(), "a TF is no input of its own network"


class TestNetworks:
    def test_what_moves_a_gene_contributes_most(self, planted: Planted) -> None:
        wiring, samples = planted
        found = fit(samples, wiring, LingerOptions(), root=0, n_jobs=1)
        row = list(found.targets).index(4)
        assert found.tf_gene[row].argmax() == 0
        assert found.region_gene[wiring.pairs["gene"] == 4].argmax() == 0
        assert found.similarity is not None
        assert wiring.hits is not None
        assert (found.similarity.indices == wiring.hits.indices).all()
        assert (np.abs(found.similarity.data) <= 1).all()

    def test_similarity_is_the_correlation_of_columns_of_the_first_layer(self, planted: Planted) -> None:
        wiring, samples = planted
        kept = Pretrained.empty(wiring, wiring.targets(samples))
        found = fit(samples, wiring, LingerOptions(epochs=10), root=0, n_jobs=1, kept=kept)
        assert found.similarity is not None
        pair = int(np.flatnonzero(kept.genes[kept.gene] == "g08")[2])
        tf = kept.parts["weight.tf"][list(kept.genes).index("g08")]
        region = wiring.regions.get_loc(kept.regions[kept.region[pair]])
        row = found.similarity[[region]]
        assert row.nnz
        for column, value in zip(row.indices, row.data, strict=True):
            expected = np.corrcoef(tf[:, column], kept.parts["weight.region"][pair])[0, 1]
            assert value == pytest.approx(expected, abs=1e-5)

    def test_threads_change_no_bit(self, planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
        wiring, samples = planted
        monkeypatch.setattr(inputs_module, "MOST_GENES", 3)
        one, two = (fit(samples, wiring, LingerOptions(epochs=15), root=3, n_jobs=n) for n in (1, 3))
        np.testing.assert_array_equal(one.tf_gene, two.tf_gene)
        np.testing.assert_array_equal(one.region_gene, two.region_gene)
        assert one.losses == two.losses


class TestMetacells:
    def test_there_are_root_n_and_1_of_every_group_each_of_its_own_cells(self) -> None:
        rng = np.random.default_rng(0)
        codes = np.repeat([0, 1, 2], [100, 30, 7])
        counts = sp.csr_matrix(rng.poisson(1.0, (codes.size, 5)), dtype=np.float32)
        cells = CellInput(Rows(counts), pd.Index(list("abcde")), codes, np.ones(codes.size), (0, 0))
        embedding = rng.normal(size=(codes.size, 3))
        pools = pools_of(cells, embedding, ["x", "y", "z"], LingerOptions(), root=0)
        assert pools.shape[0] == 11 + 6 + 3
        group = [set(codes[row.indices]) for row in pools]
        assert all(len(one) == 1 for one in group)
        assert sorted(np.diff(pools.indptr)) == [7] * 3 + [20] * 17
        alone = pools_of(cells, embedding, ["x", "y", "z"], LingerOptions(n_neighbors=1, n_metacells=1000), root=0)
        assert (alone != sp.identity(codes.size)).nnz == 0, "rows of bulk data are taken as they are"
        values = samples_of(cells, pools).expression
        np.testing.assert_allclose(values.mean(axis=1), 0, atol=1e-5)
        np.testing.assert_allclose(values.std(axis=1), 1, atol=1e-4)


class TestStrengths:
    @pytest.fixture
    def common(self, planted: Planted) -> tuple[Shared, Seen, Wiring]:
        wiring, samples = planted
        found = fit(samples, wiring, LingerOptions(epochs=10), root=0, n_jobs=1)
        rng = np.random.default_rng(1)
        seen = Seen(rng.gamma(2, 0.5, 12), rng.gamma(2, 0.5, wiring.regions.size))
        return shared(found, wiring, distance=25_000, tf_factor=False), seen, wiring

    def test_they_are_binding_times_cis(self, common: tuple[Shared, Seen, Wiring]) -> None:
        """TFRE = (TF + .1)(RE + .1)(similarity + motif); cis = (RE + .1)(TG + .1)(S + .1) exp(-d / 25 kb)."""
        made, seen, wiring = common
        tfs = wiring.genes.get_indexer(wiring.tfs)
        assert seen.regions is not None
        assert made.binding is not None
        assert made.cis is not None
        binding = made.binding.toarray() * (seen.genes[tfs] + 0.1) * (seen.regions[:, None] + 0.1)
        cis = made.cis.toarray() * (seen.regions + 0.1) * (seen.genes[:, None] + 0.1)
        expected = (cis @ binding) * (tfs != np.arange(12)[:, None])
        found = np.vstack([block.toarray() for _, block in trans(made, seen, tfs)])
        expected[[0, 3]] = 0  # genes without a network
        np.testing.assert_allclose(found, expected, rtol=1e-6)

    def test_shared_parts_by_hand(self, planted: Planted) -> None:
        wiring, samples = planted
        found = fit(samples, wiring, LingerOptions(epochs=10), root=0, n_jobs=1)
        made = shared(found, wiring, distance=5000, tf_factor=True)
        assert found.similarity is not None
        assert wiring.hits is not None
        assert made.binding is not None
        assert made.cis is not None
        np.testing.assert_allclose(
            made.binding.toarray(), np.maximum(found.similarity.toarray(), 0) + wiring.hits.toarray(), atol=1e-6
        )
        size = found.region_gene / found.region_gene.mean() + 0.1
        np.testing.assert_allclose(
            np.asarray(made.cis[wiring.pairs["gene"], wiring.pairs["region"]]).ravel(),
            size * np.exp(-np.abs(wiring.pairs["distance"]) / 5000), rtol=1e-5,
        )  # fmt: skip
        row = list(found.targets).index(4)
        np.testing.assert_allclose(made.tf[4], found.tf_gene[row] / found.tf_gene.mean() + 0.1, rtol=1e-5)
        assert made.tf[5, 1] == 0

    def test_the_strongest_links_and_regions_are_those_of_all(
        self, common: tuple[Shared, Seen, Wiring], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made, seen, wiring = common
        tfs = wiring.genes.get_indexer(wiring.tfs)
        whole = np.vstack([block.toarray() for _, block in trans(made, seen, tfs)])
        monkeypatch.setattr(strength_module, "BLOCK_GENES", 5)
        monkeypatch.setattr(strength_module, "BLOCK", 7)
        tf, gene, value = strongest(made, seen, tfs, 8)
        np.testing.assert_allclose(sorted(value), sorted(np.sort(whole, axis=None)[-8:]), rtol=1e-9)
        np.testing.assert_allclose(value, whole[gene, tf], rtol=1e-9)
        every = triplets(made, seen, tf, gene, 100)
        total = np.bincount(every["link"], every["triplet"]) * (seen.genes[tfs[tf]] + 0.1) * (seen.genes[gene] + 0.1)
        np.testing.assert_allclose(total, value, rtol=1e-6)
        best = triplets(made, seen, tf, gene, 1)
        assert list(best["link"]) == list(range(8))
        np.testing.assert_allclose(best["triplet"], every.groupby("link")["triplet"].max())

    def test_a_cell_like_its_group_has_the_strengths_of_the_group(self, common: tuple[Shared, Seen, Wiring]) -> None:
        made, _, wiring = common
        tfs = wiring.genes.get_indexer(wiring.tfs)
        rng = np.random.default_rng(2)
        counts = sp.csr_matrix(rng.poisson(2.0, (2, 12)), dtype=np.float32)
        opened = sp.csr_matrix(rng.poisson(2.0, (2, wiring.regions.size)), dtype=np.float32)
        seen = Seen(relative(counts)[1], relative(opened)[1])
        tf, gene, value = strongest(made, seen, tfs, 50)
        rows = triplets(made, seen, tf, gene, 100)
        links = rows.assign(tf=tfs[tf[rows["link"]]], gene=gene[rows["link"]])
        found = strengths_of_cells(links, counts, opened)[1]
        np.testing.assert_allclose(np.bincount(rows["link"], found), value, rtol=1e-6)

    def test_only_the_strongest_of_a_row_are_kept(self) -> None:
        value = np.random.default_rng(0).normal(size=(6, 30))
        kept = strongest_of_rows(value, 4).toarray()
        assert ((kept > 0).sum(axis=1) == 4).all()
        np.testing.assert_allclose(np.sort(kept, axis=1)[:, -4:], np.sort(value, axis=1)[:, -4:], rtol=1e-6)


@pytest.fixture(scope="module")
def kept(planted: Planted) -> Pretrained:
    """The networks of the planted genes."""
    wiring, samples = planted
    kept = Pretrained.empty(wiring, wiring.targets(samples))
    fit(samples, wiring, LingerOptions(epochs=10), root=0, n_jobs=1, kept=kept)
    return kept


class TestFiles:
    def test_a_file_brings_back_every_number(self, kept: Pretrained, tmp_path: Path) -> None:
        kept.save(tmp_path / "n.safetensors")
        back = Pretrained.read(tmp_path / "n.safetensors")
        assert [list(getattr(back, n)) for n in ("genes", "tfs", "regions", "gene", "region")] == [
            list(getattr(kept, n)) for n in ("genes", "tfs", "regions", "gene", "region")
        ]
        assert all(torch.equal(back.parts[name], value) for name, value in kept.parts.items())
        assert kept.parts["weight.region"].any(dim=1).all()
        assert (kept.parts["fisher.bias3"] == 1).all()

    def test_names_find_their_weights_in_any_order_and_case_and_regions_by_overlap(
        self, planted: Planted, kept: Pretrained
    ) -> None:
        wiring, _ = planted
        genes = pd.Index([*wiring.genes[::-1].str.upper(), "new"])
        tfs = pd.Index(["new", *wiring.tfs[::-1].str.upper()])
        shifted = pd.Index([f"chr1:{1000 * i + 400}-{1000 * i + 900}" for i in range(wiring.regions.size)][:-1])
        pairs = wiring.pairs[wiring.pairs["region"] < shifted.size]
        pairs = pairs.assign(gene=11 - pairs["gene"]).sort_values(["gene", "region"], ignore_index=True)
        other = Wiring(genes, tfs, shifted, pairs, None)
        targets = np.arange(13)
        matched = match(kept, other, targets)
        assert matched.lost(targets) == {
            "genes_not_in_bulk": 3,
            "tfs_not_in_bulk": 1,
            "pairs_not_in_bulk": 1,
        }  # g00, g03, new
        block = next(iter(blocks_of(other, np.array([3]), 60)))  # G08
        row = list(kept.genes).index("g08")
        anchor = matched.anchor(block)
        np.testing.assert_array_equal(anchor.nets.tf[0, :, 1:], kept.parts["weight.tf"][row].flip(1))
        assert not anchor.nets.tf[0, :, 0].any()
        mine = kept.parts["weight.region"][np.flatnonzero(kept.gene == row)]
        np.testing.assert_array_equal(anchor.nets.region[0], mine.T)
        np.testing.assert_array_equal(anchor.fisher.second[0], kept.parts["fisher.second"][row])
        drawn_ = drawn(5, 5, 5, torch.Generator().manual_seed(0))
        start = matched.start(block, drawn_)
        np.testing.assert_array_equal(start.tf[0, :, 0], drawn_.tf[0, :, 0])
        np.testing.assert_array_equal(start.tf[0, :, 1:], anchor.nets.tf[0, :, 1:])
        np.testing.assert_array_equal(start.bias1[0], kept.parts["weight.bias1"][row])
        unknown = next(iter(blocks_of(other, np.array([12]), 60)))
        assert not any(part.any() for part in matched.anchor(unknown).fisher)

    def test_a_heavy_prior_keeps_the_networks_and_none_lets_them_go(self, planted: Planted, kept: Pretrained) -> None:
        wiring, samples = planted
        targets = wiring.targets(samples)
        moved = []
        for weight in (0, 1e4):
            now = Pretrained.empty(wiring, targets)
            options = LingerOptions(bulk="x", prior_weight=weight)
            fit(samples, wiring, options, root=1, n_jobs=1, matched=match(kept, wiring, targets), kept=now)
            firm = kept.parts["fisher.second"] > 1e-3
            moved.append(float((now.parts["weight.second"] - kept.parts["weight.second"])[firm].abs().mean()))
        assert moved[1] < 0.2 * moved[0]

    def test_other_names_and_genomes_are_named(self, planted: Planted, kept: Pretrained) -> None:
        wiring, samples = planted
        targets = wiring.targets(samples)
        with pytest.raises(ValueError, match=r"some genes must be those.*harmonize_genes"):
            match(replace(kept, genes=kept.genes + "x"), wiring, targets)
        with pytest.raises(ValueError, match="some TFs must be those"):
            match(replace(kept, tfs=kept.tfs + "x"), wiring, targets)
        with pytest.raises(ValueError, match=r"some regions must overlap.*same genome"):
            match(replace(kept, regions=kept.regions.str.replace("chr1", "chr2")), wiring, targets)
