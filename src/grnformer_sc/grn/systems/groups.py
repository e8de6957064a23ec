"""Weights of every group between all genes, as matrices and as one edge table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float, Int

from ..._core.tables import edge_table, eregulon_name, places_in
from ..tf_gene import share_below


@dataclass(frozen=True, slots=True)
class GroupNetworks:
    """Signed weights regulator -> gene of every group; a group without a network has an empty one."""

    genes: pd.Index
    names: tuple[str, ...]
    weights: Sequence[sp.csr_matrix]

    def to_uns(self) -> dict[str, Any]:
        """All networks below each other as one matrix, and the names of the genes."""
        return {"networks": sp.vstack(self.weights, "csr"), "genes": self.genes.to_numpy(dtype=object)}

    @classmethod
    def from_uns(cls, stored: Mapping[str, Any]) -> GroupNetworks:
        """Read what a network stores."""
        genes = pd.Index(stored["genes"]).astype(str)
        stack, names = sp.csr_matrix(stored["networks"]), tuple(str(name) for name in stored["group_names"])
        weights = [stack[k * genes.size : (k + 1) * genes.size] for k in range(len(names))]
        return cls(genes, names, weights)

    def edges(
        self, regulators: Int[np.ndarray, " regulators"], *, evidence: str = "none"
    ) -> tuple[pd.DataFrame, sp.csr_matrix]:
        """Links of the regulators in any group, and in which groups each holds.

        A link of both signs has two rows. `tf_gene_importance` is the largest size in any group.
        """
        n = self.genes.size
        chosen = sp.diags_array(np.isin(np.arange(n), regulators).astype(np.float64))
        parts = [sp.coo_matrix(chosen @ weights) for weights in self.weights]
        code = np.concatenate([(p.row.astype(np.int64) * n + p.col) * 2 + (p.data > 0) for p in parts])
        size = np.concatenate([np.abs(p.data) for p in parts])
        found, row = np.unique(code[size > 0], return_inverse=True)
        if not found.size:
            return edge_table({}), sp.csr_matrix((0, len(self.names)), dtype=bool)
        largest = np.zeros(found.size)
        np.maximum.at(largest, row, size[size > 0])
        (tf, gene), sign = np.divmod(found // 2, n), np.where(found % 2, 1, -1)
        table = signed_edges(self.genes[tf], self.genes[gene], sign * largest, evidence=evidence)
        tf, gene = places_in(self.genes, table["tf"]), places_in(self.genes, table["gene"])
        holds = [np.sign(np.asarray(weights[tf, gene]).ravel()) == table["sign"].to_numpy() for weights in self.weights]
        return table, sp.csr_matrix(np.stack(holds, axis=1))


def signed_edges(
    tf: pd.Index, gene: pd.Index, weight: Float[np.ndarray, " links"], *, evidence: str = "none", **more: Any
) -> pd.DataFrame:
    """Edge table of links with a signed weight, none of them 0: size, sign, score (rank of the size), eRegulon by sign."""
    if not weight.size:
        return edge_table({})
    size, sign = np.abs(weight), np.sign(weight).astype(int)
    return edge_table({
        "tf": tf, "gene": gene, "tf_gene_importance": size, "sign": sign, "score": share_below(size), "evidence": evidence,
        "eregulon": [eregulon_name(*part, 0) for part in zip(tf, sign, strict=True)], **more,
    })  # fmt: skip
