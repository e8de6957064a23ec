"""Regions that are open more often in one group of cells than in the others, at equal depth."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.stats import binom, false_discovery_control

from .._core.rows import Rows
from .._core.typing import Number

REGIONS_AT_ONCE = 4096
PSEUDO = 0.5  # cells added to both sides of a ratio


def depth_strata(depth: Int[np.ndarray, " cells"], n_strata: int) -> Int[np.ndarray, " cells"]:
    """Bins of equal size of the number of open regions per cell; cells of equal depth share a bin."""
    edges = np.unique(np.quantile(depth, np.linspace(0, 1, n_strata + 1)[1:-1]))
    return np.searchsorted(edges, depth, side="left").astype(np.int64)


def count_open(x: Rows, codes: Int[np.ndarray, " cells"], n_codes: int) -> Int[np.ndarray, "codes regions"]:
    """Number of cells of every code in which a region is open, in one pass over blocks of cells."""
    n_regions = x.shape[1]
    counts = np.zeros(n_codes * n_regions, np.int32)
    for first, part in x.blocks():
        own = codes[first : first + part.shape[0]].astype(np.int64)
        np.add.at(counts, np.repeat(own, np.diff(part.indptr)) * n_regions + part.indices, 1)
    return counts.reshape(n_codes, n_regions)


def stratified_test(
    opened: Int[np.ndarray, "strata groups regions"], cells: Int[np.ndarray, "strata groups"]
) -> tuple[Float[np.ndarray, "groups regions"], Float[np.ndarray, "groups regions"]]:
    """Test, by region, whether a group has more open cells than its share, at equal depth (after Mantel and Haenszel).

    In a stratum of N cells, n of them in the group, with the region open in m, the number of open cells in the group is
    hypergeometric when the group does not matter (labels permuted within the stratum), with the mean n m / N and the
    variance n (N - n) m (N - m) / (N^2 (N - 1)). Means and variances add up over strata. The p-value is the upper tail of
    the binomial distribution with the same mean and, rounded towards the larger, the same variance: a normal tail would be
    wrong by many orders of magnitude for the few open cells of rare groups and regions.

    Returns
    -------
    p-value (one-sided) and log2 of the Mantel-Haenszel ratio, sum a (N - n) / N over sum (m - a) n / N, with half a cell
    added to both.
    """
    n = cells.astype(np.float64)[:, :, None]
    size = n.sum(axis=1, keepdims=True)
    pvalue = np.ones(opened.shape[1:])
    fold = np.zeros(opened.shape[1:])
    for first in range(0, opened.shape[2], REGIONS_AT_ONCE):
        part = slice(first, first + REGIONS_AT_ONCE)
        a = opened[:, :, part].astype(np.float64)
        m = a.sum(axis=1, keepdims=True)
        mean = n * m / np.maximum(size, 1)
        variance = (mean * ((size - n) * (size - m) / np.maximum(size * (size - 1), 1))).sum(axis=0)
        pvalue[:, part] = upper_tail(a.sum(axis=0), mean.sum(axis=0), variance)
        ours = (a * (1 - n / np.maximum(size, 1))).sum(axis=0)
        theirs = ((m - a) * n / np.maximum(size, 1)).sum(axis=0)
        fold[:, part] = np.log2((ours + PSEUDO) / (theirs + PSEUDO))
    return pvalue, fold


def upper_tail(
    count: Float[np.ndarray, "groups regions"],
    mean: Float[np.ndarray, "groups regions"],
    variance: Float[np.ndarray, "groups regions"],
) -> Float[np.ndarray, "groups regions"]:
    """P(X >= count) of the binomial distribution with that mean and at least that variance (smaller than the mean)."""
    trials = np.ones_like(mean)
    np.divide(mean**2, mean - variance, out=trials, where=mean > variance)
    trials = np.maximum(np.ceil(trials - 1e-9), np.maximum(count, 1))
    return binom.sf(count - 1, trials, np.minimum(mean / trials, 1))


def differential_table(
    x: Rows,
    codes: Int[np.ndarray, " cells"],
    names: pd.Index,
    regions: pd.Index,
    *,
    n_strata: int,
    max_fdr: Number,
    min_log2fc: Number,
) -> pd.DataFrame:
    """Test all groups and keep the regions that are more open: one row per group and region, best first.

    Columns `group`, `region`, `share`, `share_rest` (of cells with the region open), `log2fc`, `pvalue`, `fdr`
    (Benjamini-Hochberg over the regions of a group).
    """
    depth = np.concatenate([np.diff(part.indptr) for _, part in x.blocks()]).astype(np.int64)
    strata = depth_strata(depth, n_strata)
    shape = int(strata.max(initial=0)) + 1, len(names)
    joint = strata * shape[1] + codes
    opened = count_open(x, joint, shape[0] * shape[1]).reshape(*shape, len(regions))
    cells = np.bincount(joint, minlength=shape[0] * shape[1]).reshape(shape)
    pvalue, fold = stratified_test(opened, cells)
    of_group, n_cells = opened.sum(axis=0), cells.sum(axis=0)
    rest, n_rest = of_group.sum(axis=0) - of_group, n_cells.sum() - n_cells
    parts = []
    for g, name in enumerate(names):
        fdr = false_discovery_control(pvalue[g], method="bh")
        keep = np.flatnonzero((fdr <= max_fdr) & (fold[g] >= min_log2fc))
        keep = keep[np.lexsort((regions[keep], -fold[g][keep], pvalue[g][keep]))]
        columns = {
            "group": str(name), "region": regions[keep], "share": of_group[g, keep] / n_cells[g],
            "share_rest": rest[g, keep] / n_rest[g], "log2fc": fold[g][keep], "pvalue": pvalue[g][keep], "fdr": fdr[keep],
        }  # fmt: skip
        parts.append(pd.DataFrame(columns))
    table = pd.concat(parts, ignore_index=True)
    table.index = table.index.astype(str)
    return table
