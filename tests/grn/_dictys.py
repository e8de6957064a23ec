"""A planted process for the tests of Dictys: links, steady state, counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_continuous_lyapunov


@dataclass(frozen=True, slots=True)
class Planted:
    """Counts, total of every cell, candidate links (bool, TFs x genes; TFs are the first genes) and true weights."""

    counts: np.ndarray
    total: np.ndarray
    candidates: np.ndarray
    weight: np.ndarray


def planted(
    seed: int, *, n_cells: int = 400, n_tfs: int = 8, n_genes: int = 40, n_candidates: int = 5, n_true: int = 2,
    depth: float = 1500,
) -> Planted:  # fmt: skip
    """Binomial counts of a process dx = (V' x - x) dt + noise at rest, with `n_true` true TFs per gene."""
    rng = np.random.default_rng(seed)
    candidates, weight = np.zeros((n_tfs, n_genes), dtype=bool), np.zeros((n_tfs, n_genes))
    for gene in range(n_genes):
        some = rng.choice(np.setdiff1d(np.arange(n_tfs), gene), n_candidates, replace=False)
        candidates[some, gene] = True
        weight[some[:n_true], gene] = rng.choice([-1, 1], n_true) * rng.uniform(0.3, 0.8, n_true)
    drift = np.eye(n_genes)
    while True:
        drift[:, :n_tfs] = np.eye(n_genes, n_tfs) - weight.T
        if np.linalg.eigvals(drift).real.min() > 0.2:
            break
        weight *= 0.95
    noise = np.diag(rng.uniform(0.3, 1.2, n_genes))
    level = rng.normal(0, 1, n_genes)
    level -= np.logaddexp.reduce(level)
    latent = rng.multivariate_normal(level, solve_continuous_lyapunov(drift, noise), n_cells)
    drawn = rng.poisson(rng.lognormal(np.log(depth), 0.3, n_cells)) + 1
    counts = rng.binomial(drawn[:, None], 1 / (1 + np.exp(-latent)))
    return Planted(counts, counts.sum(axis=1).astype(float), candidates, weight)


def pearson(given: Planted) -> np.ndarray:
    """Correlations of log-normalised counts, TFs x genes."""
    x = np.log1p(given.counts / given.total[:, None] * 1e4)
    return np.corrcoef(x.T)[: len(given.weight)]
