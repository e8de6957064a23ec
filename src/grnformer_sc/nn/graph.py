"""The shared network as tensors: every cell's graph is a selection of its rows, never a copy."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class GraphEdges:
    """Edges of a batch of graphs as one list; `tf` and `gene` are gene indices, `sign` is +1 or -1."""

    graph: Int[Tensor, " edges"]
    tf: Int[Tensor, " edges"]
    gene: Int[Tensor, " edges"]
    sign: Int[Tensor, " edges"]

    def take(self, index: Tensor) -> GraphEdges:
        """Keep the named edges."""
        return GraphEdges(self.graph[index], self.tf[index], self.gene[index], self.sign[index])

    def extended(self, other: GraphEdges) -> GraphEdges:
        """Both lists, one behind the other."""
        return GraphEdges(
            torch.cat([self.graph, other.graph]), torch.cat([self.tf, other.tf]), torch.cat([self.gene, other.gene]),
            torch.cat([self.sign, other.sign]),
        )  # fmt: skip


class StructureGraph(nn.Module):
    """The networks of all groups as rows (group, eRegulon) with their target genes, and co-expression partners.

    Everything is a buffer, so it moves and is saved with the model.

    Parameters
    ----------
    n_genes, n_groups
        Sizes.
    row_group, row_eregulon, row_tf, row_sign
        Group, eRegulon (column of the bits), TF (gene index) and sign of every row.
    indptr, targets
        Target genes of row r: ``targets[indptr[r]:indptr[r + 1]]``.
    partner_indptr, partner_tf, partner_gene, partner_r
        Co-expressed TF-gene pairs of every group (which are not links of it) with their correlation.
    """

    def __init__(
        self,
        n_genes: int,
        n_groups: int,
        *,
        row_group: Int[Tensor, " rows"],
        row_eregulon: Int[Tensor, " rows"],
        row_tf: Int[Tensor, " rows"],
        row_sign: Int[Tensor, " rows"],
        indptr: Int[Tensor, " rows_and_1"],
        targets: Int[Tensor, " links"],
        partner_indptr: Int[Tensor, " groups_and_1"],
        partner_tf: Int[Tensor, " pairs"],
        partner_gene: Int[Tensor, " pairs"],
        partner_r: Tensor,
    ) -> None:
        super().__init__()
        self.n_genes, self.n_groups = n_genes, n_groups
        arrays = {
            "row_group": row_group, "row_eregulon": row_eregulon, "row_tf": row_tf, "row_sign": row_sign,
            "indptr": indptr, "targets": targets, "partner_indptr": partner_indptr, "partner_tf": partner_tf,
            "partner_gene": partner_gene,
        }  # fmt: skip
        for name, values in arrays.items():
            self.register_buffer(name, values.to(torch.int64))
        self.register_buffer("partner_r", partner_r.to(torch.float32))
        keys = [self._nodes(group) for group in range(n_groups)]
        widest = max((key.numel() for key in keys), default=0)
        index = torch.zeros(n_groups, widest, dtype=torch.int64)
        present = torch.zeros(n_groups, widest, dtype=torch.bool)
        for group, key in enumerate(keys):
            index[group, : key.numel()] = key
            present[group, : key.numel()] = True
        self.register_buffer("key_index", index, persistent=False)
        self.register_buffer("key_present", present, persistent=False)
        is_tf = torch.zeros(n_genes, dtype=torch.bool)
        is_tf[row_tf.to(torch.int64)] = True
        self.register_buffer("is_tf", is_tf, persistent=False)

    row_group: Tensor
    row_eregulon: Tensor
    row_tf: Tensor
    row_sign: Tensor
    indptr: Tensor
    targets: Tensor
    partner_indptr: Tensor
    partner_tf: Tensor
    partner_gene: Tensor
    partner_r: Tensor
    key_index: Tensor
    key_present: Tensor
    is_tf: Tensor

    def _nodes(self, group: int) -> Int[Tensor, " nodes"]:
        """Genes with a link in a group's network, as target or TF."""
        edges = self.edges(torch.tensor([group], device=self.indptr.device))
        return torch.unique(torch.cat([edges.tf, edges.gene]))

    def edges(self, group: Int[Tensor, " graphs"], bits: Bool[Tensor, "graphs eregulons"] | None = None) -> GraphEdges:
        """Edges of a batch of graphs: of the whole type network, or of the eRegulons whose bit is on."""
        active = self.row_group[None, :] == group[:, None]
        if bits is not None:
            active &= bits[:, self.row_eregulon]
        graph, row = active.nonzero(as_tuple=True)
        owner, place = spread(self.indptr, row)
        return GraphEdges(graph[owner], self.row_tf[row[owner]], self.targets[place], self.row_sign[row[owner]])

    def partners(self, group: Int[Tensor, " graphs"]) -> tuple[GraphEdges, Tensor]:
        """Co-expressed pairs of each graph's group, and the size of their correlation."""
        owner, place = spread(self.partner_indptr, group)
        r = self.partner_r[place]
        sign = torch.where(r < 0, -1, 1)
        return GraphEdges(owner, self.partner_tf[place], self.partner_gene[place], sign), r.abs()


def spread(indptr: Int[Tensor, " rows_and_1"], row: Int[Tensor, " chosen"]) -> tuple[Tensor, Tensor]:
    """Positions of the entries of the chosen CSR rows: which choice each entry belongs to, and where it stands."""
    count = indptr[row + 1] - indptr[row]
    owner = torch.repeat_interleave(torch.arange(row.numel(), device=row.device), count)
    first = torch.cumsum(count, 0) - count
    place = indptr[row][owner] + torch.arange(owner.numel(), device=row.device) - first[owner]
    return owner, place
