"""Kernel of the rank-sum test."""

import numba as nb


@nb.njit(cache=True, nogil=True)
def add_wins(background, block, wins, total):
    """Add, per row, how many sorted background values each value of the block exceeds (a tie is half), and its sum."""
    n = background.shape[1]
    for m in range(block.shape[0]):
        won, summed = 0.0, 0.0
        for j in range(block.shape[1]):
            value = block[m, j]
            low, high = 0, n
            while low < high:
                middle = (low + high) // 2
                if background[m, middle] < value:
                    low = middle + 1
                else:
                    high = middle
            ties, high = low, n
            while ties < high:
                middle = (ties + high) // 2
                if background[m, middle] <= value:
                    ties = middle + 1
                else:
                    high = middle
            won += 0.5 * (low + ties)
            summed += value
        wins[m] += won
        total[m] += summed
