"""Kernels of histogram gradient boosting: binning of sparse columns, one regression per gene."""

import numba as nb
import numpy as np


@nb.njit(cache=True, nogil=True)
def quantile_bins(indptr, indices, data, n_rows, n_bins, out):
    """Bin the columns of a non-negative CSC matrix by rank: `out` (columns x rows) must come in as zeros."""
    for j in range(indptr.size - 1):
        a, b = indptr[j], indptr[j + 1]
        order = np.argsort(data[a:b])
        zeros = n_rows - (b - a)
        first = 0
        for k in range(order.size):
            q = a + order[k]
            if k > 0 and data[q] != data[a + order[k - 1]]:
                first = k
            # values of one tie share the bin of their first rank; nonzeros never fall into the bin of the zeros
            rank_bin = (zeros + first) * (n_bins - 1) // n_rows
            out[j, indices[q]] = rank_bin + (1 if zeros > 0 else 0)


@nb.njit(cache=True, nogil=True)
def _next(state):  # xorshift64*
    state ^= state >> np.uint64(12)
    state ^= state << np.uint64(25)
    state ^= state >> np.uint64(27)
    return state


@nb.njit(cache=True, nogil=True)
def _draw(state):
    return state * np.uint64(2685821657736338717)


@nb.njit(cache=True, nogil=True, fastmath=True)
def _best_split(bins, rows, residual, a, b, cells, total, min_leaf, hist_sum, hist_n):
    """Best bin of one feature for the cells of a node: gain and bin, or gain 0."""
    hist_sum[:] = 0.0
    hist_n[:] = 0
    for z in range(a, b):
        v = rows[cells[z]]
        hist_sum[v] += residual[cells[z]]
        hist_n[v] += 1
    count = b - a
    best, at = 0.0, -1
    left_sum, left_n = 0.0, 0
    for v in range(hist_sum.size - 1):
        if hist_n[v] == 0:
            continue
        left_sum += hist_sum[v]
        left_n += hist_n[v]
        right_n = count - left_n
        if right_n < min_leaf or right_n == 0:
            break
        if left_n < min_leaf:
            continue
        diff = left_sum / left_n - (total - left_sum) / right_n
        gain = diff * diff * left_n * right_n / count
        if gain > best:
            best, at = gain, v
    return best, at


@nb.njit(cache=True, nogil=True)
def _boost_gene(
    bins, feat, y, state, n_trees, rate, max_features, subsample, window, depth, min_leaf, n_bins, gain_out
):
    n, n_feat = y.size, feat.size
    residual = y - y.mean()
    n_node = 1 << (depth + 1)  # heap: children of q are 2q and 2q + 1, the root is 1
    inside = np.ones(n, np.bool_)
    value = np.zeros(n_node, np.float64)
    split_f = np.empty(n_node, np.int64)
    split_b = np.zeros(n_node, np.int64)
    first = np.zeros(n_node, np.int64)
    last = np.zeros(n_node, np.int64)
    cells = np.empty(n, np.int64)
    right = np.empty(n, np.int64)
    hist_sum = np.empty(n_bins, np.float64)
    hist_n = np.empty(n_bins, np.int64)
    perm = np.arange(n_feat)
    recent = np.zeros(window, np.float64)
    n_try = max(1, int(max_features * n_feat))
    for t in range(n_trees):
        m = 0
        for i in range(n):
            if subsample < 1.0:
                state = _next(state)
                inside[i] = (_draw(state) >> np.uint64(11)) * (1.0 / 9007199254740992.0) < subsample
            if inside[i]:
                cells[m] = i
                m += 1
        split_f[:] = -1
        first[1], last[1] = 0, m
        for q in range(1, n_node):
            if q > 1 and split_f[q >> 1] < 0:
                continue
            a, b = first[q], last[q]
            count = b - a
            if count <= 0:
                value[q] = 0.0
                continue
            total = 0.0
            for z in range(a, b):
                total += residual[cells[z]]
            value[q] = total / count
            if q >= n_node >> 1 or count < 2 * min_leaf:
                continue
            best, best_f, best_b = 1e-12, -1, 0
            for j in range(n_try):  # features without replacement
                state = _next(state)
                k = j + np.int64((_draw(state) >> np.uint64(11)) % np.uint64(n_feat - j))
                perm[j], perm[k] = perm[k], perm[j]
                gain, at = _best_split(
                    bins, bins[feat[perm[j]]], residual, a, b, cells, total, min_leaf, hist_sum, hist_n
                )
                if at >= 0 and gain > best:
                    best, best_f, best_b = gain, perm[j], at
            if best_f < 0:
                continue
            split_f[q], split_b[q] = best_f, best_b
            gain_out[best_f] += best / m
            row = bins[feat[best_f]]
            lo, hi = a, 0
            for z in range(a, b):  # stable partition of the cells of the node
                c = cells[z]
                if row[c] <= best_b:
                    cells[lo] = c
                    lo += 1
                else:
                    right[hi] = c
                    hi += 1
            cells[lo:b] = right[:hi]
            first[2 * q], last[2 * q] = a, lo
            first[2 * q + 1], last[2 * q + 1] = lo, b
        before, after, n_out = 0.0, 0.0, 0
        for i in range(n):
            q = 1
            while split_f[q] >= 0:
                q = 2 * q + (1 if bins[feat[split_f[q]], i] > split_b[q] else 0)
            old = residual[i]
            new = old - rate * value[q]
            residual[i] = new
            if not inside[i]:
                before += old * old
                after += new * new
                n_out += 1
        if n_out > 0:  # the same left-out cells before and after this tree
            recent[t % window] = (before - after) / n_out
            if t >= window - 1 and recent.sum() < 0:
                return t + 1
    return n_trees


@nb.njit(cache=True, nogil=True)
def boost_genes(
    bins, start, feature, target, seeds, n_trees, rate, max_features, subsample, window, depth, min_leaf, n_bins,
    importance, trees,
):  # fmt: skip
    """Boost every gene on its own candidate features; fills `importance` (sum 1 per gene) and `trees`."""
    for g in range(start.size - 1):
        feat = feature[start[g] : start[g + 1]]
        if feat.size == 0:
            continue
        gain = np.zeros(feat.size)
        state = seeds[g] | np.uint64(1)
        y = target[g].astype(np.float64)
        trees[g] = _boost_gene(
            bins, feat, y, state, n_trees, rate, max_features, subsample, window, depth, min_leaf, n_bins, gain
        )
        total = gain.sum()
        if total > 0:
            for k in range(feat.size):
                importance[start[g] + k] = gain[k] / total
