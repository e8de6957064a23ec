"""Generated inputs of the benchmarks."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp


def sparse_counts(n_cells: int, n_genes: int = 3000, *, density: float = 0.08, seed: int = 0) -> sp.csr_matrix:
    """Counts of which four fifths are ones, genes of unequal level (float32 CSR)."""
    rng = np.random.default_rng(seed)
    level = rng.gamma(0.5, 1, n_genes)
    share = np.clip(level * density / level.mean(), 0, 0.95)
    blocks = [
        sp.csr_matrix((rng.random((n, n_genes)) < share) * rng.geometric(0.8, (n, n_genes)), dtype=np.float32)
        for n in np.diff(np.r_[np.arange(0, n_cells, 1000), n_cells])
    ]
    return sp.vstack(blocks, "csr")


def random_sets(n_sets: int = 300, n_genes: int = 3000, size: int = 100, *, seed: int = 1) -> sp.csr_matrix:
    """Sets of distinct genes (float64 CSR of ones, sets x genes)."""
    rng = np.random.default_rng(seed)
    genes = np.concatenate([np.sort(rng.choice(n_genes, size, replace=False)) for _ in range(n_sets)])
    return sp.csr_matrix((np.ones(genes.size), genes, np.arange(0, genes.size + 1, size)), (n_sets, n_genes))


def thin(counts: sp.csr_matrix, kept: float, rng: np.random.Generator) -> None:
    """Keep every molecule with this chance, in place."""
    counts.data = rng.binomial(counts.data.astype(np.int64), kept).astype(np.float32)
    counts.eliminate_zeros()


def active_eregulons(n_cells: int, n_eregulons: int = 300, *, n_states: int = 50, seed: int = 0) -> np.ndarray:
    """Bits of cells in latent states with independent noise, so that almost all codes are distinct."""
    rng = np.random.default_rng(seed)
    share = rng.uniform(0.02, 0.6, (n_states, n_eregulons)) * (rng.random((n_states, n_eregulons)) < 0.5)
    state = rng.integers(0, n_states, n_cells)
    return np.concatenate([rng.random((part.size, n_eregulons)) < share[part] for part in np.array_split(state, 50)])
