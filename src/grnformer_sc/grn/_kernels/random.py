"""Random numbers inside kernels: xorshift64*, one 64-bit state per item."""

import numba as nb
import numpy as np


@nb.njit(cache=True, nogil=True)
def step(state):
    """Next state."""
    state ^= state >> np.uint64(12)
    state ^= state << np.uint64(25)
    state ^= state >> np.uint64(27)
    return state


@nb.njit(cache=True, nogil=True)
def word(state):
    """64 random bits of a state."""
    return state * np.uint64(2685821657736338717)


@nb.njit(cache=True, nogil=True)
def below(state, n):
    """Whole number below n of a state."""
    return np.int64((word(state) >> np.uint64(11)) % np.uint64(n))
