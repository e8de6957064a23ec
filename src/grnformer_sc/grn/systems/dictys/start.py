"""Where the training begins: levels and principal components of the counts, links near 0."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from .model import Parts

SMALLEST_SHARE = 1e-6  # of a cell's counts, added before the logarithm
SMALLEST_LINK = 1e-4  # standard deviation of the links
SPREAD = 0.5
SMALLEST = 1e-3  # of the square root of a variance


def start(
    counts: Float[np.ndarray, "cells genes"],
    total: Float[np.ndarray, " cells"],
    n_factors: int,
    n_links: int,
    rng: np.random.Generator,
) -> Parts:
    """Parameters of the first step (float32).

    The variance of a gene that the components leave starts as its square root: so does the original, and the training
    forgets it.
    """
    share = np.log(counts / total[:, None] + SMALLEST_SHARE)
    share -= share.mean(axis=0)
    covariance = share.T @ share / len(share)
    value, vector = np.linalg.eigh(covariance)
    largest = np.argsort(-value, kind="stable")[:n_factors]
    factor = vector[:, largest] * np.sqrt(np.maximum(value[largest], 0))
    factor *= np.where(factor[np.abs(factor).argmax(axis=0), np.arange(n_factors)] < 0, -1, 1)
    left = np.sqrt(np.maximum(np.diag(covariance) - (factor**2).sum(axis=1), SMALLEST**2))
    level = np.log(counts.sum(axis=0) / total.sum())
    link = rng.normal(0, SMALLEST_LINK, n_links)
    values = (
        level, left, factor, left, link, np.array(1.0), np.tile(level, (len(counts), 1)), np.full(counts.shape, SPREAD),
    )  # fmt: skip
    return Parts(*(torch.from_numpy(value.astype(np.float32)) for value in values))
