"""Kernel of the overlap search: the best neighbours of many codes, kept up to date block by block."""

import numba as nb


@nb.njit(cache=True, nogil=True)
def _limit(worst):
    """Share of the two sizes together that the common part must reach for an overlap of `worst`, with a margin."""
    worst = max(worst, 0.0)
    return worst / (1.0 + worst) * (1.0 - 1e-9)


@nb.njit(cache=True, nogil=True)
def keep_best(common, rows, left_size, right_size, right_id, best, overlap):
    """Insert a block of pairs into the best of every row, largest overlap first and of equal ones the smallest id."""
    last = best.shape[1] - 1
    for i in range(rows.size):
        row = rows[i]
        limit = _limit(overlap[row, last])
        for j in range(common.shape[1]):
            shared = common[i, j]
            total = left_size[row] + right_size[j]
            if shared < limit * total:  # spares most divisions
                continue
            value = shared / max(total - shared, 1e-12)
            q = last
            if value < overlap[row, q] or (value == overlap[row, q] and right_id[j] > best[row, q]):
                continue
            while q > 0 and (
                value > overlap[row, q - 1] or (value == overlap[row, q - 1] and right_id[j] < best[row, q - 1])
            ):
                overlap[row, q], best[row, q] = overlap[row, q - 1], best[row, q - 1]
                q -= 1
            overlap[row, q], best[row, q] = value, right_id[j]
            limit = _limit(overlap[row, last])
