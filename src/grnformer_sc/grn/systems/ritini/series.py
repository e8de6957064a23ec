"""From cells along a trajectory to a series of points per gene, and its windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Float32, Int

from ...._core.rows import Rows
from ...embedding import log_normalise
from ..renge.network import log_counts
from .options import AHEAD, HISTORY

FLAT = 1e-9  # of its level that a gene must vary by


@dataclass(frozen=True, slots=True)
class Series:
    """Expression at points along a trajectory.

    Attributes
    ----------
    times
        Mean time of the cells of every point.
    values
        Mean log expression.
    mean, scale
        What the values are standardised by before the model sees them.
    """

    times: Float[np.ndarray, " points"]
    values: Float[np.ndarray, "points genes"]
    mean: Float[np.ndarray, " genes"]
    scale: Float[np.ndarray, " genes"]

    @classmethod
    def of(cls, times: np.ndarray, values: np.ndarray) -> Series:
        """Standardised by the mean and standard deviation of every gene along the trajectory."""
        scale = values.std(axis=0)
        return cls(times, values, values.mean(axis=0), np.where(scale > 0, scale, 1.0))

    @property
    def standard(self) -> Float32[np.ndarray, "points genes"]:
        """What the model sees."""
        return ((self.values - self.mean) / self.scale).astype(np.float32)


def bins_of(time: Float[np.ndarray, " cells"], n_points: int) -> Int[np.ndarray, " cells"]:
    """Bin of every cell, ascending in time: equal numbers of cells, those of equal times together, none empty."""
    rank = np.searchsorted(np.sort(time), time, side="left")
    return np.unique(rank * n_points // time.size, return_inverse=True)[1].astype(np.int64)


def points_of(
    counts: Rows, time: Float[np.ndarray, " cells"], bins: Int[np.ndarray, " cells"], *, smooth: float, normalize: bool
) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, "points genes"]]:
    """Mean time and mean log expression of the cells of every bin, smoothed over neighbouring bins.

    The kernel is Gaussian with a standard deviation of `smooth` bins, and every bin weighs as much as it has cells.
    """
    transform = log_normalise if normalize else log_counts
    size = np.bincount(bins)
    total = np.zeros((size.size, counts.shape[1]))
    for first, part in counts.blocks():
        own = bins[first : first + part.shape[0]]
        pick = sp.csr_matrix((np.ones(own.size), (own, np.arange(own.size))), (size.size, own.size))
        total += (pick @ transform(part).astype(np.float64)).toarray()
    near = kernel(size.size, smooth)
    return np.bincount(bins, weights=time) / size, near @ total / (near @ size)[:, None]


def kernel(n_points: int, smooth: float) -> Float[np.ndarray, "points points"]:
    """Gaussian weights of points around each other; the identity without smoothing."""
    if smooth == 0:
        return np.eye(n_points)
    gap = np.subtract.outer(np.arange(n_points), np.arange(n_points))
    return np.exp(-0.5 * (gap / smooth) ** 2)


def most_variable(values: Float[np.ndarray, "points genes"], n: int) -> Int[np.ndarray, " chosen"]:
    """Places of the genes that vary most along the trajectory, ascending; those that never change are left out."""
    order = np.argsort(-values.var(axis=0), kind="stable")[:n]
    return np.sort(order[changing(values)[order]])


def changing(values: Float[np.ndarray, "points genes"]) -> Bool[np.ndarray, " genes"]:
    """Genes that vary by more than the rounding of sums."""
    return values.std(axis=0) > FLAT * (1 + np.abs(values).max(axis=0))


def windows(values: Float32[np.ndarray, "points genes"]) -> tuple[np.ndarray, np.ndarray]:
    """History and following points of every window (windows x points x genes)."""
    n = len(values) - HISTORY - AHEAD + 1
    view = np.lib.stride_tricks.sliding_window_view(values, HISTORY + AHEAD, axis=0)[:n].transpose(0, 2, 1)
    return np.ascontiguousarray(view[:, :HISTORY]), np.ascontiguousarray(view[:, HISTORY:])


def places(n_windows: int) -> Float32[np.ndarray, " windows"]:
    """Place of every window along the trajectory, from 0 to 1."""
    return np.linspace(0, 1, n_windows, dtype=np.float32) if n_windows > 1 else np.zeros(1, dtype=np.float32)
