"""Dictys: gradients, planted links, effects along paths, candidates, windows."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

import grnformer_sc as grs
from grnformer_sc._core.compute import one_thread
from grnformer_sc.grn.systems.dictys.candidates import between, binding_scores, chosen_genes, strongest
from grnformer_sc.grn.systems.dictys.effects import normalized, total_effects
from grnformer_sc.grn.systems.dictys.model import Data, Parts, gradient, terms
from grnformer_sc.grn.systems.dictys.network import Fit, fit_cells, measured
from grnformer_sc.grn.systems.dictys.options import DictysOptions
from grnformer_sc.grn.systems.dictys.training import Training
from grnformer_sc.grn.systems.dictys.windows import default_bandwidth, kernel, regulation, smoothed, windows_of

planted_process = runpy.run_path(str(Path(__file__).with_name("_dictys.py")))
planted, pearson = planted_process["planted"], planted_process["pearson"]
N_CELLS, N_GENES, N_TFS, N_FACTORS = 9, 7, 3, 4


@pytest.fixture(scope="module")
def small() -> tuple[Data, Parts, torch.Tensor]:
    """Counts and parameters in float64, away from the start."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(6, (N_CELLS, N_GENES)).astype(float)
    links = np.array([[0, 0, 1, 2, 2, 1], [1, 4, 0, 5, 6, 3]])
    data = Data.of(counts, counts.sum(axis=1), links, N_TFS)
    data = replace(data, counts=data.counts.double(), total=data.total.double())
    parts = Parts(
        *(
            torch.from_numpy(np.asarray(x, dtype=float))
            for x in (
                rng.uniform(-4, -1, N_GENES), rng.uniform(0.3, 1, N_GENES), rng.normal(0, 1, (N_GENES, N_FACTORS)),
                rng.uniform(0.3, 1, N_GENES), rng.normal(0, 1, 6), 0.7, rng.normal(-2, 1, (N_CELLS, N_GENES)),
                rng.uniform(0.2, 1, (N_CELLS, N_GENES)),
            )
        )
    )  # fmt: skip
    return data, parts, torch.from_numpy(rng.normal(size=(N_CELLS, N_GENES)))


class TestModel:
    def test_free_numbers_and_parameters_are_inverse(self, small: tuple[Data, Parts, torch.Tensor]) -> None:
        for (_, one), (_, two) in zip(small[1].items(), small[1].free().natural().items(), strict=True):
            torch.testing.assert_close(one, two)

    def test_terms_are_those_of_densities(self, small: tuple[Data, Parts, torch.Tensor]) -> None:
        data, p, noise = small
        latent = p.mean + p.spread * noise
        prior = torch.distributions.LowRankMultivariateNormal(p.level, p.factor, p.residual).log_prob(latent).sum()
        posterior = torch.distributions.Normal(p.mean, p.spread).log_prob(latent).sum()
        seen = torch.distributions.Binomial(data.total, logits=latent).log_prob(data.counts).sum()
        drift = p.rate * torch.eye(N_GENES, dtype=torch.float64)
        drift[data.gene, data.tf] -= p.link
        steady = torch.diag(p.residual) + p.factor @ p.factor.T
        apart = drift @ steady + steady @ drift.T - torch.diag(p.noise)
        expected = torch.stack([posterior - prior, 3.0 * N_CELLS / (4 * N_GENES) * (apart**2).sum(), -seen])
        torch.testing.assert_close(terms(p, noise, data, 3.0), expected)

    def test_the_gradient_is_that_of_the_terms(self, small: tuple[Data, Parts, torch.Tensor]) -> None:
        data, p, noise = small
        x = torch.cat([part.reshape(-1) for _, part in p.free().items()])
        found = torch.zeros_like(x)
        gradient(p.like(x), noise.clone(), data, 3.0, p.like(found))
        free = x.clone().requires_grad_()
        loss = terms(p.like(free).natural(), noise, data, 3.0).sum()
        torch.testing.assert_close(found, torch.autograd.grad(loss, free)[0])

    def test_the_weight_of_the_steady_state_rises_by_equal_factors(self) -> None:
        settings = Training(steps=100, lr=0.01, lr_decay=1, warmup=0.5, scale=1e4)
        assert [settings.scale_at(step) for step in (25, 50, 51, 100)] == pytest.approx([1e2, 1e4, 1e4, 1e4])
        assert replace(settings, warmup=0).scale_at(1) == 1e4


