"""Networks of samples joined by a CP decomposition of their stack, fitted by alternating least squares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float
from scipy.sparse.linalg import svds

MOST_ROUNDS = 1000
TOLERANCE = 1e-6  # of the share of the stack that is fitted, between two rounds


@dataclass(frozen=True, slots=True)
class Decomposition:
    """Stack approximated by sum_r rows_r x columns_r x slices_r, and the share of its norm that this explains."""

    rows: Float[np.ndarray, "genes parts"]
    columns: Float[np.ndarray, "genes parts"]
    slices: Float[np.ndarray, "samples parts"]
    fit: float

    def mean(self) -> Float[np.ndarray, "genes genes"]:
        """Mean over the samples."""
        return (self.rows * self.slices.mean(axis=0)) @ self.columns.T


def decompose(stack: Sequence[sp.csr_matrix], rank: int) -> Decomposition:
    """Fit `rank` components, from the singular vectors of the sum of the slices, so that no seed decides the result."""
    norm = np.sqrt(sum(float(layer.multiply(layer).sum()) for layer in stack))
    rank = min(rank, stack[0].shape[0] - 1)
    left, strength, right = svds(sp.csr_matrix(sum(stack)).astype(np.float64), k=rank, v0=np.ones(stack[0].shape[0]))
    rows, columns = left * strength, right.T
    slices = np.full((len(stack), rank), 1 / len(stack))
    fit = -np.inf
    for _ in range(MOST_ROUNDS):
        rows = _solve(sum(layer @ columns * slices[k] for k, layer in enumerate(stack)), columns, slices)
        rows /= np.linalg.norm(rows, axis=0)
        columns = _solve(sum(layer.T @ rows * slices[k] for k, layer in enumerate(stack)), rows, slices)
        columns /= np.linalg.norm(columns, axis=0)
        given = np.stack([(rows * (layer @ columns)).sum(axis=0) for layer in stack])
        slices = _solve(given, rows, columns)
        gram = (rows.T @ rows) * (columns.T @ columns) * (slices.T @ slices)
        error = norm**2 - 2 * float((given * slices).sum()) + float(gram.sum())
        before, fit = fit, 1 - np.sqrt(max(error, 0)) / norm
        if fit - before < TOLERANCE:
            break
    return Decomposition(rows, columns, slices, float(fit))


def _solve(given: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Factor that fits best while the two others are held."""
    return given @ np.linalg.pinv((one.T @ one) * (other.T @ other), hermitian=True)
