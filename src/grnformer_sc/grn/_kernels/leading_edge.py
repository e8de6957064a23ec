"""Kernel of the pre-ranked enrichment running sum."""

import numba as nb
import numpy as np


@nb.njit(cache=True, nogil=True)
def leading_edges(indptr, indices, order, n_allowed, importance, min_targets, keep):
    """Mark the members of every row up to the maximum of its weighted running sum, if that is enriched at the top."""
    n_genes = order.shape[1]
    place = np.full(n_genes, -1, np.int64)
    for t in range(indptr.size - 1):
        a, b, n = indptr[t], indptr[t + 1], n_allowed[t]
        if b == a or n == 0:
            continue
        for q in range(a, b):
            place[indices[q]] = q
        total, size = 0.0, 0
        for r in range(n):
            if place[order[t, r]] >= 0:
                total += abs(importance[t, order[t, r]])
                size += 1
        if size >= min_targets and total > 0:
            value, top, low, at = 0.0, -np.inf, np.inf, -1
            hit, miss = 0.0, 0
            others = max(1, n - size)
            for r in range(n):
                g = order[t, r]
                if place[g] >= 0:
                    hit += abs(importance[t, g])
                else:
                    miss += 1
                value = hit / total - miss / others
                if value > top:
                    top, at = value, r
                low = min(low, value)
            if top > -low:
                members = 0
                for r in range(at + 1):
                    members += place[order[t, r]] >= 0
                if members >= min_targets:
                    for r in range(at + 1):
                        q = place[order[t, r]]
                        if q >= 0:
                            keep[q] = True
        for q in range(a, b):
            place[indices[q]] = -1
