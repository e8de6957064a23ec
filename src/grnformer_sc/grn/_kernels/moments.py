"""Kernel of sums, ranges and products of genes along the links of a network, group by group."""

import numba as nb
import numpy as np


@nb.njit(cache=True, nogil=True)
def add_moments(
    indptr, indices, data, codes, place, start, parent, total, low, high, n_seen, gram, cross, value, present
):  # fmt: skip
    """Add the cells of a CSR block, one after the other: the cut into blocks never changes a bit.

    Regulators of gene j are `parent[start[j] : start[j + 1]]`, rows of `gram`; `place[j]` is the row of a gene that is one
    (else -1). `cross` has one column per link. Working space, one per regulator: `value`, zeros, and `present`.
    """
    for i in range(codes.size):
        g, n_present = codes[i], 0
        for k in range(indptr[i], indptr[i + 1]):
            j, x = indices[k], np.float64(data[k])
            total[g, j] += x
            n_seen[j] += 1
            low[j] = min(low[j], x)
            high[j] = max(high[j], x)
            if place[j] >= 0:
                value[place[j]] = x
                present[n_present] = place[j]
                n_present += 1
        for k in range(indptr[i], indptr[i + 1]):
            j, x = indices[k], np.float64(data[k])
            for p in range(start[j], start[j + 1]):
                cross[g, p] += x * value[parent[p]]
        for a in range(n_present):
            for b in range(n_present):
                gram[g, present[a], present[b]] += value[present[a]] * value[present[b]]
        for a in range(n_present):
            value[present[a]] = 0.0
