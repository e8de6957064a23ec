"""Kernels of histogram gradient boosting on sparse features: binning of columns, one regression per gene."""

import numba as nb
import numpy as np

from .random import below, step, word


@nb.njit(cache=True, nogil=True)
def quantile_bins(indptr, data, n_rows, n_bins, bins, top):
    """Bin the stored values of non-negative CSC columns by rank: codes 1 to `top` in ascending order, zeros are code 0.

    Ranks count stored values only, so that sparse columns use all bins, too.
    """
    for j in range(indptr.size - 1):
        a, b = indptr[j], indptr[j + 1]
        order = np.argsort(data[a:b])
        first, last, code = 0, -1, 0 if b - a < n_rows else -1
        for k in range(order.size):
            if k > 0 and data[a + order[k]] != data[a + order[k - 1]]:
                first = k
            place = first * (n_bins - 1) // (b - a)  # values of one tie share the bin of their first rank
            if place != last:
                code, last = code + 1, place
            bins[a + order[k]] = code
        top[j] = max(code, 0)


@nb.njit(cache=True, nogil=True, fastmath=True)
def _start_tree(residual, state, subsample, work):
    """Fill `work` with residual and weight (0: left out of this tree) of every cell; sums of both."""
    n = residual.size
    limit = np.uint64(round(subsample * 256))
    total, count = 0.0, 0.0
    bits_left = np.uint64(0)
    for i in range(n):
        inside = 1.0
        if limit < np.uint64(256):
            if i & 7 == 0:  # one random byte per cell
                state = step(state)
                bits_left = word(state)
            inside = 1.0 if (bits_left & np.uint64(255)) < limit else 0.0
            bits_left >>= np.uint64(8)
        work[2 * i] = residual[i] * inside
        work[2 * i + 1] = inside
        total += residual[i] * inside
        count += inside
    return state, total, count


@nb.njit(cache=True, nogil=True)
def _fill(cells, bins, work, node_of, width, hist):
    """Add residuals and weights of the cells with a value to the bins of their nodes."""
    for z in range(cells.size):
        c = np.uint32(cells[z])
        k = np.uint32(2) * (np.uint32(node_of[c]) * np.uint32(width) + np.uint32(bins[z]))
        c = np.uint32(2) * c
        hist[k] += work[c]
        hist[k + np.uint32(1)] += work[c + np.uint32(1)]


@nb.njit(cache=True, nogil=True)
def _best_split(hist, first, top, total, count, min_leaf, least):
    """Best lowest bin of the right side (0: no gain above `least`), and its gain, sum and count.

    Bins are scanned from above, so zeros come last.
    """
    best, at, best_sum, best_n = least * count, 0, 0.0, 0.0
    right, n_right = 0.0, 0.0
    for v in range(top, 0, -1):
        k = 2 * (first + v)
        if hist[k + 1] == 0:
            continue
        right += hist[k]
        n_right += hist[k + 1]
        n_left = count - n_right
        if n_left < min_leaf or n_left <= 0:
            break
        step = right * count - total * n_right
        if step * step > best * n_right * n_left and n_right >= min_leaf:
            best, at, best_sum, best_n = step * step / (n_right * n_left), v, right, n_right
    best /= count
    return best, at, best_sum, best_n


@nb.njit(cache=True, nogil=True)
def _move(cells, bins, lowest, n_open, node_of):
    """Send the cells at or above the lowest bin of the right side of their node to its right child."""
    for z in range(cells.size):
        c = np.uint32(cells[z])
        q = np.uint32(node_of[c])
        node_of[c] = np.uint8(q + np.uint32(n_open) * np.uint32(bins[z] >= lowest[q]))


@nb.njit(cache=True, nogil=True, fastmath=True)
def _take_step(residual, node_of, value, rate, work):
    """Subtract the tree from the residuals; squared error of the left-out cells before and after it, and their number."""
    before, after, n_out = 0.0, 0.0, 0.0
    for i in range(residual.size):
        old = residual[i]
        new = old - rate * value[node_of[i]]
        residual[i] = new
        out = 1.0 - work[2 * i + 1]
        before += out * old * old
        after += out * new * new
        n_out += out
    return before, after, n_out


