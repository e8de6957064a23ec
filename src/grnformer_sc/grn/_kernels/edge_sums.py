"""Kernel of differential links: sums from which the correlation of a target with the rest of its regulon follows."""

import numba as nb
import numpy as np

from .aucell import SMALL, _gains, _mean_gain

EXPECTED = True  # genes of equal value share their mean gain


@nb.njit(cache=True, nogil=True)
def add_edge_sums(
    counts,
    values,
    indices,
    indptr,
    n_genes,
    target,
    start,
    regulon,
    cutoff,
    depth,
    unit,
    gene_sums,
    regulon_sums,
    edge_sums,
):
    """Add the cells of a block to the sums of their units.

    `counts` and `values` are the raw and the log-normalised data of the same rows. `target` numbers the genes that are
    members of a regulon (-1: none); `start` and `regulon` hold the memberships by target, one after the other: the links.
    With x the value of a target, u its gain (cutoff - rank, at least 0, over the cutoff), u0 the gain of the genes at zero,
    A the sum of a regulon's gains, b = A - u0 and a = A - u, the rest of the regulon without that target:

    gene_sums (units x targets x 6) : cells with the target, x, x^2, x d, u - u0, (u - u0) d
    regulon_sums (units x regulons x 3) : b, b^2, b d
    edge_sums (units x links x 2) : x a, a^2 - b^2

    where d is `depth`. The last is summed over cells that have the target; in the others a is b.
    """
    gain = np.empty(n_genes, np.float64)
    keys = np.empty(n_genes, np.uint64)
    bucket_count = np.empty(4096, np.int64)
    count = np.zeros(SMALL, np.int64)
    of_value = np.zeros(SMALL, np.float64)
    n_regulons = regulon_sums.shape[1]
    size = np.zeros(n_regulons, np.int64)
    for q in range(regulon.size):
        size[regulon[q]] += 1
    area = np.empty(n_regulons, np.float64)
    for i in range(indptr.size - 1):
        first, last, s, d = indptr[i], indptr[i + 1], unit[i], depth[i]
        _gains(counts[first:last], cutoff, EXPECTED, count, keys, bucket_count, of_value, gain)
        at_zero = _mean_gain(last - first, n_genes, cutoff) / cutoff
        for r in range(n_regulons):
            area[r] = at_zero * size[r]
        for j in range(last - first):
            t = target[indices[first + j]]
            gain[j] = gain[j] / cutoff - at_zero
            if t >= 0 and gain[j] != 0:
                for q in range(start[t], start[t + 1]):
                    area[regulon[q]] += gain[j]
        for r in range(n_regulons):
            b = area[r] - at_zero
            regulon_sums[s, r, 0] += b
            regulon_sums[s, r, 1] += b * b
            regulon_sums[s, r, 2] += b * d
        for j in range(last - first):
            t = target[indices[first + j]]
            if t < 0:
                continue
            x, more = values[first + j], gain[j]
            gene_sums[s, t, 0] += 1.0
            gene_sums[s, t, 1] += x
            gene_sums[s, t, 2] += x * x
            gene_sums[s, t, 3] += x * d
            gene_sums[s, t, 4] += more
            gene_sums[s, t, 5] += more * d
            for q in range(start[t], start[t + 1]):
                b = area[regulon[q]] - at_zero
                a = b - more
                edge_sums[s, q, 0] += x * a
                edge_sums[s, q, 1] += (a - b) * (a + b)
