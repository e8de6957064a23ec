"""What a network, a model and the control cells say of perturbed genes; nothing here sees a perturbed cell."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float, Int

from .bilinear import Similarity, similarity

ITSELF = 1.0  # weight of being the same gene


def same_gene(names: list[str]) -> Similarity:
    """One feature per gene: a gene is like itself alone, so that changes of combinations are made of those of genes."""
    return Similarity({name: i for i, name in enumerate(names)}, ITSELF * np.eye(len(names)))


def rows_of(
    names: list[str], place: Int[np.ndarray, " perturbed"], features: Float[np.ndarray, "genes features"]
) -> Similarity:
    """Likeness by features of the measured genes; `place` is that of every perturbed gene (-1: not measured)."""
    own = np.zeros((len(names), features.shape[1]))
    own[place >= 0] = np.nan_to_num(features[place[place >= 0]])
    return similarity(names, own)


def by_network(names: list[str], edges: pd.DataFrame, genes: pd.Index) -> Similarity:
    """Likeness by the links of a network: who is regulated, with which sign and how much, and by whom.

    The two profiles count alike; a gene that regulates nothing is compared by its regulators, one that is only a TF by its
    targets. A gene need not be measured to have targets.
    """
    own = pd.Index(names)
    targets = _profiles(own, genes, edges["tf"], edges["gene"], edges)
    regulators = _profiles(own, pd.Index(edges["tf"].astype(str).unique()), edges["gene"], edges["tf"], edges)
    return similarity(names, sp.hstack([_unit(targets), _unit(regulators)], "csr"))


def _profiles(
    rows: pd.Index, columns: pd.Index, own: pd.Series, other: pd.Series, edges: pd.DataFrame
) -> sp.csr_matrix:
    i, j = rows.get_indexer(own.astype(str)), columns.get_indexer(other.astype(str))
    known = (i >= 0) & (j >= 0)
    sign = edges["sign"].to_numpy(dtype=np.float64)
    weight = np.where(sign < 0, -1.0, 1.0) * np.nan_to_num(edges["score"].to_numpy(dtype=np.float64), nan=1.0)
    shape = (len(rows), len(columns))
    return sp.csr_matrix((weight[known], (i[known], j[known])), shape)


def _unit(rows: sp.csr_matrix) -> sp.csr_matrix:
    length = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
    inverse = np.divide(1, length, out=np.zeros_like(length), where=length > 0)
    return sp.csr_matrix(sp.diags(inverse) @ rows)


def in_network(names: list[str], edges: pd.DataFrame) -> np.ndarray:
    """Whether a gene is an end of any link."""
    known = set(edges["tf"].astype(str)) | set(edges["gene"].astype(str))
    return np.array([name in known for name in names], dtype=bool)
