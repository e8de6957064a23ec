"""Cells of a time series that follow known differential equations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch

from grnformer_sc.grn.systems.flecs.model import Links, Parameters, Wired, integrate, slope_of
from grnformer_sc.grn.systems.flecs.training import free_of
from grnformer_sc.grn.systems.flecs.trajectories import Paths


@dataclass(frozen=True)
class Planted:
    """Candidate links, the weights behind the data (0 for those that do nothing), and states along trajectories."""

    links: Links
    truth: Parameters
    states: np.ndarray  # trajectories x times x genes, without noise
    times: np.ndarray
    lost: np.ndarray

    def paths(self, noise: float = 0.05, seed: int = 0) -> Paths:
        """All of them measured with noise, no cell shared."""
        n, n_times, n_genes = self.states.shape
        x = self.states + np.random.default_rng(seed).normal(0, noise, self.states.shape)
        flat = sp.csr_matrix(np.maximum(x, 0).reshape(-1, n_genes).astype(np.float32))
        return Paths(flat, np.arange(n * n_times).reshape(n, n_times), self.times, self.lost)


def planted(
    seed: int = 0, *, n_genes: int = 12, n_paths: int = 300, n_times: int = 4, knockouts: tuple[int, ...] = ()
) -> Planted:
    """A quarter of all pairs are candidates, every second of which does something; a part of the cells lacks a gene."""
    rng = np.random.default_rng(seed)
    source, target = np.nonzero((rng.random((n_genes, n_genes)) < 0.25) & ~np.eye(n_genes, dtype=bool))
    links = Links(source, target, n_genes)
    weight = rng.choice([-1.5, 1.5], source.size) * (rng.random(source.size) < 0.5)
    bias, alpha = rng.normal(0, 0.5, n_genes), rng.uniform(0.2, 0.5, n_genes)
    truth = Parameters(*(part.astype(np.float32) for part in (weight, bias, alpha)))
    lost = np.full(n_paths, -1)
    for number, gene in enumerate(knockouts):
        lost[number :: 2 * len(knockouts)] = gene
    start = rng.uniform(0, 3, (n_paths, n_genes)).astype(np.float32)
    free = free_of(lost, n_genes)
    slope = slope_of(Wired(links), *truth.tensors(), free=torch.from_numpy(free))
    times = np.arange(float(n_times))
    return Planted(links, truth, integrate(slope, torch.from_numpy(start * free), times, 0.25).numpy(), times, lost)
