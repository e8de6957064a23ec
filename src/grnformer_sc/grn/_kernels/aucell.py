"""Kernel of AUCell on CSR rows: counts are ranked by counting, not by sorting, and no row is ever dense."""

import numba as nb
import numpy as np

SMALL = 256  # values below are ranked by counting, where a row holds whole numbers


@nb.njit(cache=True, nogil=True)
def _mean_gain(a, b, cutoff):
    """Mean of max(cutoff - r, 0) over the ranks r in [a, b)."""
    if a >= cutoff:
        return 0.0
    m = min(b, cutoff)
    return ((m - a) * cutoff - (m * (m - 1) - a * (a - 1)) * 0.5) / (b - a)


@nb.njit(cache=True, nogil=True)
def _count(values, count, keys):
    """Count the small whole values; the others go to `keys`, all of them when one is not whole.

    Returns the number of keys and the largest counted value. Bits of positive float32 numbers sort like the numbers, so a
    key holds the value (large first) above the place in the row.
    """
    n_keys, top = 0, 0
    for j in range(values.size):
        v = np.int64(values[j])
        if np.float32(v) != values[j]:
            count[: top + 1] = 0
            for k in range(values.size):
                keys[k] = _key(values[k], k)
            return values.size, 0
        if v < count.size:
            count[v] += 1
            top = max(top, v)
        else:
            keys[n_keys] = _key(values[j], j)
            n_keys += 1
    return n_keys, top


@nb.njit(cache=True, nogil=True)
def _key(value, place):
    bits = np.uint64(np.float32(value).view(np.uint32))
    return ((np.uint64(0x7FFFFFFF) - bits) << np.uint64(32)) | np.uint64(place)


@nb.njit(cache=True, nogil=True)
def _best_keys(keys, cutoff, bucket_count):
    """The smallest keys in order, at least `cutoff` of them where there are so many (whole buckets of the top bits)."""
    if keys.size <= cutoff:
        return np.sort(keys)
    bucket_count[:] = 0
    for j in range(keys.size):
        bucket_count[keys[j] >> np.uint64(51)] += 1
    total, bucket = 0, 0
    while total < cutoff:
        total += bucket_count[bucket]
        bucket += 1
    limit = np.uint64(bucket) << np.uint64(51)
    return np.sort(keys[keys < limit])


@nb.njit(cache=True, nogil=True)
def _gains(values, cutoff, expected, count, keys, bucket_count, of_value, gain):
    """Fill `gain` with cutoff - rank of every value of a row (0 below the cutoff); ties by place, or shared."""
    n_keys, top = _count(values, count, keys)
    gain[: values.size] = 0.0
    r = 0
    if n_keys > 0:
        best = _best_keys(keys[:n_keys], cutoff, bucket_count)
        low_bits = np.uint64(0xFFFFFFFF)
        while r < best.size and r < cutoff:
            t = r + 1
            while expected and t < best.size and (best[t] >> np.uint64(32)) == (best[r] >> np.uint64(32)):
                t += 1
            mean = _mean_gain(r, t, cutoff)
            for j in range(r, t):
                gain[np.int64(best[j] & low_bits)] = mean
            r = t
        r = n_keys
    for v in range(top, 0, -1):
        n = count[v]
        count[v] = 0
        of_value[v] = (_mean_gain(r, r + n, cutoff) if expected else np.float64(cutoff - r)) if n > 0 else 0.0
        r += n
    if top > 0:
        step = 0.0 if expected else 1.0
        for j in range(values.size):
            v = np.int64(values[j])
            if v < count.size:
                gain[j] = max(of_value[v], 0.0)
                of_value[v] -= step


@nb.njit(cache=True, nogil=True)
def recovery_area(data, indices, indptr, n_genes, start, regulon, weight, total, cutoff, expected, norm, out):
    """Fill `out` (cells x regulons) with the weighted sum of max(cutoff - rank, 0) over members, divided by `norm`.

    Column indices must ascend in every row; ties are broken by column, or with `expected` a group of ties shares its mean
    gain. `start`, `regulon`, `weight` hold the memberships by gene; `total` (sum of all weights of a regulon) turns the
    many zeros of a cell into one constant; an infinite `norm` gives 0.
    """
    gain = np.empty(n_genes, np.float64)
    keys = np.empty(n_genes, np.uint64)
    bucket_count = np.empty(4096, np.int64)
    count = np.zeros(SMALL, np.int64)
    of_value = np.zeros(SMALL, np.float64)
    acc = np.empty(norm.size, np.float64)
    for i in range(indptr.size - 1):
        a, b = indptr[i], indptr[i + 1]
        _gains(data[a:b], cutoff, expected, count, keys, bucket_count, of_value, gain)
        acc[:] = 0.0
        shared = _mean_gain(b - a, n_genes, cutoff) if expected else 0.0  # of the zeros that enter the top
        if shared > 0:
            for s in range(norm.size):
                acc[s] = shared * total[s]
        for j in range(b - a):
            add = gain[j] - shared
            if add != 0:
                g = np.uint32(indices[a + j])
                for q in range(start[g], start[g + 1]):
                    acc[regulon[q]] += add * weight[q]
        if not expected and b - a < cutoff:
            r, j = b - a, a
            for g in range(n_genes):
                if j < b and indices[j] == g:
                    j += 1
                    continue
                if r >= cutoff:
                    break
                for q in range(start[g], start[g + 1]):
                    acc[regulon[q]] += (cutoff - r) * weight[q]
                r += 1
        for s in range(norm.size):
            out[i, s] = acc[s] / norm[s]
