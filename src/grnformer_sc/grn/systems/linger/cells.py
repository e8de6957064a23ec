"""Strengths of links in single cells; no torch."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float

from ...embedding import log_normalise

PSEUDO = 0.1  # added to every factor, so that what is not seen counts little instead of nothing


def relative(counts: sp.csr_matrix) -> Float[np.ndarray, "rows variables"]:
    """Logarithms of counts per 10,000, in units of their mean in the row."""
    x = log_normalise(counts).toarray().astype(np.float64)
    mean = x.mean(axis=1, keepdims=True)
    return np.divide(x, mean, out=np.zeros_like(x), where=mean > 0)


def strengths_of_cells(
    links: pd.DataFrame, genes: sp.csr_matrix, regions: sp.csr_matrix | None
) -> Float[np.ndarray, "cells links"]:
    """Strength of every triplet in every cell.

    `links` has `tf`, `gene`, `region` (columns of the counts; -1: none) and `shared`; the counts are those of the cells.
    """
    seen = relative(genes) + PSEUDO
    out: Float[np.ndarray, "cells links"] = seen[:, links["tf"]] * seen[:, links["gene"]] * links["shared"].to_numpy()
    if regions is not None:
        out *= (relative(regions)[:, links["region"]] + PSEUDO) ** 2
    return out


def strongest_of_rows(value: Float[np.ndarray, "rows columns"], top: int) -> sp.csr_matrix:
    """The largest positive values of every row (float32), at most so many."""
    value = np.maximum(value, 0)
    if value.shape[1] > top:
        limit = np.argpartition(-value, top - 1, axis=1)[:, :top]
        kept = np.zeros_like(value)
        np.put_along_axis(kept, limit, np.take_along_axis(value, limit, axis=1), axis=1)
        value = kept
    return sp.csr_matrix(value.astype(np.float32))
