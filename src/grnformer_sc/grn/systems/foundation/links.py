"""Links from scores of all pairs: what a gene and a regulator say by themselves, the best pairs, their signs."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int64

SWEEPS = 20  # of the fit of means where pairs are missing


def gene_level(
    scores: Float[np.ndarray, "genes tfs"],
) -> tuple[float, Float[np.ndarray, "genes tfs"]]:
    """Share of the variance that one mean per gene and one per regulator explain, and what they leave; NaN stays NaN."""
    there = np.isfinite(scores)
    if there.sum() < 2:
        return float("nan"), scores
    grand = float(scores[there].mean())
    left = np.where(there, scores - grand, 0.0)
    total = float((left**2).sum())
    n_gene, n_tf = (np.maximum(there.sum(axis=axis), 1) for axis in (1, 0))
    for _ in range(1 if there.all() else SWEEPS):
        left -= np.where(there, (left.sum(axis=1) / n_gene)[:, None], 0.0)
        left -= np.where(there, left.sum(axis=0) / n_tf, 0.0)
    share = 1 - float((left**2).sum()) / total if total > 0 else float("nan")
    return share, np.where(there, left, np.nan).astype(scores.dtype)


def beyond_others(
    scores: dict[str, Float[np.ndarray, "genes tfs"]],
) -> dict[str, Float[np.ndarray, "genes tfs"]]:
    """Scores of every group less the mean of the other groups that hold the pair (0 where none does)."""
    there = {name: np.isfinite(score) for name, score in scores.items()}
    filled = {name: np.where(there[name], score, 0) for name, score in scores.items()}
    total, n = sum(filled.values()), sum(there.values())
    return {name: score - (total - filled[name]) / np.maximum(n - there[name], 1) for name, score in scores.items()}


def best_links(scores: Float[np.ndarray, "genes tfs"], tfs: Int64[np.ndarray, " tfs"], top: int) -> sp.csr_matrix:
    """The `top` genes with the largest score above 0 of every regulator but itself, as genes x genes (from regulator)."""
    scores = np.where(np.isfinite(scores) & (scores > 0), scores, 0).astype(np.float64)
    scores[tfs, np.arange(tfs.size)] = 0
    n = min(top, scores.shape[0])
    best = np.argsort(-scores, axis=0, kind="stable")[:n]
    value = np.take_along_axis(scores, best, axis=0)
    kept = value > 0
    row = np.broadcast_to(tfs, best.shape)[kept]
    return sp.csr_matrix((value[kept], (row, best[kept])), (scores.shape[0], scores.shape[0]))


def signed_by_change(
    links: sp.csr_matrix, change: Float[np.ndarray, "genes tfs"], tfs: Int64[np.ndarray, " tfs"], *, raised: bool
) -> sp.csr_matrix:
    """Give every link the sign of the change of its gene when the regulator is raised, the opposite when it is lost."""
    coo, column = links.tocoo(), np.empty(links.shape[0], dtype=np.int64)
    column[tfs] = np.arange(tfs.size)
    falls = change[coo.col, column[coo.row]] < 0
    return sp.csr_matrix((np.where(falls == raised, -coo.data, coo.data), (coo.row, coo.col)), links.shape)


def signed_by_correlation(links: sp.csr_matrix, x: sp.csr_matrix) -> sp.csr_matrix:
    """Give every link the sign of the correlation of its genes in some cells (+ where there is none)."""
    coo = links.tocoo()
    columns, n = sp.csc_matrix(x, dtype=np.float64), x.shape[0]
    tfs, own = np.unique(coo.row, return_inverse=True)
    product = np.asarray((columns[:, tfs].T @ columns).todense())
    mean = np.asarray(columns.mean(axis=0)).ravel()
    covariance = product[own, coo.col] / n - mean[coo.row] * mean[coo.col]
    return sp.csr_matrix((np.where(covariance < 0, -coo.data, coo.data), (coo.row, coo.col)), links.shape)
