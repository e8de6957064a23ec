"""Hartigan's dip statistic of sorted samples."""

import numba as nb
import numpy as np


@nb.njit(cache=True, nogil=True)
def _dip(x):
    """Largest distance of the empirical distribution to the closest unimodal one, by shrinking the modal interval."""
    n = x.size
    if n < 4 or x[0] == x[n - 1]:
        return 0.5 / n
    minorant = np.empty(n, np.int64)  # predecessor on the greatest convex minorant fit of x[:j + 1]
    majorant = np.empty(n, np.int64)  # successor on the least concave majorant fit of x[j:]
    minorant[0] = 0
    for j in range(1, n):
        minorant[j] = j - 1
        while True:
            p = minorant[j]
            q = minorant[p]
            if p == 0 or (x[j] - x[p]) * (p - q) < (x[p] - x[q]) * (j - p):
                break
            minorant[j] = q
    majorant[n - 1] = n - 1
    for k in range(n - 2, -1, -1):
        majorant[k] = k + 1
        while True:
            p = majorant[k]
            q = majorant[p]
            if p == n - 1 or (x[k] - x[p]) * (p - q) < (x[p] - x[q]) * (k - p):
                break
            majorant[k] = q
    low, high = 0, n - 1
    dip = 1.0
    gcm = np.empty(n, np.int64)
    lcm = np.empty(n, np.int64)
    while True:
        gcm[0] = high
        i = 0
        while gcm[i] > low:
            gcm[i + 1] = minorant[gcm[i]]
            i += 1
        n_gcm = i
        ig = i
        lcm[0] = low
        i = 0
        while lcm[i] < high:
            lcm[i + 1] = majorant[lcm[i]]
            i += 1
        n_lcm = i
        ih = i
        ix, iv = n_gcm - 1, 1
        d = 0.0
        if n_gcm != 1 or n_lcm != 1:
            while True:
                at_gcm, at_lcm = gcm[ix], lcm[iv]
                if at_gcm > at_lcm:
                    before = gcm[ix + 1]
                    gap = (at_lcm - before + 1) - (x[at_lcm] - x[before]) * (at_gcm - before) / (x[at_gcm] - x[before])
                    iv += 1
                    if gap >= d:
                        d, ig, ih = gap, ix + 1, iv - 1
                else:
                    before = lcm[iv - 1]
                    gap = (x[at_gcm] - x[before]) * (at_lcm - before) / (x[at_lcm] - x[before]) - (at_gcm - before - 1)
                    ix -= 1
                    if gap >= d:
                        d, ig, ih = gap, ix + 1, iv
                ix = max(ix, 0)
                iv = min(iv, n_lcm)
                if gcm[ix] == lcm[iv]:
                    break
        else:
            d = 1.0
        if d < dip:
            break
        dip_low = 1.0
        for j in range(ig, n_gcm):
            largest = 1.0
            a, b = gcm[j + 1], gcm[j]
            if b - a > 1 and x[b] != x[a]:
                slope = (b - a) / (x[b] - x[a])
                for k in range(a, b + 1):
                    largest = max(largest, (k - a + 1) - (x[k] - x[a]) * slope)
            dip_low = max(dip_low, largest)
        dip_high = 1.0
        for j in range(ih, n_lcm):
            largest = 1.0
            a, b = lcm[j], lcm[j + 1]
            if b - a > 1 and x[b] != x[a]:
                slope = (b - a) / (x[b] - x[a])
                for k in range(a, b + 1):
                    largest = max(largest, (x[k] - x[a]) * slope - (k - a - 1))
            dip_high = max(dip_high, largest)
        dip = max(dip, dip_low, dip_high)
        if low == gcm[ig] and high == lcm[ih]:
            break
        low, high = gcm[ig], lcm[ih]
    return dip / (2.0 * n)


@nb.njit(cache=True, nogil=True)
def dip_statistics(rows):
    """Dip of every row; rows must be sorted."""
    out = np.empty(rows.shape[0], np.float64)
    for r in range(rows.shape[0]):
        out[r] = _dip(rows[r])
    return out
