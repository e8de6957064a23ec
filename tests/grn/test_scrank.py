"""scRank: networks equal one regression per gene, distances a dense Laplacian, scores the sums as they are written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from grnformer_sc._core.rows import Rows
from grnformer_sc.grn.systems.groups import GroupNetworks
from grnformer_sc.grn.systems.scrank import ranking
from grnformer_sc.grn.systems.scrank.networks import direct, group_network, joined
from grnformer_sc.grn.systems.scrank.options import PcnetOptions
from grnformer_sc.grn.systems.scrank.ranking import perturbed, score, shifts, target_scores
from grnformer_sc.grn.systems.scrank.regression import pc_network
from grnformer_sc.grn.systems.scrank.tensor import decompose


def counts(n_cells: int, n_genes: int, seed: int = 0) -> sp.csr_matrix:
    """Counts with a few programmes."""
    rng = np.random.default_rng(seed)
    rate = rng.gamma(1, 1, (n_cells, 4)) @ rng.gamma(0.4, 1, (4, n_genes))
    return sp.csr_matrix(rng.poisson(rate).astype(np.float32))


def plain_network(x: np.ndarray, n_components: int, quantile: float) -> np.ndarray:
    """One decomposition for every gene, as the equations say."""
    out = np.zeros((x.shape[1], x.shape[1]))
    moving = np.flatnonzero(x.std(axis=0) > 0)
    z = (x[:, moving] - x[:, moving].mean(axis=0)) / x[:, moving].std(axis=0, ddof=1)
    found = np.zeros((moving.size, moving.size))
    for gene in range(moving.size):
        others = np.arange(moving.size) != gene
        vectors = np.linalg.svd(z[:, others], full_matrices=False)[2][:n_components].T
        scores = z[:, others] @ vectors
        found[gene, others] = vectors @ (scores.T @ z[:, gene] / (scores**2).sum(axis=0))
    size = np.abs(found)
    found[size < np.quantile(size, quantile)] = 0
    out[np.ix_(moving, moving)] = found / size.max()
    return out


@pytest.mark.parametrize("n_cells", [40, 120])
@pytest.mark.parametrize(("n_components", "quantile"), [(3, 0.95), (1, 0.5), (5, 0.0)])
def test_one_decomposition_is_as_good_as_one_per_gene(n_cells: int, n_components: int, quantile: float) -> None:
    values = counts(n_cells, 60).toarray()
    values[:, 7] = 0
    x = sp.csr_matrix(values)
    expected = plain_network(x.toarray().astype(np.float64), n_components, quantile)
    np.testing.assert_allclose(pc_network(x, n_components, quantile).toarray(), expected, atol=1e-11)


def test_cells_can_be_drawn_twice() -> None:
    x = counts(50, 30)[np.random.default_rng(0).integers(0, 50, 40)]
    np.testing.assert_allclose(
        pc_network(x, 3, 0.9).toarray(), plain_network(x.toarray().astype(np.float64), 3, 0.9), atol=1e-11
    )


def test_too_few_cells_are_named() -> None:
    with pytest.raises(ValueError, match=r"regression on 3 components .*2 components in a sample of 3 cells"):
        pc_network(counts(3, 20), 3, 0.9)


class TestTensor:
    def planted(self, noise: float) -> tuple[list[sp.csr_matrix], np.ndarray]:
        rng = np.random.default_rng(1)
        rows, columns = (rng.normal(size=(30, 3)) * (rng.random((30, 3)) < 0.4) for _ in range(2))
        slices = rng.uniform(0.5, 1.5, (8, 3))
        stack = [(rows * s) @ columns.T + noise * rng.normal(size=(30, 30)) for s in slices]
        return [sp.csr_matrix(layer) for layer in stack], (rows * slices.mean(axis=0)) @ columns.T

    def test_a_stack_of_few_components_is_found(self) -> None:
        stack, expected = self.planted(0.0)
        found = decompose(stack, 3)
        assert found.fit > 0.99
        assert np.corrcoef(found.mean().ravel(), expected.ravel())[0, 1] > 0.999

    def test_noise_is_left_out(self) -> None:
        stack, expected = self.planted(0.3)
        found = decompose(stack, 3).mean()
        mean = sum(layer.toarray() for layer in stack) / len(stack)
        assert np.abs(found - expected).mean() < 0.7 * np.abs(mean - expected).mean()

    def test_the_fit_is_that_of_the_stack(self) -> None:
        stack, _ = self.planted(0.3)
        found = decompose(stack, 3)
        dense = np.stack([layer.toarray() for layer in stack])
        model = np.einsum("ir,jr,kr->kij", found.rows, found.columns, found.slices)
        assert found.fit == pytest.approx(1 - np.linalg.norm(dense - model) / np.linalg.norm(dense), abs=1e-10)

    def test_weights_are_rounded_in_units_of_the_largest(self) -> None:
        weights = joined(self.planted(0.1)[0], 3, 1)
        assert np.abs(weights).max() == 1
        np.testing.assert_allclose(weights * 10, np.round(weights * 10))


def test_the_weaker_direction_keeps_a_share() -> None:
    coefficients = np.array([[0.0, 0.8, 0.3], [0.2, 0.0, -0.3], [0.1, 0.0, 0.0]])
    expected = [[0, 0.05, 0.025], [0.8, 0, 0], [0.3, -0.3, 0]]  # rows are regulators
    np.testing.assert_allclose(direct(coefficients, 0.25).toarray(), expected)


class TestShifts:
    def pair(self, n: int, seed: int = 0) -> tuple[sp.csr_matrix, sp.csr_matrix]:
        rng = np.random.default_rng(seed)
        network = np.round(rng.normal(size=(n, n)) * (rng.random((n, n)) < 0.2) / 3, 1)
        np.fill_diagonal(network, 0)
        before = sp.csr_matrix(network)
        return before, perturbed(before, np.array([int(np.diff(before.indptr).argmax())]), "antagonist")

    def plain(self, before: sp.csr_matrix, after: sp.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
        one, two = before.toarray() + 1, after.toarray() + 1
        tie = 0.9 * (one.sum() + two.sum()) / (2 * len(one)) * np.eye(len(one))
        laplacian = -np.block([[one, tie], [tie, two]])
        np.fill_diagonal(laplacian, 0)
        np.fill_diagonal(laplacian, -laplacian.sum(axis=0))
        return np.linalg.eig(laplacian)

    @pytest.mark.parametrize("n", [20, 80])
    def test_they_are_distances_in_the_vectors_of_the_laplacian(self, n: int) -> None:
        before, after = self.pair(n)
        values, vectors = self.plain(before, after)
        order = [k for k in np.argsort(values.real)[:4] if values[k].real > 1e-8][:2]
        expected = np.sqrt((np.abs(vectors[:n, order] - vectors[n:, order]) ** 2).sum(axis=1))
        np.testing.assert_allclose(shifts(before, after), expected, rtol=1e-6, atol=1e-9)

    def test_no_phase_of_complex_vectors_changes_them(self, monkeypatch: Any) -> None:
        """Where the original keeps the real part, its score depends on the phase that a solver happens to choose."""
        seeds = [
            s for s in range(40) if np.abs(np.sort_complex(self.plain(*self.pair(20, s))[0])[1:3].imag).max() > 1e-6
        ]
        before, after = self.pair(20, seeds[0])
        expected = shifts(before, after)
        eig = np.linalg.eig
        real_parts = []
        for angle in (0.3, 1.1):

            def turned(matrix: np.ndarray, angle: float = angle) -> tuple[np.ndarray, np.ndarray]:
                values, vectors = eig(matrix)
                phase = np.exp(1j * angle * np.sign(values.imag))
                real_parts.append((vectors * phase).real)
                return values, vectors * phase

            monkeypatch.setattr(ranking.np.linalg, "eig", turned)
            np.testing.assert_allclose(shifts(before, after), expected, rtol=1e-8, atol=1e-12)
        assert np.abs(real_parts[0] - real_parts[1]).max() > 0.01

    def test_nothing_shifts_where_nothing_changes(self) -> None:
        before, _ = self.pair(20)
        mute = before.tolil()
        mute[4] = 0
        found, shift = target_scores(sp.csr_matrix(mute), np.array([4]), "antagonist", 2)
        assert found == 0
        assert (shift == 0).all()


def test_scores_are_the_sums_as_they_are_written() -> None:
    network = np.zeros((5, 5))
    network[0, 1], network[0, 2], network[1, 3], network[2, 4], network[1, 2] = 0.5, -0.4, 0.3, 0.2, -1.0
    weights, d = sp.csr_matrix(network), np.array([0.9, 0.7, 0.5, 0.3, 0.1])
    assert score(weights, d, 0, 1) == pytest.approx(d.sum())
    out = [abs(0.5 - 0.4) / 2, abs(0.3 - 1) / 2, 0.2, 0, 0]
    two = d[0] * out[0] + d[1] * (0.5 + out[1]) + d[2] * (0.4 + out[2])
    assert score(weights, d, 0, 2) == pytest.approx(two)
    three = two + d[3] * (0.3 + out[3]) + d[2] * (1.0 + out[2]) + d[4] * (0.2 + out[4])
    assert score(weights, d, 0, 3) == pytest.approx(three)


def test_an_agonist_fully_activates_what_the_target_activates() -> None:
    network = sp.csr_matrix(np.array([[0, 0.3, -0.2], [0.1, 0, 0], [0, 0.5, 0]]))
    np.testing.assert_array_equal(
        perturbed(network, np.array([0]), "agonist").toarray(), [[0, 1, -0.2], [0.1, 0, 0], [0, 0.5, 0]]
    )
    np.testing.assert_array_equal(
        perturbed(network, np.array([0, 2]), "antagonist").toarray(), [[0, 0, 0], [0.1, 0, 0], [0, 0, 0]]
    )
    assert network[0, 1] == 0.3


class TestGroups:
    options = PcnetOptions(n_samples=4)

    def network(self, seed: int = 0, n_jobs: int = 1) -> sp.csr_matrix:
        return group_network(Rows(counts(150, 40)), np.arange(120), self.options, root=seed, name="a", n_jobs=n_jobs)

    def test_threads_play_no_part_and_seeds_do(self) -> None:
        first = self.network()
        assert (first != self.network(n_jobs=2)).nnz == 0
        assert (first != self.network(seed=1)).nnz > 0

    def test_links_of_both_signs_have_a_row_each_and_hold_where_they_are(self) -> None:
        genes = pd.Index(["a", "b", "c"])
        one = sp.csr_matrix(np.array([[0, 0.5, 0], [0, 0, -0.2], [0, 0, 0]]))
        two = sp.csr_matrix(np.array([[0, -0.3, 0.1], [0, 0, -0.4], [0.9, 0, 0]]))
        networks = GroupNetworks(genes, ("x", "y/z"), [one, two])
        edges, holds = networks.edges(np.array([0, 1]))
        found = edges.assign(x=holds[:, [0]].toarray(), y=holds[:, [1]].toarray())
        found = found.astype({"tf": str, "gene": str}).set_index(["tf", "gene", "sign"])
        rows = {k: (round(float(r.tf_gene_importance), 6), bool(r.x), bool(r.y)) for k, r in found.iterrows()}
        assert rows == {
            ("a", "b", 1): (0.5, True, False), ("a", "b", -1): (0.3, False, True), ("a", "c", 1): (0.1, False, True),
            ("b", "c", -1): (0.4, True, True),
        }  # fmt: skip
        again = GroupNetworks.from_uns({**networks.to_uns(), "group_names": np.array(["x", "y/z"], dtype=object)})
        assert all((a != b).nnz == 0 for a, b in zip(again.weights, networks.weights, strict=True))
