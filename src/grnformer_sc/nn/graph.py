"""The shared network as tensors: every cell's graph is a selection of its rows plus a few edges, never a copy."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

MIN_WEIGHT = 0.01  # weights add up to the degree of a node, which must stand out from the rounding of sums


@dataclass(frozen=True, slots=True)
class EdgeList:
    """Edges of a batch of graphs, one by one; `tf` and `gene` are gene indices, `sign` is +1 or -1."""

    graph: Int[Tensor, " edges"]
    tf: Int[Tensor, " edges"]
    gene: Int[Tensor, " edges"]
    sign: Int[Tensor, " edges"]
    weight: Float[Tensor, " edges"]

    def take(self, index: Tensor) -> EdgeList:
        """Keep the named edges (by place, or by a mask)."""
        if index.dtype == torch.bool:  # asked once where they are, not for every column
            index = index.nonzero()[:, 0]
        return EdgeList(
            self.graph[index], self.tf[index], self.gene[index], self.sign[index], self.weight[index]
        )  # fmt: skip

    def extended(self, other: EdgeList) -> EdgeList:
        """Both lists, one behind the other."""
        pairs = zip(self._columns(), other._columns(), strict=True)
        return EdgeList(*(torch.cat(pair) for pair in pairs))

    def _columns(self) -> tuple[Tensor, ...]:
        return self.graph, self.tf, self.gene, self.sign, self.weight


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
    weight
        Weight of every link, at least `MIN_WEIGHT`; None weighs all alike.
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
        weight: Float[Tensor, " links"] | None = None,
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
        ones = torch.ones(targets.numel(), dtype=torch.float32)
        self.register_buffer("weight", ones if weight is None else weight.to(torch.float32), persistent=False)
        tfs = torch.unique(torch.cat([self.row_tf, self.partner_tf]))
        place = torch.full((n_genes,), -1, dtype=torch.int64)
        place[tfs] = torch.arange(tfs.numel())
        is_tf = torch.zeros(n_genes, dtype=torch.bool)
        is_tf[self.row_tf] = True
        derived = {"tfs": tfs, "tf_place": place, "is_tf": is_tf}
        for name, values in derived.items():
            self.register_buffer(name, values, persistent=False)
        self.register_buffer("row_place", self.places(self.row_tf, self.row_sign), persistent=False)
        self._filled: list[bool] = []  # with all keys, with TFs only
        nodes = [self._nodes(group) for group in range(n_groups)]
        for prefix, keys in (("key", nodes), ("tf_key", [own[is_tf[own]] for own in nodes])):
            index, present = _padded(keys)
            self._filled.append(bool(present.all()))
            self.register_buffer(f"{prefix}_index", index, persistent=False)
            self.register_buffer(f"{prefix}_present", present, persistent=False)

    row_group: Tensor
    row_eregulon: Tensor
    row_tf: Tensor
    row_sign: Tensor
    row_place: Tensor
    indptr: Tensor
    targets: Tensor
    weight: Tensor
    partner_indptr: Tensor
    partner_tf: Tensor
    partner_gene: Tensor
    partner_r: Tensor
    key_index: Tensor
    key_present: Tensor
    tf_key_index: Tensor
    tf_key_present: Tensor
    is_tf: Tensor
    tfs: Tensor
    tf_place: Tensor

    @property
    def n_tfs(self) -> int:
        """Number of TFs."""
        return self.tfs.numel()

    def places(self, tf: Int[Tensor, " items"], sign: Int[Tensor, " items"]) -> Int[Tensor, " items"]:
        """Place of a TF's activating (first half) or repressing part among the 2 x `n_tfs` sources."""
        return self.tf_place[tf] + (sign < 0) * self.n_tfs

    def keys(self, *, tf_only: bool = False) -> tuple[Int[Tensor, "groups keys"], Bool[Tensor, "groups keys"]]:
        """Genes with a link in each group's network (or its TFs), and which places are filled."""
        return (self.tf_key_index, self.tf_key_present) if tf_only else (self.key_index, self.key_present)

    def is_filled(self, *, tf_only: bool = False) -> bool:
        """Whether all groups have equally many keys, so that no place is empty."""
        return self._filled[tf_only]

    def rows(
        self, group: Int[Tensor, " graphs"], bits: Bool[Tensor, "graphs eregulons"] | None = None
    ) -> tuple[Int[Tensor, " active"], Int[Tensor, " active"]]:
        """Rows of each graph's type network, all or those whose bit is on: graph and row, sorted by graph."""
        active = self.row_group[None, :] == group[:, None]
        if bits is not None:
            active &= bits[:, self.row_eregulon]
        owner, row = active.nonzero(as_tuple=True)
        return owner, row

    def listed(self, owner: Int[Tensor, " active"], row: Int[Tensor, " active"]) -> EdgeList:
        """Edges of rows, one by one."""
        which, place = spread(self.indptr, row)
        of = row[which]
        return EdgeList(owner[which], self.row_tf[of], self.targets[place], self.row_sign[of], self.weight[place])

    def edges(self, group: Int[Tensor, " graphs"], bits: Bool[Tensor, "graphs eregulons"] | None = None) -> EdgeList:
        """Edges of a batch of graphs, one by one."""
        return self.listed(*self.rows(group, bits))

    def partners(self, group: Int[Tensor, " graphs"]) -> EdgeList:
        """Co-expressed pairs of each graph's group; the weight is the size of their correlation."""
        owner, place = spread(self.partner_indptr, group)
        r = self.partner_r[place]
        sign = torch.where(r < 0, -1, 1)
        return EdgeList(owner, self.partner_tf[place], self.partner_gene[place], sign, r.abs())

    def _nodes(self, group: int) -> Int[Tensor, " nodes"]:
        """Genes with a link in a group's network, as target or TF."""
        edges = self.edges(torch.tensor([group], device=self.indptr.device))
        return torch.unique(torch.cat([edges.tf, edges.gene]))


def spread(indptr: Int[Tensor, " rows_and_1"], row: Int[Tensor, " chosen"]) -> tuple[Tensor, Tensor]:
    """Positions of the entries of the chosen CSR rows: which choice each entry belongs to, and where it stands."""
    count = indptr[row + 1] - indptr[row]
    owner = torch.repeat_interleave(torch.arange(row.numel(), device=row.device), count)
    first = torch.cumsum(count, 0) - count
    place = indptr[row][owner] + torch.arange(owner.numel(), device=row.device) - first[owner]
    return owner, place


def _padded(keys: list[Tensor]) -> tuple[Int[Tensor, "groups keys"], Bool[Tensor, "groups keys"]]:
    shape = len(keys), max((key.numel() for key in keys), default=0)
    index, present = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.bool)
    for group, key in enumerate(keys):
        index[group, : key.numel()], present[group, : key.numel()] = key, True
    return index, present
