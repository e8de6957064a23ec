"""Which intervals of two sets overlap."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Int


def overlapping(
    first: pd.DataFrame, second: pd.DataFrame, *, fraction: float
) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
    """Find the pairs of intervals of which the shared part covers at least `fraction` of the shorter one.

    Parameters
    ----------
    first, second
        Tables with `chrom`, `start`, `end` (half open).
    fraction
        Least share (0 to 1) of either interval, which is the same as of the shorter one.

    Returns
    -------
    Row numbers in `first` and in `second`, sorted.
    """
    one, two = (table[["start", "end"]].to_numpy(dtype=np.int64) for table in (first, second))
    chrom_one, chrom_two = first["chrom"].to_numpy(dtype=str), second["chrom"].to_numpy(dtype=str)
    parts = []
    for chrom in np.intersect1d(chrom_one, chrom_two):
        rows, columns = np.flatnonzero(chrom_one == chrom), np.flatnonzero(chrom_two == chrom)
        columns = columns[np.argsort(two[columns, 0], kind="stable")]
        a, b = one[rows], two[columns]
        # ends seen so far only grow: all that may reach into an interval stand from the first such end on
        low = np.searchsorted(np.maximum.accumulate(b[:, 1]), a[:, 0], side="right")
        count = np.maximum(np.searchsorted(b[:, 0], a[:, 1], side="left") - low, 0)
        i = np.repeat(np.arange(rows.size), count)
        j = np.repeat(low - (np.cumsum(count) - count), count) + np.arange(count.sum())
        shared = np.minimum(a[i, 1], b[j, 1]) - np.maximum(a[i, 0], b[j, 0])
        shorter = np.minimum(a[i, 1] - a[i, 0], b[j, 1] - b[j, 0])
        keep = (shared > 0) & (shared >= fraction * shorter - 1e-9)
        parts.append(np.stack([rows[i[keep]], columns[j[keep]]]))
    pairs = np.concatenate([np.empty((2, 0), np.int64), *parts], axis=1)
    order = np.lexsort((pairs[1], pairs[0]))
    return pairs[0, order], pairs[1, order]
