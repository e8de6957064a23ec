"""Which eRegulons and regions a cell type keeps, and how specific an eRegulon is for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int, Shaped

from .._core.rows import Rows
from .metacells import pool

MIN_ACTIVE = 0.10  # share of a type's cells in which a kept eRegulon is active
MIN_DETECTED = 0.05  # share of a type's cells in which its TF is detected
MIN_OPEN_CELLS = 3  # a region is open in at least this many cells of a type ...
MIN_OPEN_SHARE = 0.01  # ... and in this share of them
BLOCK_EREGULONS = 32  # whose scores are held in float64 at once


def group_shares(
    x: Rows | sp.csr_matrix, codes: Int[np.ndarray, " cells"], n_groups: int
) -> Float[np.ndarray, "groups columns"]:
    """Share of the cells of each group in which a column is not zero, in one pass over blocks of cells."""
    return pool(x, codes, n_groups, detected=True).toarray().astype(np.float64) / _sizes(codes, n_groups)


def group_means(
    x: Shaped[np.ndarray, "cells columns"], codes: Int[np.ndarray, " cells"], n_groups: int
) -> Float[np.ndarray, "groups columns"]:
    """Mean of every column in each group (0 in an empty group)."""
    sums = [x[codes == group].sum(axis=0, dtype=np.float64) for group in range(n_groups)]
    return np.stack(sums) / _sizes(codes, n_groups)


def _sizes(codes: np.ndarray, n_groups: int) -> np.ndarray:
    return np.maximum(np.bincount(codes, minlength=n_groups), 1)[:, None]


def group_table(
    auc: Float[np.ndarray, "cells eregulons"],
    above: Bool[np.ndarray, "cells eregulons"],
    tf_detected: Float[np.ndarray, "groups eregulons"],
    codes: Int[np.ndarray, " cells"],
    group_names: Sequence[str],
    eregulon_names: Sequence[str],
) -> pd.DataFrame:
    """One row per group and eRegulon: `kept`, `active_fraction`, `mean_auc`, `rss`.

    A group keeps an eRegulon when at least 10 % of its cells are above the threshold and its TF is detected in at least
    5 % of them.
    """
    n_groups = len(group_names)
    active = group_means(above, codes, n_groups)
    mean = group_means(auc, codes, n_groups)
    kept = (active >= MIN_ACTIVE) & (tf_detected >= MIN_DETECTED)
    n_eregulons = len(eregulon_names)
    blocks = range(0, n_eregulons, BLOCK_EREGULONS)
    rss = [specificity(auc[:, a : a + BLOCK_EREGULONS], codes, n_groups) for a in blocks]
    return lay_out_groups(kept, active, mean, np.concatenate(rss, axis=1), group_names, eregulon_names)


def lay_out_groups(
    kept: Bool[np.ndarray, "groups eregulons"],
    active: Float[np.ndarray, "groups eregulons"],
    mean: Float[np.ndarray, "groups eregulons"],
    rss: Float[np.ndarray, "groups eregulons"],
    group_names: Sequence[str],
    eregulon_names: Sequence[str],
) -> pd.DataFrame:
    """Write what groups keep as a table, a row per group and eRegulon."""
    n_groups, n_eregulons = kept.shape
    return pd.DataFrame(
        {
            "group": pd.Categorical(np.repeat(list(group_names), n_eregulons), categories=list(group_names)),
            "eregulon": pd.Categorical(np.tile(list(eregulon_names), n_groups), categories=list(eregulon_names)),
            "kept": kept.ravel(),
            "active_fraction": active.ravel().astype(np.float32),
            "mean_auc": mean.ravel().astype(np.float32),
            "rss": rss.ravel().astype(np.float32),
        },
        index=pd.RangeIndex(n_groups * n_eregulons).astype(str),
    )


def specificity(
    auc: Float[np.ndarray, "cells eregulons"], codes: Int[np.ndarray, " cells"], n_groups: int
) -> Float[np.ndarray, "groups eregulons"]:
    """Regulon specificity score (Suo et al. 2018): 1 - sqrt(Jensen-Shannon divergence) of AUC and membership.

    Both are distributions over cells, the divergence is in bits; an eRegulon that is never scored gets 0.
    """
    total = auc.sum(axis=0, dtype=np.float64)
    p = np.divide(auc, total, out=np.zeros(auc.shape), where=total > 0)
    size = np.bincount(codes, minlength=n_groups)
    out = np.zeros((n_groups, auc.shape[1]))
    entropy_p = _plogp(p).sum(axis=0)
    for group in np.flatnonzero(size):  # groups, not cells
        inside = codes == group
        q = 1 / size[group]
        within = _plogp((p[inside] + q) / 2).sum(axis=0)
        outside = _plogp(p / 2).sum(axis=0) - _plogp(p[inside] / 2).sum(axis=0)
        divergence = -(within + outside) + (entropy_p - np.log2(size[group])) / 2
        out[group] = 1 - np.sqrt(np.clip(divergence, 0, 1))
    out[:, total <= 0] = 0
    return out


def _plogp(p: np.ndarray) -> np.ndarray:
    return np.multiply(p, np.log2(p, out=np.zeros_like(p), where=p > 0))


def open_regions(
    counts: Rows | sp.csr_matrix, codes: Int[np.ndarray, " cells"], n_groups: int
) -> Bool[np.ndarray, "groups regions"]:
    """Which regions a group keeps: open in at least max(3 cells, 1 % of the group)."""
    cells = np.rint(group_shares(counts, codes, n_groups) * np.bincount(codes, minlength=n_groups)[:, None])
    least = np.maximum(MIN_OPEN_CELLS, np.ceil(MIN_OPEN_SHARE * np.bincount(codes, minlength=n_groups)))
    return cells >= least[:, None]
