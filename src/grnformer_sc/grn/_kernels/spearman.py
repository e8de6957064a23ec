"""Kernels of sparse rank correlation."""

import numba as nb
import numpy as np


@nb.njit(cache=True, nogil=True)
def _mid_ranks(values, out):
    """Mean 1-based rank of every value."""
    order = np.argsort(values)
    i = 0
    while i < order.size:
        j = i + 1
        while j < order.size and values[order[j]] == values[order[i]]:
            j += 1
        for k in range(i, j):
            out[order[k]] = 0.5 * (i + j + 1)
        i = j


@nb.njit(cache=True, nogil=True)
def shifted_ranks(indptr, data, n_rows):
    """Ranks of the nonzeros of non-negative CSC columns minus the rank of the zeros, and the sd of all ranks."""
    n_cols = indptr.size - 1
    rank = np.empty(data.size, np.float64)
    deviation = np.empty(n_cols, np.float64)
    for j in range(n_cols):
        a, b = indptr[j], indptr[j + 1]
        zeros = n_rows - (b - a)
        _mid_ranks(data[a:b], rank[a:b])
        total, square = 0.0, 0.0
        for q in range(a, b):
            rank[q] += zeros - 0.5 * (zeros + 1) if zeros > 0 else 0.0
            total += rank[q]
            square += rank[q] * rank[q]
        mean = total / n_rows
        deviation[j] = np.sqrt(max(square / n_rows - mean * mean, 0.0))
    return rank, deviation


@nb.njit(cache=True, nogil=True)
def dense_ranks(rows):
    """Ranks of every row, mean 0 and sd 1 (all 0 for a constant row)."""
    out = np.empty(rows.shape, np.float64)
    for g in range(rows.shape[0]):
        _mid_ranks(rows[g], out[g])
        out[g] -= out[g].mean()
        deviation = np.sqrt((out[g] * out[g]).mean())
        if deviation > 1e-9:
            out[g] /= deviation
    return out


@nb.njit(cache=True, nogil=True)
def pair_products(standard, indptr, indices, rank, deviation, gene, region):
    """Correlation of each pair by one walk over the nonzeros of its region."""
    out = np.zeros(gene.size, np.float32)
    n = standard.shape[1]
    for k in range(gene.size):
        j = region[k]
        row = standard[gene[k]]
        total = 0.0
        for q in range(indptr[j], indptr[j + 1]):
            total += rank[q] * row[indices[q]]
        if deviation[j] > 1e-9:
            out[k] = total / (n * deviation[j])
    return out
