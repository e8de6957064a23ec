"""Which TFs may regulate a gene: evidence of binding near it, and the strongest of these."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float, Int


def binding_scores(
    pairs: pd.DataFrame, ranks: sp.csr_matrix, openness: Float[np.ndarray, " regions"], n_genes: int
) -> sp.csr_matrix:
    """TFs x genes: sum over the candidate regions of a gene of distance weight x accessibility x rank of the motif hit.

    `pairs` has `gene`, `region` (numbers) and `weight`; `ranks` is regions x TFs, 0 to 1.
    """
    region = pairs["region"].to_numpy()
    value = pairs["weight"].to_numpy(dtype=np.float64) * openness[region]
    near = sp.csr_matrix((value, (pairs["gene"].to_numpy(), region)), (n_genes, ranks.shape[0]))
    return sp.csr_matrix((near @ ranks).T)


def strongest(scores: sp.csr_matrix, tfs: Int[np.ndarray, " tfs"], n_tfs: int) -> sp.csr_matrix:
    """Boolean TFs x genes with the `n_tfs` highest scores of every gene, none of a TF on itself; ties go to the first TF."""
    coo = sp.coo_matrix(scores)
    keep = (tfs[coo.row] != coo.col) & (coo.data > 0)
    row, column, value = coo.row[keep], coo.col[keep], coo.data[keep]
    order = np.lexsort((row, -value, column))
    place = np.arange(order.size) - np.searchsorted(column[order], column[order])
    first = order[place < n_tfs]
    return sp.csr_matrix((np.ones(first.size, dtype=bool), (row[first], column[first])), scores.shape)


def chosen_genes(
    variance: Float[np.ndarray, " genes"], candidates: sp.csr_matrix, tfs: Int[np.ndarray, " tfs"], n_genes: int | None
) -> Int[np.ndarray, " chosen"]:
    """Places of the genes of a model: TFs that have targets, then the targets that vary most, `n_genes` in all."""
    sources = tfs[np.diff(candidates.indptr) > 0]
    targets = np.setdiff1d(np.unique(candidates.indices), sources)
    if n_genes is not None and sources.size + targets.size > n_genes:
        order = np.argsort(-variance[targets], kind="stable")
        targets = np.sort(targets[order[: max(n_genes - sources.size, 0)]])
    return np.union1d(sources, targets)


def between(candidates: sp.csr_matrix, genes: Int[np.ndarray, " chosen"]) -> sp.csr_matrix:
    """Candidate links to these genes alone."""
    coo = sp.coo_matrix(candidates)
    keep = np.isin(coo.col, genes)
    return sp.csr_matrix((coo.data[keep], (coo.row[keep], coo.col[keep])), candidates.shape)
