"""Motif hits by a table of words: which motifs can still reach their threshold, given eight letters at a position."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def table_words(score, start, length, offset, rest, threshold, at, motifs, partial):
    """Words with which a motif can reach its threshold, by a search that gives up as soon as it cannot.

    With empty `motifs` the words are counted in `at`; else `at` says where the next entry of a word goes. A motif's window
    of eight columns begins at `offset`; columns behind its end take any letter.
    """
    best = np.zeros(9)
    own = np.zeros(9)
    letter = np.zeros(9, np.int64)
    for m in range(length.size):
        n = min(8, length[m] - offset[m])
        base = start[m] + offset[m]
        best[8] = rest[m]
        for i in range(7, -1, -1):
            best[i] = best[i + 1] + (score[base + i].max() if i < n else 0.0)
        depth, code = 0, 0
        letter[0] = 0
        while depth >= 0:
            if depth == 8:
                if motifs.size:
                    motifs[at[code]] = m
                    partial[at[code]] = own[8]
                at[code] += 1
                depth -= 1
                code >>= 2
                continue
            if letter[depth] == 4:
                depth -= 1
                code >>= 2
                continue
            now = letter[depth]
            letter[depth] += 1
            total = own[depth] + (score[base + depth, now] if depth < n else 0.0)
            if total + best[depth + 1] >= threshold[m]:
                depth += 1
                own[depth] = total
                code = (code << 2) | now
                if depth < 8:
                    letter[depth] = 0


@njit(cache=True, nogil=True)
def scan_regions(codes, region_start, score, start, length, offset, order, order_rest, order_start, threshold,
                 owner, first, motifs, partial, best):  # fmt: skip
    """Best score of every owner (motif of either strand) in every region; letters of 4 break a hit."""
    n_regions = region_start.size - 1
    for region in range(n_regions):
        low, high = region_start[region], region_start[region + 1]
        size = high - low
        broken = np.zeros(size + 1, np.int64)
        for i in range(size):
            broken[i + 1] = broken[i] + (codes[low + i] > 3)
        code = 0
        for i in range(size + 7):  # the word of columns i - 7 .. i; behind the end it is filled up
            letter = codes[low + i] if i < size and codes[low + i] < 4 else 0
            code = ((code << 2) | letter) & 65535
            if i < 7:
                continue
            for e in range(first[code], first[code + 1]):
                m = motifs[e]
                begin = i - 7 - offset[m]
                if begin < 0 or begin + length[m] > size or broken[begin + length[m]] != broken[begin]:
                    continue
                total = partial[e]
                at = low + begin
                for k in range(order_start[m], order_start[m + 1]):
                    if total + order_rest[k] < threshold[m]:
                        break
                    total += score[start[m] + order[k], codes[at + order[k]]]
                else:
                    if total >= threshold[m] and total > best[region, owner[m]]:
                        best[region, owner[m]] = total
