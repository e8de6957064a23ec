"""Kernel of random forests on binned features: importances of one block of genes."""

import numba as nb
import numpy as np

from .random import below, step


@nb.njit(cache=True, nogil=True)
def _best_split(column, cells, weight, y, total, count, mass, size):
    """Best first bin of the right side (-1: none) and its gain in weighted squared error, one feature in one node."""
    low, high = 255, 0
    for c in cells:
        b = column[c]
        low, high = min(low, b), max(high, b)
    if low == high:
        return -1, 0.0
    mass[low : high + 1] = 0.0
    size[low : high + 1] = 0.0
    for c in cells:
        b = column[c]
        mass[b] += weight[c] * y[c]
        size[b] += weight[c]
    best, at = 0.0, -1
    left, n_left = 0.0, 0.0
    for b in range(low, high):
        if size[b] == 0:
            continue
        left += mass[b]
        n_left += size[b]
        right, n_right = total - left, count - n_left
        gain = left * left / n_left + right * right / n_right - total * total / count
        if gain > best:
            best, at = gain, b + 1
    return at, best


@nb.njit(cache=True, nogil=True)
def _grow(columns, y, feat, n_try, state, gain_out):
    """One tree on a bootstrap sample, grown until its leaves are pure; adds the gain of every split to its feature."""
    n = y.size
    weight = np.zeros(n)
    for _ in range(n):
        state = step(state)
        weight[below(state, n)] += 1.0
    order = np.flatnonzero(weight > 0)
    start, stop = np.empty(2 * n, np.int64), np.empty(2 * n, np.int64)
    start[0], stop[0], top = 0, order.size, 1
    mass, size = np.zeros(256), np.zeros(256)
    perm = np.arange(feat.size)
    while top > 0:
        top -= 1
        a, b = start[top], stop[top]
        cells = order[a:b]
        total, count, square = 0.0, 0.0, 0.0
        for c in cells:
            total += weight[c] * y[c]
            count += weight[c]
            square += weight[c] * y[c] * y[c]
        if cells.size < 2 or square - total * total / count <= 1e-12 * count:
            continue
        best, chosen, at, tried = 0.0, -1, -1, 0
        for j in range(feat.size):  # features without replacement; constant ones do not count
            if tried == n_try:
                break
            state = step(state)
            k = j + below(state, feat.size - j)
            perm[j], perm[k] = perm[k], perm[j]
            split, gain = _best_split(columns[feat[perm[j]]], cells, weight, y, total, count, mass, size)
            tried += split >= 0
            if gain > best:
                best, chosen, at = gain, perm[j], split
        if chosen < 0:
            continue
        gain_out[chosen] += best / n
        column, i, k = columns[feat[chosen]], a, b - 1
        while i <= k:
            if column[order[i]] < at:
                i += 1
            else:
                order[i], order[k] = order[k], order[i]
                k -= 1
        start[top], stop[top] = a, i
        start[top + 1], stop[top + 1] = i, b
        top += 2
    return state


@nb.njit(cache=True, nogil=True)
def forest_genes(columns, start, feature, target, seeds, n_trees, importance):
    """Mean over trees of the variance that each candidate feature explains, for every gene (scaled to variance 1)."""
    for g in range(start.size - 1):
        feat = feature[start[g] : start[g + 1]]
        y = target[g].astype(np.float64)
        deviation = y.std()
        if feat.size == 0 or deviation <= 1e-9:
            continue
        y = (y - y.mean()) / deviation
        n_try = max(1, int(np.sqrt(feat.size)))
        gain = np.zeros(feat.size)
        state = seeds[g] | np.uint64(1)
        for _ in range(n_trees):
            state = _grow(columns, y, feat, n_try, state, gain)
        for k in range(feat.size):
            importance[start[g] + k] = gain[k] / n_trees
