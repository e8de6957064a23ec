"""Co-expression partners of transcription factors within a cell type: the links that edge perturbation puts in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Float32, Int, Int64

CHUNK_TFS = 64  # TFs whose correlations with all genes are held at once
MIN_CELLS = 20  # smaller groups take their correlations from all cells


@dataclass(frozen=True, slots=True)
class Partners:
    """One row per group, TF and partner gene, sorted by group, TF and falling correlation; genes by column number."""

    group: Int64[np.ndarray, " rows"]
    tf: Int64[np.ndarray, " rows"]
    gene: Int64[np.ndarray, " rows"]
    r: Float32[np.ndarray, " rows"]


def coexpression_partners(
    x: sp.csr_matrix,
    codes: Int[np.ndarray, " cells"],
    n_groups: int,
    tfs: Int[np.ndarray, " tfs"],
    *,
    top: int = 50,
    min_cells: int = MIN_CELLS,
) -> Partners:
    """Find the genes whose values correlate most with each TF, per group.

    Parameters
    ----------
    x
        Log-normalised values, cells x genes.
    codes
        Group of every cell.
    n_groups
        Number of groups; one with fewer than `min_cells` cells gets the correlations over all cells.
    tfs
        Columns of the TFs.
    top
        Partners per TF and group, by absolute Pearson correlation.
    min_cells
        Cells a group needs for correlations of its own.

    Returns
    -------
    Partners with a correlation other than zero; a TF that is constant in the group has none.
    """
    pooled: tuple[np.ndarray, ...] | None = None
    rows: list[tuple[np.ndarray, ...]] = []
    for group in range(n_groups):
        inside = codes == group
        if inside.sum() < min_cells:
            pooled = pooled or _partners(x, tfs, top)
            found = pooled
        else:
            found = _partners(x[inside], tfs, top)
        rows.append((np.full(found[0].size, group), *found))
    group_, tf, gene, r = (np.concatenate(column) for column in zip(*rows, strict=True))
    return Partners(group_.astype(np.int64), tf.astype(np.int64), gene.astype(np.int64), r.astype(np.float32))


def _partners(x: sp.csr_matrix, tfs: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    columns = sp.csc_matrix(x, dtype=np.float64)
    mean, sd = _moments(columns)
    parts = [_best(columns, mean, sd, tfs[a : a + CHUNK_TFS], top) for a in range(0, tfs.size, CHUNK_TFS)]
    if not parts:
        return np.empty(0, int), np.empty(0, int), np.empty(0)
    tf, gene, r = (np.concatenate(column) for column in zip(*parts, strict=True))
    return tf, gene, r


def _moments(x: sp.csc_matrix) -> tuple[Float[np.ndarray, " genes"], Float[np.ndarray, " genes"]]:
    mean = np.asarray(x.mean(axis=0)).ravel()
    variance = np.asarray(x.multiply(x).mean(axis=0)).ravel() - mean**2
    variance[variance < 1e-12] = 0  # rounding of constant genes
    return mean, np.sqrt(variance)


def _best(
    x: sp.csc_matrix, mean: np.ndarray, sd: np.ndarray, tfs: np.ndarray, top: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    covariance = (x[:, tfs].T @ x).toarray() / x.shape[0] - np.outer(mean[tfs], mean)
    scale = np.outer(sd[tfs], sd)
    r = np.divide(covariance, scale, out=np.zeros_like(covariance), where=scale > 0)
    r[np.arange(tfs.size), tfs] = 0  # a TF is not its own partner
    order = np.argsort(-np.abs(r), axis=1, kind="stable")[:, :top]
    best = np.take_along_axis(r, order, axis=1)
    tf = np.repeat(tfs, order.shape[1]).reshape(order.shape)
    keep = best != 0
    return tf[keep], order[keep], np.clip(best[keep], -1, 1)
