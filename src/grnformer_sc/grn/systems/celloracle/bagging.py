"""Bagged ridge regressions of all genes from shared products of the bags, without a design matrix per gene."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float, Int
from joblib import Parallel, delayed
from scipy.stats import t as student

BLOCK_CELLS = 1024
BLOCK_GENES = 2000  # targets whose products are held at a time

# numbers of columns -> blocks of cells, dense
Load = Callable[[np.ndarray], Iterator[np.ndarray]]


def bags(n_cells: int, n_bags: int, rng: np.random.Generator) -> Float[np.ndarray, "bags cells"]:
    """How often every bag draws every cell, with replacement."""
    drawn = rng.integers(n_cells, size=(n_bags, n_cells))
    return np.stack([np.bincount(bag, minlength=n_cells) for bag in drawn]).astype(np.float64)


def centred_products(
    load: Load, weights: Float[np.ndarray, "bags cells"], left: Int[np.ndarray, " left"],
    right: Int[np.ndarray, " right"], *, n_jobs: int,
) -> Float[np.ndarray, "bags left right"]:  # fmt: skip
    """Sums over the cells of every bag of (x - mean)(y - mean), all pairs of left and right columns."""
    n_bags, n_cells = weights.shape
    total = np.zeros((n_bags, left.size + 1, right.size + 1))
    pool = Parallel(n_jobs=n_jobs, prefer="threads")
    first = 0
    for one, other in zip(load(left), load(right), strict=True):
        ones = np.ones((one.shape[0], 1))
        x, y = np.hstack([one, ones]), np.hstack([other, ones])
        own = weights[:, first : first + one.shape[0]]
        pool(delayed(_add)(total[bag], x, y, own[bag]) for bag in range(n_bags))
        first += one.shape[0]
    sums = total[:, :-1, -1:] @ total[:, -1:, :-1]
    return total[:, :-1, :-1] - sums / n_cells


def _add(total: np.ndarray, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> None:
    total += (x * weight[:, None]).T @ y


def ridge_of_gene(
    gram: Float[np.ndarray, "bags tfs tfs"], cross: Float[np.ndarray, "bags tfs"], alpha: float, max_features: float,
    rng: np.random.Generator,
) -> tuple[Float[np.ndarray, " tfs"], Float[np.ndarray, " tfs"]]:  # fmt: skip
    """Mean coefficients and p-values of a gene; every bag sees a share of the TFs, drawn without replacement.

    A coefficient is the mean over the bags that saw its TF; p is that of Student's t over them against a mean of 0, and 1
    for a TF that fewer than two bags saw or whose coefficients are all 0.
    """
    n_bags, n_tfs = cross.shape
    n_seen = max(1, int(max_features * n_tfs))
    seen = np.sort(np.argsort(rng.random((n_bags, n_tfs)), axis=1)[:, :n_seen], axis=1)
    bag = np.arange(n_bags)[:, None]
    system = gram[bag[:, :, None], seen[:, :, None], seen[:, None, :]] + alpha * np.eye(n_seen)
    solved = np.linalg.solve(system, cross[bag, seen][:, :, None])[:, :, 0]
    value, known = np.zeros((n_bags, n_tfs)), np.zeros((n_bags, n_tfs), dtype=bool)
    value[bag, seen], known[bag, seen] = solved, True
    return _mean_and_p(value, known)


def _mean_and_p(value: Float[np.ndarray, "bags tfs"], known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n = known.sum(axis=0)
    mean = value.sum(axis=0) / np.maximum(n, 1)
    spread = np.sqrt((np.where(known, value - mean, 0) ** 2).sum(axis=0) / np.maximum(n - 1, 1))
    error = spread / np.sqrt(np.maximum(n, 1))
    size = np.divide(np.abs(mean), error, out=np.full(mean.size, np.inf), where=error > 0)
    p = 2 * student.sf(np.where(mean == 0, 0, size), np.maximum(n - 1, 1))
    return mean, np.where(n < 2, 1.0, p)
