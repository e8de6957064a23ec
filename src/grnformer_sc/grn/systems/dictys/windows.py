"""Windows of cells along a trajectory, and networks between their centres."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int


def windows_of(time: Float[np.ndarray, " cells"], size: int, overlap: int) -> list[Int[np.ndarray, " _"]]:
    """Cells of every window, ascending in time; the last one ends with the last cell, equal times keep their order."""
    order = np.argsort(time, kind="stable")
    last = max(time.size - size, 0)
    starts = np.arange(0, last + 1, size - overlap)
    if starts[-1] < last:
        starts = np.r_[starts, last]
    return [order[first : first + size] for first in starts]


def kernel(
    centres: Float[np.ndarray, " windows"], points: Float[np.ndarray, " points"], bandwidth: float
) -> Float[np.ndarray, "points windows"]:
    """Gaussian weights of the windows at every point, which sum to 1."""
    log_weight = -(((points[:, None] - centres) / bandwidth) ** 2) / 2
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    return weight / weight.sum(axis=1, keepdims=True)


def default_bandwidth(centres: Float[np.ndarray, " windows"]) -> float:
    """The largest gap between neighbouring windows, so that no point lies outside the reach of all."""
    return float(np.diff(centres).max())


def smoothed(weights: Sequence[sp.csr_matrix], share: Float[np.ndarray, " windows"]) -> sp.csr_matrix:
    """Network at a point: mean of the windows' networks with these shares."""
    total = sum(part * float(one) for part, one in zip(weights, share, strict=True) if one > 0)
    return sp.csr_matrix(total)


def regulation(network: sp.csr_matrix, tfs: Int[np.ndarray, " tfs"], strongest: float) -> Float[np.ndarray, " tfs"]:
    """log2(number of targets + 1) of every TF, counting a share of all links of the network, the strongest."""
    coo = sp.coo_matrix(network)
    n_kept = max(1, round(strongest * coo.nnz))
    kept = np.argsort(-np.abs(coo.data), kind="stable")[:n_kept]
    return np.log2(np.bincount(coo.row[kept], minlength=network.shape[0])[tfs] + 1)
