"""Kernel of AUCell on CSR rows: one walk over the best genes of a cell, no dense row, no sort per regulon."""

import numba as nb
import numpy as np


@nb.njit(cache=True, nogil=True)
def _mean_gain(a, b, cutoff):
    """Mean of max(cutoff - r, 0) over the ranks r in [a, b)."""
    if a >= cutoff:
        return 0.0
    m = min(b, cutoff)
    return ((m - a) * cutoff - (m * (m - 1) - a * (a - 1)) * 0.5) / (b - a)


@nb.njit(cache=True, nogil=True)
def _add(gene, gain, start, regulon, weight, acc):
    for q in range(start[gene], start[gene + 1]):
        acc[regulon[q]] += gain * weight[q]


@nb.njit(cache=True, nogil=True)
def recovery_area(
    data, indices, indptr, n_genes, start, regulon, weight, zero_total, cutoff, position, gene_at, expected, norm, out
):
    """Fill `out` (cells x regulons) with the weighted sum of max(cutoff - rank, 0) over members, divided by `norm`.

    `start`, `regulon`, `weight` hold the memberships by gene; `position` is the place of every gene in the tie order and
    `gene_at` its inverse; with `expected` a group of ties shares its mean gain, and `zero_total` (sum of all weights of a
    regulon) turns the many zeros of a cell into one constant.
    """
    n_regulons = norm.size
    keys = np.empty(n_genes, np.uint64)
    count = np.empty(4096, np.int64)
    seen = np.zeros(n_genes, np.bool_)
    acc = np.empty(n_regulons, np.float64)
    low_bits = np.uint64(0xFFFFFFFF)
    for i in range(indptr.size - 1):
        acc[:] = 0.0
        a, b = indptr[i], indptr[i + 1]
        n_pos = b - a
        for j in range(n_pos):  # bits of positive float32 numbers sort like the numbers
            bits = np.uint64(np.float32(data[a + j]).view(np.uint32))
            low = np.uint64(indices[a + j]) if expected else np.uint64(position[indices[a + j]])
            keys[j] = ((np.uint64(0x7FFFFFFF) - bits) << np.uint64(32)) | low
        kept = n_pos
        if n_pos > cutoff:  # keep whole buckets of the top bits until `cutoff` keys are in
            count[:] = 0
            for j in range(n_pos):
                count[keys[j] >> np.uint64(51)] += 1
            total, bucket = 0, 0
            while total < cutoff:
                total += count[bucket]
                bucket += 1
            limit = np.uint64(bucket) << np.uint64(51)
            kept = 0
            for j in range(n_pos):
                if keys[j] < limit:
                    keys[kept] = keys[j]
                    kept += 1
        best = np.sort(keys[:kept])
        r = 0
        while r < kept and r < cutoff:
            if not expected:
                _add(gene_at[np.int64(best[r] & low_bits)], float(cutoff - r), start, regulon, weight, acc)
                r += 1
                continue
            value = best[r] >> np.uint64(32)
            t = r + 1
            while t < kept and (best[t] >> np.uint64(32)) == value:
                t += 1
            gain = _mean_gain(r, t, cutoff)
            for j in range(r, t):
                _add(np.int64(best[j] & low_bits), gain, start, regulon, weight, acc)
            r = t
        if n_pos < cutoff:  # zeros enter the top
            if expected:
                gain = _mean_gain(n_pos, n_genes, cutoff)
                for s in range(n_regulons):
                    acc[s] += gain * zero_total[s]
                for q in range(a, b):
                    _add(indices[q], -gain, start, regulon, weight, acc)
            else:
                for q in range(a, b):
                    seen[indices[q]] = True
                r, p = n_pos, 0
                while r < cutoff and p < n_genes:
                    if not seen[gene_at[p]]:
                        _add(gene_at[p], float(cutoff - r), start, regulon, weight, acc)
                        r += 1
                    p += 1
                for q in range(a, b):
                    seen[indices[q]] = False
        for s in range(n_regulons):
            out[i, s] = acc[s] / norm[s] if norm[s] > 0 else 0.0