def fitted(given: Any, *, root: int = 0, **options: float) -> Fit:
    chosen = DictysOptions(**{"steps": 600, "lr": 0.03, "lr_decay": 0.995, "min_counts": 1, "min_cells": 1} | options)
    counts, tfs = sp.csr_matrix(given.counts), np.arange(len(given.weight))
    genes, links = measured(counts, sp.csr_matrix(given.candidates), tfs, chosen)
    with one_thread():
        return fit_cells(counts, given.total, genes, links, chosen, root=root, name=("all",))


@pytest.fixture(scope="module")
def made() -> list[tuple[Any, np.ndarray]]:
    """Two planted processes, and what is found of them."""
    return [(given, fitted(given).matrix(40).toarray()[:8]) for given in (planted(11), planted(12))]


class TestPlanted:
    def test_links_are_found_that_correlation_confounds(self, made: list[tuple[Any, np.ndarray]]) -> None:
        score, found, plain = grs.metrics.average_precision, [], []
        for given, weight in made:
            mask = given.candidates
            real = given.weight[mask] != 0
            found.append(score(real, np.abs(weight[mask])))
            plain.append(score(real, np.abs(pearson(given)[mask])))
            assert found[-1] > real.mean() + 0.2
            assert np.corrcoef(weight[mask], given.weight[mask])[0, 1] > 0.6
            strong = real & (np.abs(weight[mask]) > np.median(np.abs(weight[mask][real])))
            assert (np.sign(weight[mask][strong]) == np.sign(given.weight[mask][strong])).mean() > 0.95
        assert np.mean(found) > np.mean(plain) + 0.05

    def test_only_candidates_are_links(self, made: list[tuple[Any, np.ndarray]]) -> None:
        for given, weight in made:
            assert (weight[~given.candidates] == 0).all()

    def test_the_same_seed_gives_the_same_bits(self, made: list[tuple[Any, np.ndarray]]) -> None:
        one, two, other = (fitted(made[0][0], root=root, steps=30).weight for root in (0, 0, 1))
        np.testing.assert_array_equal(one, two)
        assert not np.array_equal(one, other)


class TestEffects:
    weight = np.array([[0.0, 0.5, -0.4, 0.3], [0.2, 0.0, 0.0, 0.6]])
    share = np.array([0.4, 0.3, 0.2, 0.1])
    tfs = np.arange(2)

    def test_total_effects_are_the_sum_over_paths(self) -> None:
        links = np.vstack([self.weight, np.zeros((2, 4))])
        push = np.eye(2, 4) - self.share
        moved, step = push, push
        for _ in range(200):
            step = step @ links
            moved = moved + step
        expected = moved / np.diag(moved)[:, None]
        np.fill_diagonal(expected, 0)
        np.testing.assert_allclose(total_effects(self.weight, self.share, self.tfs), expected, atol=1e-12)

    def test_loops_that_run_away_are_weakened_first(self) -> None:
        strong = self.weight * np.array([[4.0], [5.0]])
        found = total_effects(strong, self.share, self.tfs)
        weak = next(
            strong / 1.1**k
            for k in range(100)
            if own(strong / 1.1**k, self.share).min() >= 0.2 and own(strong / 1.1**k, self.share).max() <= 1.8
        )
        assert not np.allclose(weak, strong)
        np.testing.assert_allclose(found, total_effects(weak, self.share, self.tfs))

    def test_normalized_weights_do_not_depend_on_units(self) -> None:
        sd, unit = np.array([1.0, 2.0, 0.5, 3.0]), np.array([2.0, 7.0, 0.1, 5.0])
        one = normalized(self.weight, sd, self.tfs)
        assert one[0, 1] == 0.25
        np.testing.assert_allclose(normalized(self.weight * unit / unit[:2, None], sd * unit, self.tfs), one)


