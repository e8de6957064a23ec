"""AUCell: the area under the recovery curve of a gene set among the best genes of a cell (Aibar et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Int
from joblib import Parallel, delayed

from .._core.checks import fail, need_between, need_one_of
from .._core.rows import Rows, as_rows
from ._kernels.aucell import recovery_area

Ties = Literal["expected", "random"]
Norm = Literal["decoupler", "pyscenic"]
TOP = 0.05
MOST_UINT16 = 2**16


def cutoff_of(n_genes: int, top: float, norm: Norm) -> int:
    """Number of best genes that count: both programs leave the cut-off rank itself out."""
    size = int(np.ceil(top * n_genes)) if norm == "decoupler" else round(top * n_genes)
    if size < 2:
        raise fail(
            ValueError, "AUCell needs at least two genes in the top.", f"top={top} of {n_genes} genes.",
            f"raise top to {2 / max(n_genes, 1):.3g} or more.",
        )  # fmt: skip
    return size - 1


def aucell(
    x: Rows | sp.csr_matrix,
    members: sp.csr_matrix,
    *,
    top: float = TOP,
    ties: Ties = "expected",
    norm: Norm = "decoupler",
    tie_order: Int[np.ndarray, " genes"] | None = None,
    seed: int = 0,
    n_jobs: int = 1,
) -> Float32[np.ndarray, "cells regulons"]:
    """Score every regulon in every cell; the score is linear in the ranks of the best genes.

    All columns of `x` are ranked (all-zero genes too), so a cell's score does not depend on the other cells.

    Parameters
    ----------
    x
        Non-negative values, cells x genes; rows on disk are read in blocks.
    members
        Weights (or booleans) of regulons x genes.
    top
        Share of the genes that form the top.
    ties
        `"expected"`: genes of equal value share their mean gain, which is the mean over all tie orders and needs no seed.
        `"random"`: one order of genes for all cells, drawn from `seed` or given.
    norm
        `"decoupler"` divides by the largest area a set of this size can reach, `"pyscenic"` by (cutoff + 1) times the
        sum of weights.
    tie_order
        Genes in the order in which ties are broken.
    seed
        Seed of the tie order when none is given.
    n_jobs
        Threads; they never change a bit.
    """
    need_between(top, 0, 1, name="top")
    need_one_of(ties, ("expected", "random"), name="ties")
    need_one_of(norm, ("decoupler", "pyscenic"), name="norm")
    n_genes = x.shape[1]
    cutoff = cutoff_of(n_genes, top, norm)
    by_gene = sp.csr_matrix(members.astype(np.float64).T)
    by_gene.eliminate_zeros()
    total = np.asarray(by_gene.sum(axis=0)).ravel()
    if norm == "pyscenic":
        scale = (cutoff + 1.0) * total
    else:
        size = np.minimum(np.bincount(by_gene.indices, minlength=members.shape[0]), cutoff)
        scale = size * (cutoff + 1.0) - size * (size + 1.0) / 2
    scale[scale <= 0] = np.inf
    x = as_rows(x)
    if ties == "random":
        order = np.random.default_rng(seed).permutation(n_genes) if tie_order is None else np.asarray(tie_order)
        by_gene = by_gene[order]
        x = replace(x, columns=order if x.columns is None else x.columns[order])
    start = by_gene.indptr.astype(np.uint32)
    regulon = by_gene.indices.astype(np.uint16 if members.shape[0] <= MOST_UINT16 else np.uint32)  # less to load
    out = np.empty((x.shape[0], members.shape[0]), dtype=np.float32)

    def score(first: int, read: Callable[[], sp.csr_matrix]) -> None:
        rows = read()
        recovery_area(
            rows.data, rows.indices, rows.indptr, n_genes, start, regulon, by_gene.data, total, cutoff,
            ties == "expected", scale, out[first : first + rows.shape[0]],
        )  # fmt: skip

    Parallel(n_jobs=n_jobs, require="sharedmem")(delayed(score)(*task) for task in x.tasks())
    return out
