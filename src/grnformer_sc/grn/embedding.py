"""Low-dimensional embeddings of sparse counts: principal components of RNA, latent semantic indexing of ATAC."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float
from scipy.sparse.linalg import LinearOperator, svds
from threadpoolctl import threadpool_limits

from .._core.checks import fail
from .._core.rows import Rows, as_rows

SCALE = 1e4  # counts per cell after normalisation
FITTED_CELLS = 50_000  # cells at most to which components are fitted; the others are projected


def log_normalise(counts: sp.csr_matrix, *, size: Float[np.ndarray, " cells"] | None = None) -> sp.csr_matrix:
    """Counts per 10,000, log1p; zeros stay zeros and all-zero rows stay zero.

    `size` gives the total of every row when it is not the row sum (for example of visible genes only).
    """
    total = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel() if size is None else size
    factor = np.divide(SCALE, total, out=np.zeros_like(total), where=total > 0)
    out = counts.astype(np.float32, copy=True)
    out.data = np.log1p(out.data * np.repeat(factor, np.diff(out.indptr))).astype(np.float32)
    return out


def pca_scores(
    counts: Rows | sp.csr_matrix, *, n_comps: int = 30, seed: int = 0
) -> tuple[Float[np.ndarray, "cells comps"], Float[np.ndarray, "comps genes"], Float[np.ndarray, " genes"]]:
    """Principal components of log-normalised counts without a dense matrix.

    Returns scores, loadings and gene means, so that `project` places new cells. The
    largest loading of every component is positive. Of more than 50,000 cells the components are those of every n-th cell.
    """
    rows = as_rows(counts)
    x = _fitted(rows, log_normalise)
    mean = np.asarray(x.mean(axis=0), dtype=np.float64).ravel()
    scores, right = _components(rows, x, log_normalise, mean, n_comps, seed)
    return scores.astype(np.float32), right.astype(np.float32), mean.astype(np.float32)


def project(
    x: sp.csr_matrix,
    loadings: Float[np.ndarray, "comps genes"],
    mean: Float[np.ndarray, " genes"] | Float[np.ndarray, "cells genes"],
) -> Float[np.ndarray, "cells comps"]:
    """Scores of log-normalised cells on given components; every cell by itself, with the same bits in any block."""
    return x @ loadings.T - mean @ loadings.T


def lsi_scores(counts: Rows | sp.csr_matrix, *, n_comps: int = 30, seed: int = 0) -> Float[np.ndarray, "cells comps"]:
    """Latent semantic indexing of region counts (TF-IDF, log, SVD), rows of unit length.

    The first component follows sequencing depth and is left out (Cusanovich et al. 2015). Of more than 50,000 cells the
    components are those of every n-th cell.
    """
    rows = as_rows(counts)
    open_in = np.zeros(rows.shape[1], dtype=np.int64)
    for _, part in rows.blocks():
        open_in += np.bincount(part.indices, minlength=open_in.size)
    rarity = np.log1p(rows.shape[0] / np.maximum(open_in, 1))
    transform = partial(_tf_idf, rarity=rarity)
    x = _fitted(rows, transform)
    scores = _components(rows, x, transform, np.zeros(x.shape[1], dtype=np.float32), n_comps + 1, seed)[0][:, 1:]
    length = np.linalg.norm(scores, axis=1, keepdims=True)
    return np.divide(scores, length, out=np.zeros_like(scores), where=length > 0).astype(np.float32)


def _fitted(rows: Rows, transform: Callable[[sp.csr_matrix], sp.csr_matrix]) -> sp.csr_matrix:
    """All rows, or every n-th where there are more than `FITTED_CELLS`, transformed one by one."""
    step = -(-rows.shape[0] // FITTED_CELLS)
    if step > 1:
        return transform(rows.take(np.arange(0, rows.shape[0], step)))
    return sp.vstack([transform(part) for _, part in rows.blocks()], "csr")


def _components(
    rows: Rows,
    fitted: sp.csr_matrix,
    transform: Callable[[sp.csr_matrix], sp.csr_matrix],
    mean: np.ndarray,
    n_comps: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of all rows on the components of the fitted ones, and the loadings."""
    left, values, right = _truncated_svd(fitted, mean, n_comps, seed)
    if fitted.shape[0] == rows.shape[0]:
        return left * values, right
    return np.concatenate([transform(part) @ right.T for _, part in rows.blocks()]) - mean @ right.T, right


def _tf_idf(x: sp.csr_matrix, rarity: Float[np.ndarray, " regions"]) -> sp.csr_matrix:
    total = np.asarray(x.sum(axis=1), dtype=np.float64).ravel()
    per_cell = np.divide(SCALE, total, out=np.zeros_like(total), where=total > 0)
    values = np.log1p(x.data * np.repeat(per_cell, np.diff(x.indptr)) * rarity[x.indices]).astype(np.float32)
    return sp.csr_matrix((values, x.indices, x.indptr), x.shape)


def _truncated_svd(
    x: sp.csr_matrix, mean: np.ndarray, n_comps: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Largest singular triplets of ``x - mean``, in descending order, on one BLAS thread (same bits everywhere).

    In float32 throughout: vectors of another type would make scipy copy the values of `x` in every product.
    """
    n_rows, n_cols = x.shape
    if min(n_rows, n_cols) < 2:
        raise fail(
            ValueError, "principal components need at least 2 cells and 2 genes.", f"{n_rows} x {n_cols}.",
            "check the filters of cells and genes.",
        )  # fmt: skip
    rank = max(1, min(n_comps, n_rows - 1, n_cols - 1))
    centre = mean.astype(np.float32)
    centred = LinearOperator(
        dtype=np.float32,
        shape=x.shape,
        matvec=lambda v: x @ v.ravel() - centre @ v.ravel(),
        rmatvec=lambda v: x.T @ v.ravel() - centre * v.sum(),
    )
    start = np.random.default_rng(seed).standard_normal(min(n_rows, n_cols)).astype(np.float32)
    with threadpool_limits(1):
        left, values, right = svds(centred, k=rank, v0=start)
    order = np.argsort(-values, kind="stable")
    left, values, right = left[:, order], values[order], right[order]
    flip = np.sign(right[np.arange(rank), np.abs(right).argmax(axis=1)])
    flip[flip == 0] = 1.0
    return left * flip, values, right * flip[:, None]
