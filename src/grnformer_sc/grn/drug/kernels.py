"""Similarity of lines and of drugs, and regressions on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from jaxtyping import Bool, Float

FEWEST_TARGETS = 3  # of a regulon that is scored
SPREAD = 0.5  # share of a gene that comes from its neighbours in the network


def scaled(x: Float[np.ndarray, "items features"]) -> Float[np.ndarray, "items kept"]:
    """Features of mean 0 and variance 1; constant ones are left out. Only features are read, never a response."""
    sd = x.std(axis=0)
    keep = sd > 1e-9 * np.maximum(np.abs(x).max(axis=0, initial=0), 1e-300)
    return (x[:, keep] - x[:, keep].mean(axis=0)) / sd[keep]


def linear(x: Float[np.ndarray, "items features"]) -> Float[np.ndarray, "items items"]:
    """Mean product of scaled features."""
    z = scaled(x)
    return z @ z.T / max(z.shape[1], 1)


def gaussian(x: Float[np.ndarray, "items features"]) -> Float[np.ndarray, "items items"]:
    """exp(-d / median d) with d the squared distance in scaled features."""
    z = scaled(x)
    square = (z**2).sum(axis=1)
    distance = np.maximum(square[:, None] + square - 2 * z @ z.T, 0)
    np.fill_diagonal(distance, 0)
    off = distance[~np.eye(len(z), dtype=bool)]
    middle = float(np.median(off)) if off.size else 1.0
    return np.exp(-distance / (middle if middle > 0 else 1.0))


def tanimoto(bits: Float[np.ndarray, "drugs bits"]) -> Float[np.ndarray, "drugs drugs"]:
    """Shared bits over bits in either."""
    shared = bits @ bits.T
    size = np.diag(shared)
    return shared / np.maximum(size[:, None] + size - shared, 1e-12)


def mixed(
    kernels: Sequence[Float[np.ndarray, "items items"]], weights: Sequence[float]
) -> Float[np.ndarray, "items items"]:
    """Weighted sum of kernels."""
    total = np.zeros_like(kernels[0])
    for kernel, weight in zip(kernels, weights, strict=True):
        if weight:
            total += weight * kernel
    return total


def _standard(x: Float[np.ndarray, "lines genes"]) -> Float[np.ndarray, "lines genes"]:
    """Genes of mean 0 and variance 1, constant ones 0: every gene keeps its place."""
    sd = x.std(axis=0)
    return (x - x.mean(axis=0)) / np.where(sd > 0, sd, 1)


def regulon_scores(
    x: Float[np.ndarray, "lines genes"], regulons: Float[np.ndarray, "tfs genes"]
) -> Float[np.ndarray, "lines kept"]:
    """Activity of TFs: the signed sum of their scaled targets over the root of their number.

    The score of an unweighted mean under independent genes; TFs with fewer than three targets are left out. It needs no
    counts and takes z-scores, unlike AUCell, whose ranks inside a cell mean nothing where every gene is scaled.
    """
    sign = np.sign(regulons)
    size = np.abs(sign).sum(axis=1)
    keep = size >= FEWEST_TARGETS
    return _standard(x) @ sign[keep].T / np.sqrt(size[keep])


def smoothed(
    x: Float[np.ndarray, "lines genes"], links: sp.csr_matrix, *, share: float = SPREAD
) -> Float[np.ndarray, "lines genes"]:
    """Expression spread along a signed network: x (1 - share) (I - share S)^-1, S = D^-1/2 A D^-1/2.

    `A` holds the signs of the links in both directions, `D` their number at a gene; a random walk with restart.
    """
    both = sp.csr_matrix(links + links.T).sign()
    both.setdiag(0)
    degree = np.maximum(np.asarray(abs(both).sum(axis=1)).ravel(), 1)
    scale = sp.diags(degree**-0.5)
    walk = np.eye(both.shape[0]) - share * (scale @ both @ scale).toarray()
    return (1 - share) * np.linalg.solve(walk.T, _standard(x).T).T


@dataclass(frozen=True, slots=True)
class SharedRidge:
    """Kernel ridge regression of many targets by one eigendecomposition: any penalty, any number of targets.

    Attributes
    ----------
    fitted
        Items that have targets.
    values, vectors
        Eigendecomposition of their kernel.
    across
        Kernel of the wanted items (all by default) with the fitted ones, times `vectors`.
    """

    fitted: Bool[np.ndarray, " items"]
    values: Float[np.ndarray, " fitted"]
    vectors: Float[np.ndarray, "fitted fitted"]
    across: Float[np.ndarray, "wanted fitted"]

    @classmethod
    def on(
        cls,
        kernel: Float[np.ndarray, "items items"],
        fitted: Bool[np.ndarray, " items"],
        wanted: Bool[np.ndarray, " items"] | None = None,
    ) -> SharedRidge:
        """Decompose the kernel of the fitted items."""
        values, vectors = np.linalg.eigh(kernel[np.ix_(fitted, fitted)])
        rows = kernel[:, fitted] if wanted is None else kernel[np.ix_(wanted, fitted)]
        return cls(fitted, np.maximum(values, 0), vectors, rows @ vectors)

    def predict(
        self, targets: Float[np.ndarray, "fitted targets"], penalty: float
    ) -> Float[np.ndarray, "wanted targets"]:
        """Targets of the wanted items; the mean is not penalised."""
        mean = targets.mean(axis=0)
        return mean + self.across @ ((self.vectors.T @ (targets - mean)) / (self.values + penalty)[:, None])


def ridge_per_drug(
    kernel: Float[np.ndarray, "lines lines"],
    y: Float[np.ndarray, "lines drugs"],
    known: Bool[np.ndarray, "lines drugs"],
    penalty: float,
) -> Float[np.ndarray, "lines drugs"]:
    """Kernel ridge regression of each drug on the lines it was measured in, drugs apart; the mean where there is one."""
    out = np.full(y.shape, y[known].mean())
    for drug in np.flatnonzero(known.any(axis=0)):
        rows = np.flatnonzero(known[:, drug])
        mean = y[rows, drug].mean()
        gram = kernel[np.ix_(rows, rows)] + penalty * np.eye(rows.size)
        weights = scipy.linalg.solve(gram, y[rows, drug] - mean, assume_a="pos", check_finite=False)
        out[:, drug] = mean + kernel[:, rows] @ weights
    return out
