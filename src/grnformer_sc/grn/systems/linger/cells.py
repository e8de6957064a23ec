"""Strengths of links in single cells; no torch."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float, Int

from ...embedding import log_normalise

PSEUDO = 0.1  # added to every factor, so that what is not seen counts little instead of nothing


def relative(
    counts: sp.csr_matrix, columns: Int[np.ndarray, " columns"] | None = None
) -> Float[np.ndarray, "rows columns"]:
    """Logarithms of counts per 10,000, in units of their mean over all variables of the row; of all columns or of some."""
    x = log_normalise(counts)
    mean = np.asarray(x.sum(axis=1), dtype=np.float64) / counts.shape[1]
    part = (x if columns is None else x[:, columns]).toarray().astype(np.float64)
    return np.divide(part, mean, out=np.zeros_like(part), where=mean > 0)


def strengths_of_cells(
    links: pd.DataFrame, genes: sp.csr_matrix, regions: sp.csr_matrix | None
) -> Float[np.ndarray, "cells links"]:
    """Strength of every triplet in every cell.

    `links` has `tf`, `gene`, `region` (columns of the counts; -1: none) and `shared`; the counts are those of the cells.
    """
    out: Float[np.ndarray, "cells links"] = _factor(genes, links["tf"]) * _factor(genes, links["gene"])
    out *= links["shared"].to_numpy()
    if regions is not None:
        out *= _factor(regions, links["region"]) ** 2
    return out


def _factor(counts: sp.csr_matrix, columns: pd.Series) -> Float[np.ndarray, "cells links"]:
    used, place = np.unique(columns.to_numpy(), return_inverse=True)
    return (relative(counts, used) + PSEUDO)[:, place]


def strongest_of_rows(value: Float[np.ndarray, "rows columns"], top: int) -> sp.csr_matrix:
    """The largest positive values of every row (float32), at most so many."""
    value = np.maximum(value, 0)
    if value.shape[1] > top:
        limit = np.argpartition(-value, top - 1, axis=1)[:, :top]
        kept = np.zeros_like(value)
        np.put_along_axis(kept, limit, np.take_along_axis(value, limit, axis=1), axis=1)
        value = kept
    return sp.csr_matrix(value.astype(np.float32))
