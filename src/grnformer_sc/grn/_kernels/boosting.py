"""Kernels of histogram gradient boosting on sparse features: binning of columns, one regression per gene.

A histogram holds the number of cells and the sum of their residuals in one whole number, so that adding a cell is one
addition, and exact: the order of the cells changes no bit. Residuals are scaled for that (see `boost_genes`).
"""

import numba as nb
import numpy as np

from .random import below, step, word

COUNT = 40  # bits of a packed sum below its number of cells, which may be up to 8 million
ONE = np.int64(1) << np.int64(COUNT)
HALF = ONE >> np.int64(1)
LEAST_GAIN = 1e-9  # of a split, as a share of all squares; packing blurs what is smaller
ROOM = 8.0  # how often the largest residual at the start fits into the largest that can be packed


@nb.njit(cache=True, nogil=True)
def quantile_bins(indptr, indices, data, n_rows, n_bins, bins, top, best, best_bins):
    """Bin the stored values of non-negative CSC columns by rank: codes 1 to `top` in ascending order, zeros are code 0.

    Ranks count stored values only, so that sparse columns use all bins, too. `best` and `best_bins` are the rows of every
    column and their bins, from the highest bin to the lowest.
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
            best[b - 1 - k], best_bins[b - 1 - k] = indices[a + order[k]], code
        top[j] = max(code, 0)


@nb.njit(cache=True, nogil=True)
def _pack(residual, limit):
    """One cell and its residual, to the nearest unit, in one number."""
    return ONE + np.int64(np.rint(min(max(residual, -limit), limit)))


@nb.njit(cache=True, nogil=True)
def _pack_all(residual, base, limit, packed):
    """Add `base` to all residuals and pack them."""
    for i in range(residual.size):
        residual[i] += base
        packed[i] = _pack(residual[i], limit)


@nb.njit(cache=True, nogil=True)
def _draw_cells(residual, base, state, subsample, limit, packed):
    """Add `base` to all residuals and pack those of the cells of this tree (0: left out); sum over the cells of this tree,
    their number, and the sum over all cells."""
    share = np.uint64(round(subsample * 256))
    inside, count, whole = 0.0, 0, 0.0
    bits_left = np.uint64(0)
    for i in range(residual.size):
        if i & 7 == 0:  # one random byte per cell
            state = step(state)
            bits_left = word(state)
        own = residual[i] + base
        residual[i] = own
        drawn = (bits_left & np.uint64(255)) < share
        bits_left >>= np.uint64(8)
        packed[i] = _pack(own, limit) if drawn else 0
        inside += own if drawn else 0.0
        count += drawn
        whole += own
    return state, inside, count, whole


@nb.njit(cache=True, nogil=True)
def _add_up(cells, bins, packed, hist):
    """Sums over the cells (highest bins first) at or above every bin."""
    right = np.int64(0)
    for z in range(cells.size):
        right += packed[np.uint32(cells[z])]
        hist[np.uint32(bins[z])] = right


@nb.njit(cache=True, nogil=True)
def _add_up_nodes(cells, bins, packed, node_of, n_open, width, top, hist):
    """Sums over the cells of every node at or above every bin."""
    hist[: n_open * width] = 0
    for z in range(cells.size):
        c = np.uint32(cells[z])
        hist[np.uint32(node_of[c]) * np.uint32(width) + np.uint32(bins[z])] += packed[c]
    for q in range(n_open):
        right = np.int64(0)
        for v in range(top, 0, -1):
            k = np.uint32(q * width + v)
            right += hist[k]
            hist[k] = right


@nb.njit(cache=True, nogil=True)
def _best_split(hist, first, top, base, total, count, min_leaf, least):
    """Best lowest bin of the right side (0: no gain above `least`), and its gain, sum and count.

    `base` is added to every residual of the histogram.
    """
    best, at, best_sum, best_n = least * count, 0, 0.0, 0.0
    before = np.int64(0)
    for v in range(top, 0, -1):
        right = hist[np.uint32(first + v)]
        if right == before:  # no cell of the node: the same split as that at the bin above
            continue
        before = right
        n_cells = (right + HALF) >> COUNT
        n_right = float(n_cells)
        n_left = count - n_right
        if n_left < min_leaf or n_left <= 0:
            break
        right_sum = float(right - (n_cells << COUNT)) + base * n_right
        step = right_sum * count - total * n_right
        if step * step > best * (n_right * n_left) and n_right >= min_leaf:
            best, at, best_sum, best_n = step * step / (n_right * n_left), v, right_sum, n_right
    best /= count
    return best, at, best_sum, best_n


@nb.njit(cache=True, nogil=True)
def _move(cells, bins, lowest, n_open, node_of, moved, n_moved):
    """Send the cells (highest bins first) at or above the lowest bin of the right side of their node to its right child.

    Cells that leave node 0 are added to the `n_moved` first of `moved`; returns their new number.
    """
    least = lowest[:n_open].min()
    for z in range(cells.size):
        if bins[z] < least:
            break
        c = np.uint32(cells[z])
        q = np.uint32(node_of[c])
        right = np.uint32(bins[z] >= lowest[q])
        node_of[c] = np.uint8(q + np.uint32(n_open) * right)
        moved[n_moved] = c  # stays where the cell moves and was in node 0; no branch, which would be a coin's toss
        n_moved += right & np.uint32(q == 0)
    return n_moved


@nb.njit(cache=True, nogil=True)
def _take_step(residual, base, moved, node_of, taken, limit, packed):
    """Subtract a tree, but for what all cells get (`taken` of node 0), from the residuals of the cells outside node 0, and
    put them back there. Sum of the residuals of those of them that the tree left out, their number, and by how much the
    tree lowers the sum of their squares."""
    out_sum, n_out, lower = 0.0, 0, 0.0
    for c in moved:
        own, old = taken[node_of[c]], residual[c] + base
        if packed[c] == 0:
            out_sum += old
            n_out += 1
            lower += own * (2 * old - own)
        residual[c] -= own - taken[0]
        packed[c] = _pack(residual[c], limit)
        node_of[c] = 0
    return out_sum, n_out, lower


@nb.njit(cache=True, nogil=True)
def _boost_gene(
    indptr, indices, bins, best, best_bins, top, feat, residual, limit, state, n_trees, rate, max_features, subsample,
    window, depth, min_leaf, gain_out,
):  # fmt: skip
    """Boost one gene. Nodes of a level are 0 .. 2 ** level - 1: the left child keeps the number of its parent.

    Most cells have no value in the features of a tree and end in node 0. What a tree subtracts there goes into `base`, which
    belongs to the residual of every cell, so that a tree touches only the cells with values.
    """
    n, n_nodes = residual.size, 1 << depth
    width = 1
    for f in feat:
        width = max(width, top[f] + 1)
    node_of, moved = np.zeros(n, np.uint8), np.empty(n + 1, np.uint32)
    base, whole, n_inside = 0.0, residual.sum(), n
    least = LEAST_GAIN * (residual * residual).sum()
    packed = np.empty(n, np.int64)
    _pack_all(residual, base, limit, packed)
    hist = np.zeros(n_nodes * width, np.int64)
    total, count = np.empty(n_nodes), np.empty(n_nodes)
    gain, split_sum, split_n = np.empty(n_nodes), np.empty(n_nodes), np.empty(n_nodes)
    split_f, split_b = np.empty(n_nodes, np.int64), np.empty(n_nodes, np.int64)
    taken = np.empty(n_nodes)
    lowest = np.empty(n_nodes, np.int16)
    perm = np.arange(feat.size)
    recent = np.zeros(window)
    explained = 0.0
    n_try = max(1, int(max_features * feat.size))
    for t in range(n_trees):
        total[:], count[:], n_moved = 0.0, 0.0, np.uint32(0)
        inside = whole
        if subsample < 1:
            state, inside, n_inside, whole = _draw_cells(residual, base, state, subsample, limit, packed)
            base = 0.0
        total[0], count[0] = inside, n_inside
        for level in range(depth):
            n_open = 1 << level
            gain[:n_open] = 0.0
            for j in range(n_try):  # features without replacement, shared by the nodes of a level
                state = step(state)
                k = j + below(state, feat.size - j)
                perm[j], perm[k] = perm[k], perm[j]
                f = feat[perm[j]]
                a, b = indptr[f], indptr[f + 1]
                if level == 0:
                    _add_up(best[a:b], best_bins[a:b], packed, hist)
                else:
                    _add_up_nodes(indices[a:b], bins[a:b], packed, node_of, n_open, width, top[f], hist)
                for q in range(n_open):
                    if count[q] < 2 * min_leaf or count[q] < 2:
                        continue
                    found, at, right, n_right = _best_split(
                        hist, q * width, top[f], base, total[q], count[q], min_leaf, max(gain[q], least)
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
                    n_moved = _move(best[a:b], best_bins[a:b], lowest, n_open, node_of, moved, n_moved)
        for q in range(n_nodes):
            taken[q] = rate * total[q] / count[q] if count[q] > 0 else 0.0
        out_sum, n_out, lower = _take_step(residual, base, moved[:n_moved], node_of, taken, limit, packed)
        base -= taken[0]
        if subsample == 1:
            whole -= rate * whole
            if abs(base) > limit / 4:  # what is packed lacks `base`, and has to fit
                _pack_all(residual, base, limit, packed)
                base = 0.0
        elif n > n_inside:  # the same left-out cells before and after this tree
            rest, n_rest = whole - inside - out_sum, n - n_inside - n_out
            recent[t % window] = (lower + taken[0] * (2 * rest - n_rest * taken[0])) / (n - n_inside)
            explained += recent[t % window]
            if t >= window - 1 and recent.sum() < 0:
                return t + 1, explained
    return n_trees, explained


@nb.njit(cache=True, nogil=True)
def boost_genes(
    indptr, indices, bins, best, best_bins, top, start, feature, target, seeds, n_trees, rate, max_features, subsample,
    window, depth, min_leaf, importance, trees, explained,
):  # fmt: skip
    """Boost every gene on its own candidate features; fills `importance` (sum 1 per gene), `trees` and `explained`.

    `explained` adds up what every tree took off the squared error of the cells that it left out, in units of the variance.
    Residuals are scaled so that the sum of as many as there are cells, each `ROOM` times the largest, can be packed.
    """
    for g in range(start.size - 1):
        feat = feature[start[g] : start[g + 1]]
        if feat.size == 0 or target.shape[1] == 0:
            continue
        gain = np.zeros(feat.size)
        state = seeds[g] | np.uint64(1)
        residual = target[g].astype(np.float64)
        residual -= residual.mean()
        limit = float((HALF - 1) // residual.size)
        residual *= limit / (ROOM * max(np.abs(residual).max(), 1e-30))
        variance = (residual * residual).mean()
        trees[g], error = _boost_gene(
            indptr, indices, bins, best, best_bins, top, feat, residual, limit, state, n_trees, rate, max_features,
            subsample, window, depth, min_leaf, gain,
        )  # fmt: skip
        explained[g] = error / variance if variance > 0 else 0.0
        total = gain.sum()
        if total > 0:
            for k in range(feat.size):
                importance[start[g] + k] = gain[k] / total
