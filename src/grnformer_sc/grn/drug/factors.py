"""Offsets and low-rank factors of a table of lines and drugs with holes, by ridge regressions in turn (ALS)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

SHRINKAGE = 3.0  # pseudo-observations at 0 behind every offset
STEPS = 12  # alternations; from singular vectors, held-out pairs of GDSC are foretold as well after 5 as after 30

Smooth = Callable[[Float[np.ndarray, "lines rank"]], Float[np.ndarray, "lines rank"]]


@dataclass(frozen=True, slots=True)
class Factors:
    """Additive and low-rank part: y = mean + lines + drugs + left right'.

    Attributes
    ----------
    mean
        Mean of all measured values.
    lines, drugs
        Shrunk offsets; 0 for what was never measured.
    left, right
        Factors of lines and of drugs; no columns without them.
    """

    mean: float
    lines: Float[np.ndarray, " lines"]
    drugs: Float[np.ndarray, " drugs"]
    left: Float[np.ndarray, "lines rank"]
    right: Float[np.ndarray, "drugs rank"]

    def matrix(self) -> Float[np.ndarray, "lines drugs"]:
        """Predictions of all pairs."""
        return self.mean + self.lines[:, None] + self.drugs + self.left @ self.right.T


def offsets(
    y: Float[np.ndarray, "lines drugs"], known: Bool[np.ndarray, "lines drugs"], *, shrinkage: float = SHRINKAGE
) -> Factors:
    """Offsets of lines and drugs, each the mean of what the other leaves, drawn to 0 by `shrinkage` observations."""
    mean = float(y[known].mean())
    z = np.where(known, y - mean, 0.0)
    per_line, per_drug = known.sum(axis=1), known.sum(axis=0)
    lines, drugs = np.zeros(y.shape[0]), np.zeros(y.shape[1])
    for _ in range(20):
        drugs = (z.sum(axis=0) - lines @ known) / (per_drug + shrinkage)
        lines = (z.sum(axis=1) - known @ drugs) / (per_line + shrinkage)
    none = np.zeros((y.shape[0], 0)), np.zeros((y.shape[1], 0))
    return Factors(mean, lines, drugs, *none)


def factorise(
    y: Float[np.ndarray, "lines drugs"],
    known: Bool[np.ndarray, "lines drugs"],
    *,
    rank: int,
    penalty: float,
    smooth: Smooth | None = None,
    n_steps: int = STEPS,
) -> Factors:
    """Offsets and factors of what the offsets leave.

    Minimises the squared error of the known pairs plus `penalty` times the squared size of the factors. With `smooth`
    the factors of lines are drawn to `smooth(left)` instead of 0: what features of the lines say of them. The start is
    the singular vectors of the residuals with zeros in the holes, so that there is no seed.
    """
    base = offsets(y, known)
    rest = np.where(known, y - base.matrix(), 0.0)
    rank = min(rank, *y.shape)
    _, size, directions = np.linalg.svd(rest, full_matrices=False)
    right = directions[:rank].T * np.sqrt(size[:rank])
    left, toward = np.zeros((y.shape[0], rank)), None
    for _ in range(n_steps):
        left = _ridge_rows(rest, known, right, penalty, toward)
        toward = None if smooth is None else smooth(left)
        right = _ridge_rows(rest.T, known.T, left, penalty, None)
    return Factors(base.mean, base.lines, base.drugs, left, right)


def _ridge_rows(
    rest: Float[np.ndarray, "rows columns"],
    known: Bool[np.ndarray, "rows columns"],
    factors: Float[np.ndarray, "columns rank"],
    penalty: float,
    toward: Float[np.ndarray, "rows rank"] | None,
) -> Float[np.ndarray, "rows rank"]:
    """Ridge regression of every row on the factors of its known columns, all rows at once."""
    rank = factors.shape[1]
    products = (factors[:, :, None] * factors[:, None, :]).reshape(len(factors), -1)
    gram = (known.astype(np.float64) @ products).reshape(-1, rank, rank) + penalty * np.eye(rank)
    right = rest @ factors
    if toward is not None:
        right = right + penalty * toward
    return np.linalg.solve(gram, right[..., None])[..., 0]
