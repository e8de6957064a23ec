"""Metacells: balanced pools of similar cells; sums and counts of rows by label."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from .._core.rows import Rows, as_rows, ordered

FEWEST, MOST = 500, 1500  # metacells of large data
POOLED = 20  # cells per metacell aimed at
SMALLEST = 10  # cells per metacell at least
DEEP = 500  # median counts per cell from which single cells are used as they are
LEAST = 100  # metacells of small and shallow data
POOL_BLOCK = 4096  # cells summed at once


def metacell_count(n_cells: int, depth: float) -> int:
    """Number of metacells: N/20 within [500, 1500], never fewer than 10 cells each.

    Data too small for that stay single cells when they are deep enough (`depth`: median counts per cell of the sparser
    modality).
    """
    if n_cells >= FEWEST * SMALLEST:
        return int(np.clip(n_cells // POOLED, FEWEST, MOST))
    if depth >= DEEP:
        return n_cells
    return max(n_cells // SMALLEST, min(n_cells, LEAST))


def median_depth(*depths: Float[np.ndarray, " cells"] | None) -> float:
    """Median counts per cell of the sparsest modality."""
    return min(float(np.median(depth)) for depth in depths if depth is not None)


def assign_metacells(
    embedding: Float[np.ndarray, "cells comps"], codes: Int[np.ndarray, " cells"], *, n_metacells: int
) -> Int[np.ndarray, " cells"]:
    """Assign every cell to a metacell of its own group.

    Metacells are apportioned to the groups by size (largest remainder, at least one each). A group is halved at the
    median of its most variable dimension until the wanted number is reached, always the largest part first, so sizes are
    balanced and nothing is random.
    """
    n_groups = int(codes.max()) + 1
    size = np.bincount(codes, minlength=n_groups)
    wanted = apportion(size, max(n_metacells, int((size > 0).sum())))
    out = np.empty(codes.size, dtype=np.int64)
    made = 0
    for group in np.flatnonzero(size):
        for part in _halve(embedding, np.flatnonzero(codes == group), int(wanted[group])):
            out[part] = made
            made += 1
    return out


def apportion(size: Int[np.ndarray, " groups"], total: int) -> Int[np.ndarray, " groups"]:
    """Share out a number to groups by size (largest remainder, at least one to each that is not empty)."""
    quota = size / size.sum() * total
    wanted = np.maximum(np.floor(quota).astype(np.int64), (size > 0).astype(np.int64))
    spare = total - wanted.sum()
    if spare > 0:
        wanted[np.argsort(wanted - quota, kind="stable")[:spare]] += 1
    return np.minimum(wanted, size)


def _halve(embedding: np.ndarray, cells: np.ndarray, wanted: int) -> list[np.ndarray]:
    """Cut a set of cells into `wanted` parts whose sizes differ by at most one cell."""
    if wanted <= 1:
        return [cells]
    widest = embedding[cells].var(axis=0).argmax()
    order = cells[np.argsort(embedding[cells, widest], kind="stable")]
    left = wanted // 2
    at = round(cells.size * left / wanted)
    return [*_halve(embedding, order[:at], left), *_halve(embedding, order[at:], wanted - left)]


def pool(
    x: Rows | sp.csr_matrix, labels: Int[np.ndarray, " cells"], n_labels: int | None = None, *, detected: bool = False
) -> sp.csr_matrix:
    """Sum the rows of each label, or count those in which a column is not zero (one sparse product per block of cells).

    Rows with a negative label are left out.
    """
    rows = as_rows(x)
    n_labels = int(labels.max()) + 1 if n_labels is None else n_labels
    total = sp.csr_matrix((n_labels, rows.source.shape[1]), dtype=np.float32)
    for first, part in replace(rows, columns=None).blocks(POOL_BLOCK):
        used = np.flatnonzero(labels[first : first + part.shape[0]] >= 0)
        sums = np.ones(used.size, dtype=np.float32), (labels[first + used], used)
        if detected:
            part = sp.csr_matrix((np.ones_like(part.data), part.indices, part.indptr), part.shape)  # noqa: PLW2901
        total = total + sp.csr_matrix(sums, (n_labels, part.shape[0])) @ part
    return total if rows.columns is None else ordered(total, rows.columns)