@nb.njit(cache=True, nogil=True)
def _boost_gene(
    indptr, indices, bins, top, feat, residual, state, n_trees, rate, max_features, subsample, window, depth, min_leaf,
    gain_out,
):  # fmt: skip
    """Boost one gene. Nodes of a level are 0 .. 2 ** level - 1: the left child keeps the number of its parent."""
    n, n_nodes = residual.size, 1 << depth
    width = 1
    for f in feat:
        width = max(width, top[f] + 1)
    work = np.empty(2 * n, np.float64)
    node_of = np.empty(n, np.uint8)
    hist = np.zeros(2 * n_nodes * width, np.float64)
    total, count = np.empty(n_nodes), np.empty(n_nodes)
    gain, split_sum, split_n = np.empty(n_nodes), np.empty(n_nodes), np.empty(n_nodes)
    split_f, split_b = np.empty(n_nodes, np.int64), np.empty(n_nodes, np.int64)
    value = np.empty(n_nodes)
    lowest = np.empty(n_nodes, np.int16)
    perm = np.arange(feat.size)
    recent = np.zeros(window)
    explained = 0.0
    n_try = max(1, int(max_features * feat.size))
    for t in range(n_trees):
        node_of[:] = 0
        total[:], count[:] = 0.0, 0.0
        state, total[0], count[0] = _start_tree(residual, state, subsample, work)
        n_inside = count[0]
        for level in range(depth):
            n_open = 1 << level
            gain[:n_open] = 0.0
            for j in range(n_try):  # features without replacement, shared by the nodes of a level
                state = step(state)
                k = j + below(state, feat.size - j)
                perm[j], perm[k] = perm[k], perm[j]
                f = feat[perm[j]]
                a, b = indptr[f], indptr[f + 1]
                hist[: 2 * n_open * width] = 0.0
                _fill(indices[a:b], bins[a:b], work, node_of, width, hist)
                for q in range(n_open):
                    if count[q] < 2 * min_leaf or count[q] < 2:
                        continue
                    found, at, right, n_right = _best_split(
                        hist, q * width, top[f], total[q], count[q], min_leaf, max(gain[q], 1e-12)
                    )
                    if at > 0:
                        gain[q], split_f[q], split_b[q] = found, perm[j], at
                        split_sum[q], split_n[q] = right, n_right
            lowest[:] = 256  # no bin is as large: the other nodes stay whole
            for q in range(n_open):
                if gain[q] <= 0:
                    continue
                gain_out[split_f[q]] += gain[q] / n_inside
                child = q + n_open
                total[child], count[child] = split_sum[q], split_n[q]
                total[q] -= split_sum[q]
                count[q] -= split_n[q]
            for j in range(n_try):
                some = False
                for q in range(n_open):
                    own = gain[q] > 0 and split_f[q] == perm[j]
                    lowest[q] = split_b[q] if own else 256
                    some |= own
                if some:
                    f = feat[perm[j]]
                    a, b = indptr[f], indptr[f + 1]
                    _move(indices[a:b], bins[a:b], lowest, n_open, node_of)
        for q in range(n_nodes):
            value[q] = total[q] / count[q] if count[q] > 0 else 0.0
        before, after, n_out = _take_step(residual, node_of, value, rate, work)
        if n_out > 0:  # the same left-out cells before and after this tree
            recent[t % window] = (before - after) / n_out
            explained += recent[t % window]
            if t >= window - 1 and recent.sum() < 0:
                return t + 1, explained
    return n_trees, explained


@nb.njit(cache=True, nogil=True)
def boost_genes(
    indptr, indices, bins, top, start, feature, target, seeds, n_trees, rate, max_features, subsample, window, depth,
    min_leaf, importance, trees, explained,
):  # fmt: skip
    """Boost every gene on its own candidate features; fills `importance` (sum 1 per gene), `trees` and `explained`.

    `explained` adds up what every tree took off the squared error of the cells that it left out, in units of the variance.
    """
    for g in range(start.size - 1):
        feat = feature[start[g] : start[g + 1]]
        if feat.size == 0:
            continue
        gain = np.zeros(feat.size)
        state = seeds[g] | np.uint64(1)
        residual = target[g].astype(np.float64)
        residual -= residual.mean()
        variance = (residual * residual).mean()
        trees[g], error = _boost_gene(
            indptr, indices, bins, top, feat, residual, state, n_trees, rate, max_features, subsample, window, depth,
            min_leaf, gain,
        )  # fmt: skip
        explained[g] = error / variance if variance > 0 else 0.0
        total = gain.sum()
        if total > 0:
            for k in range(feat.size):
                importance[start[g] + k] = gain[k] / total
