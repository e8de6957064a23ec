"""Cells of a small CRISPR time series whose effects are known."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from grnformer_sc._core.rows import Rows
from grnformer_sc.grn.systems.renge.sums import Design


def as_it_is(part: sp.csr_matrix) -> sp.csr_matrix:
    """Expression is what is given."""
    return part.astype(np.float64)


def planted(
    seed: int = 0, *, n_genes: int = 12, n_cells: int = 120, strength: float = 0.8
) -> tuple[Rows, Design, np.ndarray]:
    """Expression, design and the effects behind it (row: target); a chain 0 -> 1 -> 2 and links of genes 3 to 5.

    Of each of the genes 0, 1, 3 and 4 so many cells per time lack it, and twice as many lack none.
    """
    rng = np.random.default_rng(seed)
    effect = np.zeros((n_genes, n_genes))
    for source, target, sign in ((0, 1, 1), (1, 2, 1), (3, 6, 1), (3, 7, -1), (4, 8, 1), (4, 9, -1), (5, 10, 1)):
        effect[target, source] = sign * strength
    knocked, times = np.array([0, 1, 3, 4]), np.array([1.0, 2.0, 3.0])
    per_row = np.array([n_cells] * knocked.size + [2 * n_cells])
    row = np.tile(np.repeat(np.arange(per_row.size), per_row), times.size)
    time = np.repeat(np.arange(times.size), per_row.sum())
    change = np.zeros((per_row.size, n_genes))
    for number, gene in enumerate(knocked):
        change[number] = -2 * (effect[:, gene] + effect @ effect[:, gene])
        change[number, gene] = -2
    x = 3 + 0.2 * times[time][:, None] + change[row] + rng.normal(scale=0.5, size=(row.size, n_genes))
    return Rows(sp.csr_matrix(np.maximum(x, 0.01), dtype=np.float32)), Design(time, row, times, knocked), effect
