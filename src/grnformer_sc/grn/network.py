"""A network as the rest of the package sees it: edge table, eRegulons, and which links hold in which cell type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._core.tables import places_in


@dataclass(frozen=True, slots=True)
class Network:
    """Edge table, eRegulons and groups of one network, as stored in `uns["grn"]`.

    Attributes
    ----------
    edges
        One row per TF-region-gene link, sorted by TF, eRegulon, gene, region (`_core.tables.EDGE_COLUMNS`).
    eregulons
        One row per eRegulon: `name`, `tf`, `sign`, `region_sign`, `n_genes`, `n_regions`, thresholds and their rules.
    groups
        One row per group and eRegulon: `group`, `eregulon`, `kept`, `active_fraction`, `mean_auc`, `rss`.
    edge_groups
        Boolean edges x groups: which links hold in which group.
    group_names
        Names of the groups, in column order of `edge_groups`.
    """

    edges: pd.DataFrame
    eregulons: pd.DataFrame
    groups: pd.DataFrame
    edge_groups: sp.csr_matrix
    group_names: tuple[str, ...]

    @classmethod
    def from_uns(cls, uns: Mapping[str, Any]) -> Network:
        """Read the network that `uns["grn"]` holds."""
        return cls(
            edges=uns["edges"],
            eregulons=uns["eregulons"],
            groups=uns["groups"],
            edge_groups=sp.csr_matrix(uns["edge_groups"]),
            group_names=tuple(str(name) for name in uns["group_names"]),
        )

    def to_uns(self) -> dict[str, Any]:
        """Write the network in the types that `uns` can hold."""
        return {
            "edges": self.edges,
            "eregulons": self.eregulons,
            "groups": self.groups,
            "edge_groups": self.edge_groups,
            "group_names": np.asarray(self.group_names, dtype=object),
        }

    @property
    def eregulon_of_edge(self) -> np.ndarray:
        """Row of `eregulons` for every edge (int64)."""
        return places_in(pd.Index(self.eregulons["name"].astype(str)), self.edges["eregulon"])

    def kept(self) -> np.ndarray:
        """Boolean groups x eRegulons: which eRegulon a group keeps."""
        shape = len(self.group_names), len(self.eregulons)
        rows = pd.Index(self.group_names).get_indexer(self.groups["group"].astype(str))
        cols = pd.Index(self.eregulons["name"].astype(str)).get_indexer(self.groups["eregulon"].astype(str))
        out = np.zeros(shape, dtype=bool)
        out[rows, cols] = self.groups["kept"].to_numpy(dtype=bool)
        return out

    def gene_members(self, genes: pd.Index, group: int | None = None) -> sp.csr_matrix:
        """Boolean eRegulons x genes; with `group` only links that hold there. Genes that are absent are left out."""
        return self._members("gene", genes, group)

    def region_members(self, regions: pd.Index, group: int | None = None) -> sp.csr_matrix:
        """Boolean eRegulons x regions; with `group` only links that hold there."""
        return self._members("region", regions, group)

    def _members(self, column: str, names: pd.Index, group: int | None) -> sp.csr_matrix:
        rows = self.eregulon_of_edge
        cols = places_in(names, self.edges[column])
        keep = cols >= 0
        if group is not None:
            keep &= self.edge_groups[:, [group]].toarray().ravel()
        shape = len(self.eregulons), names.size
        out = sp.csr_matrix((np.ones(keep.sum(), dtype=bool), (rows[keep], cols[keep])), shape=shape)
        out.sum_duplicates()
        out.data[:] = True
        return out
