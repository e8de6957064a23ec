"""Which metacell of the ATAC goes with which of the RNA."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.optimize import linear_sum_assignment

from .._core.rng import generator
from ..grn.embedding import log_normalise
from ..grn.metacells import assign_metacells
from ..grn.region_gene import DECAY
from ._link_regions import region_pairs

if TYPE_CHECKING:
    from anndata import AnnData


def assign(space: np.ndarray, codes: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Metacell of every cell: those of the first label come first."""
    out = np.empty(codes.size, dtype=np.int64)
    first = np.r_[0, np.cumsum(wanted)]
    for code, n in enumerate(wanted):
        rows = np.flatnonzero(codes == code)
        out[rows] = first[code] + assign_metacells(space[rows], np.zeros(rows.size, np.int64), n_metacells=int(n))
    return out


def activity_weights(
    rna: AnnData, atac: AnnData, annotation: str | Path | pd.DataFrame | None, window: int
) -> sp.csr_matrix:
    """Regions x genes: how much a region counts for the activity of a gene."""
    pairs, _ = region_pairs(rna, atac, annotation, window=window, decay=DECAY, anchor="tss")
    where = (pairs["region"].to_numpy(), pairs["gene"].to_numpy())
    return sp.csr_matrix((pairs["weight"].to_numpy(dtype=np.float64), where), (atac.n_vars, rna.n_vars))


def partners(
    rna: sp.csr_matrix,
    atac: sp.csr_matrix,
    group: np.ndarray,
    shared: list[str],
    weights: sp.csr_matrix | None,
    root: int,
) -> np.ndarray:
    """ATAC metacell of every RNA metacell."""
    out = np.empty(group.size, dtype=np.int64)
    has = None if weights is None else np.flatnonzero(np.diff(weights.tocsc().indptr))
    expression, access = log_normalise(rna), log_normalise(atac)
    for code, name in enumerate(shared):
        rows = np.flatnonzero(group == code)
        if weights is None or has is None:
            out[rows] = generator(root, "pair", name).permutation(rows)
            continue
        left, right = _unit(expression[rows][:, has]), _unit((access[rows] @ weights)[:, has])
        chosen = linear_sum_assignment(left @ right.T, maximize=True)[1]
        out[rows] = rows[chosen]
    return out


def _unit(x: sp.csr_matrix) -> np.ndarray:
    """Genes centred and scaled, then metacells of unit length."""
    dense = x.toarray().astype(np.float64)
    dense -= dense.mean(axis=0)
    spread = dense.std(axis=0)
    dense = np.divide(dense, spread, out=np.zeros_like(dense), where=spread > 0)
    length = np.linalg.norm(dense, axis=1, keepdims=True)
    return np.divide(dense, length, out=np.zeros_like(dense), where=length > 0)