def own(weight: np.ndarray, share: np.ndarray) -> np.ndarray:
    links = np.vstack([weight, np.zeros((2, 4))])
    return np.diag((np.eye(2, 4) - share) @ np.linalg.inv(np.eye(4) - links))


class TestCandidates:
    def test_scores_add_up_distance_openness_and_hits(self) -> None:
        pairs = pd.DataFrame({"gene": [0, 0, 1], "region": [0, 1, 1], "weight": [1.0, 0.5, 0.25]})
        ranks = sp.csr_matrix([[0.5, 0.0], [1.0, 0.8]])
        found = binding_scores(pairs, ranks, np.array([0.2, 0.4]), 3).toarray()
        np.testing.assert_allclose(found, [[0.1 + 0.2, 0.1, 0], [0.16, 0.08, 0]])

    def test_the_strongest_of_every_gene_are_kept_without_its_own(self) -> None:
        scores = sp.csr_matrix([[9.0, 1, 2, 0], [1, 9, 2, 0], [3, 4, 1, 5]])
        found = strongest(scores, np.array([0, 1, 3]), 1).toarray()
        np.testing.assert_array_equal(found, [[0, 0, 1, 0], [0, 0, 0, 0], [1, 1, 0, 0]])
        assert strongest(scores, np.array([0, 1, 3]), 9).nnz == 7  # ties at the third gene went to the first TF

    def test_tfs_come_before_the_genes_that_vary_most(self) -> None:
        candidates, variance = sp.csr_matrix([[0, 1, 1, 1, 0, 1], [0] * 6]), np.array([0.0, 1, 5, 3, 9, 3])
        np.testing.assert_array_equal(chosen_genes(variance, candidates, np.array([0, 4]), 3), [0, 2, 3])
        np.testing.assert_array_equal(chosen_genes(variance, candidates, np.array([0, 4]), None), [0, 1, 2, 3, 5])
        np.testing.assert_array_equal(between(candidates, np.array([0, 2])).toarray()[0], [0, 0, 1, 0, 0, 0])

    def test_genes_that_are_hardly_measured_are_left_out(self) -> None:
        counts = sp.csr_matrix(np.array([[5, 9, 1, 0, 4]] * 3))
        candidates = sp.csr_matrix(np.array([[0, 0, 1, 1, 1], [1, 0, 1, 0, 1]], dtype=bool))
        options = DictysOptions(min_counts=10, min_cells=3)
        genes, links = measured(counts, candidates, np.array([1, 4]), options)
        np.testing.assert_array_equal(genes, [1, 4, 0])
        assert sorted(zip(*links, strict=True)) == [(0, 1), (1, 1), (1, 2)]


class TestWindows:
    def test_windows_share_cells_and_reach_the_end(self) -> None:
        time = np.random.default_rng(0).permutation(100).astype(float)
        found = [time[part] for part in windows_of(time, 30, 20)]
        assert [part.size for part in found] == [30] * 8
        assert [part[0] for part in found] == [0, 10, 20, 30, 40, 50, 60, 70]
        assert [part[0] for part in map(lambda p: time[p], windows_of(time, 30, 5))] == [0, 25, 50, 70]  # noqa: C417
        assert len(windows_of(time, 100, 20)) == 1

    def test_weights_of_windows_sum_to_1_and_favour_the_nearest(self) -> None:
        centres = np.array([0.0, 1.0, 3.0])
        found = kernel(centres, np.array([0.0, 2.9, 500.0]), default_bandwidth(centres) / 4)
        np.testing.assert_allclose(found.sum(axis=1), 1)
        assert found.argmax(axis=1).tolist() == [0, 2, 2]
        assert default_bandwidth(centres) == 2

    def test_regulation_counts_the_strongest_links(self) -> None:
        one = sp.csr_matrix([[0, 4.0, -3], [1, 0, 0], [0, 0, 0]])
        half = smoothed([one, one * 0], np.array([0.5, 0.5]))
        np.testing.assert_allclose(half.toarray(), one.toarray() / 2)
        np.testing.assert_allclose(regulation(half, np.array([0, 1]), 1.0), np.log2([3, 2]))
        np.testing.assert_allclose(regulation(half, np.array([0, 1]), 0.67), np.log2([3, 1]))
