"""The base network: which TFs can act on a gene, from motif hits in its promoter and in regions that open with it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float

SMALLEST = 1e-12  # variance of a column that can correlate, in units of its squared mean
BLOCK = 4_000_000  # values of pairs held at a time


def base_network(
    pairs: pd.DataFrame,
    hits: sp.csr_matrix,
    accessibility: sp.csc_matrix,
    n_genes: int,
    *,
    promoter: int,
    coaccess: float,
) -> sp.csr_matrix:
    """Boolean TFs x genes: a TF with a hit in a promoter of the gene, or in a region correlated with one over cells.

    Parameters
    ----------
    pairs
        Candidate regions of every gene: `gene`, `region` (numbers), `distance` from the TSS in bp.
    hits
        Regions x TFs, not 0 where a motif is found.
    accessibility
        Cells (or pools of cells) x regions, normalised.
    n_genes
        Number of genes.
    promoter
        Largest distance of a promoter in bp.
    coaccess
        Least Pearson correlation of another region with the promoter of the gene that it follows best.
    """
    gene, region = pairs["gene"].to_numpy(), pairs["region"].to_numpy()
    near = np.abs(pairs["distance"].to_numpy()) <= promoter
    best = _best_correlation(gene, region, near, accessibility)
    linked = near | (best >= coaccess)
    of_gene = sp.csr_matrix((np.ones(linked.sum()), (gene[linked], region[linked])), (n_genes, hits.shape[0]))
    found = sp.csr_matrix((of_gene @ (hits != 0).astype(np.float64)).T)
    return sp.csr_matrix(found != 0)


def _best_correlation(
    gene: np.ndarray, region: np.ndarray, near: np.ndarray, accessibility: sp.csc_matrix
) -> Float[np.ndarray, " pairs"]:
    """Highest correlation of every region with a promoter of its gene; -inf where the gene has none."""
    table = pd.DataFrame({"gene": gene, "region": region, "row": np.arange(gene.size)})
    joined = table.merge(table[near], on="gene", suffixes=("", "_promoter"))
    value = correlations(accessibility, joined["region"].to_numpy(), joined["region_promoter"].to_numpy())
    best = np.full(gene.size, -np.inf)
    np.maximum.at(best, joined["row"].to_numpy(), value)
    return best


def correlations(x: sp.csc_matrix, one: np.ndarray, other: np.ndarray) -> Float[np.ndarray, " pairs"]:
    """Pearson correlation of pairs of columns of a sparse matrix; 0 for columns that do not vary."""
    n = x.shape[0]
    mean = np.asarray(x.mean(axis=0), dtype=np.float64).ravel()
    variance = np.asarray(x.multiply(x).mean(axis=0), dtype=np.float64).ravel() - mean**2
    moves = variance > SMALLEST * np.maximum(mean**2, 1)
    out = np.empty(one.size)
    step = max(1, BLOCK // max(n, 1))
    for first in range(0, one.size, step):
        a, b = one[first : first + step], other[first : first + step]
        product = np.asarray(x[:, a].multiply(x[:, b]).sum(axis=0), dtype=np.float64).ravel() / n
        scale = np.sqrt(np.where(moves[a] & moves[b], variance[a] * variance[b], 1))
        out[first : first + step] = np.where(moves[a] & moves[b], (product - mean[a] * mean[b]) / scale, 0)
    return out
