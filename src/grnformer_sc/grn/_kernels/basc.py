"""Kernel of BASC A (Hopfensitz et al. 2012): the threshold at the strongest step of the best step functions."""

import numba as nb
import numpy as np


@nb.njit(cache=True, nogil=True)
def _segment_costs(u):
    """Squared error of every segment u[a : b + 1] around its mean, and the mean."""
    n = u.size
    cost, mean = np.zeros((n, n)), np.zeros((n, n))
    for a in range(n):
        mean[a, a] = u[a]
        for b in range(a + 1, n):
            shift = u[b] - mean[a, b - 1]
            mean[a, b] = mean[a, b - 1] + shift / (b - a + 1)
            cost[a, b] = cost[a, b - 1] + shift * (u[b] - mean[a, b])
    return cost, mean


@nb.njit(cache=True, nogil=True)
def _best_breaks(cost):
    """Place of the first break of the best step function of u[i:] with j breaks, for every i and j (dynamic programme)."""
    n = cost.shape[0]
    total = np.full((n, n), np.inf)
    total[:, 0] = cost[:, n - 1]
    first = np.zeros((n, n), np.int64)
    for j in range(1, n - 1):
        for i in range(n - j):
            best, at = np.inf, i
            for d in range(i, n - j):
                value = cost[i, d] + total[d + 1, j - 1]
                if value < best:
                    best, at = value, d
            total[i, j], first[i, j] = best, at
    return first


@nb.njit(cache=True, nogil=True)
def step_threshold(u):
    """Threshold of at least three ascending values.

    Each best step function with j = 1 .. n - 2 breaks names its strongest break: the one with the largest jump of means
    over the squared error of all values around the middle of the gap. The threshold is in the gap of their lower median.
    """
    n = u.size
    cost, mean = _segment_costs(u)
    first = _best_breaks(cost)
    error = np.zeros(n - 1)
    for p in range(n - 1):
        middle = 0.5 * (u[p] + u[p + 1])
        for k in range(n):
            error[p] += (u[k] - middle) ** 2
    strongest = np.zeros(n - 2, np.int64)
    at = np.zeros(n, np.int64)
    for j in range(1, n - 1):
        at[0] = first[0, j]
        for i in range(1, j):
            at[i] = first[at[i - 1] + 1, j - i]
        best = -1.0
        for i in range(j):
            low = 0 if i == 0 else at[i - 1] + 1
            high = n - 1 if i == j - 1 else at[i + 1]
            jump = mean[at[i] + 1, high] - mean[low, at[i]]
            score = jump / error[at[i]] if error[at[i]] > 0 else np.inf
            if score > best:
                best, strongest[j - 1] = score, at[i]
    middle = np.int64(np.median(strongest))
    return 0.5 * (u[middle] + u[middle + 1])


@nb.njit(cache=True, nogil=True)
def basc_masks(start, score, lowest, keep):
    """Mark the scores of every target (`start[t]` to `start[t + 1]`) above its threshold; of one or two scores, all.

    With `lowest` > 0 only so many of the smallest scores of a target are looked at.
    """
    for t in range(start.size - 1):
        a, b = start[t], start[t + 1]
        if b - a < 3:
            keep[a:b] = True
            continue
        order = np.argsort(score[a:b], kind="mergesort")
        if 0 < lowest < order.size:
            order = order[:lowest]
        threshold = step_threshold(score[a:b][order].astype(np.float64))
        for q in order:
            keep[a + q] = score[a + q] > threshold
