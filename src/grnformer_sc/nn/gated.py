"""Sums along the edges of a batch of graphs: from TFs to genes and from genes to TFs, each the transpose of the other.

Rows of the shared network are switched by the bits of each graph, so no graph is built: on the CPU a kernel walks the rows
that are on, elsewhere the edges are listed and added up bag by bag.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ._kernels import gated as kernels
from .bags import bag_sums
from .blocks import applied, has_kernels, in_blocks, n_blocks
from .graph import MIN_WEIGHT, EdgeList, StructureGraph

Scale = Float[Tensor, "scales_or_1 2 genes"]


@dataclass(frozen=True)
class GatedEdges:
    """Graphs of a batch: which rows of the shared network are on in each of them, and edges that come or go besides.

    Attributes
    ----------
    network
        The shared network.
    n_graphs
        Number of graphs.
    owner, row
        Graph and row of the network, one entry per row that is on; sorted by graph.
    extra
        Corrections, sorted by graph: an edge that comes has its weight, one that goes has minus its weight.
    """

    network: StructureGraph
    n_graphs: int
    owner: Int[Tensor, " active"]
    row: Int[Tensor, " active"]
    extra: EdgeList | None = None

    @classmethod
    def of(
        cls,
        network: StructureGraph,
        group: Int[Tensor, " graphs"],
        bits: Bool[Tensor, "graphs eregulons"] | None = None,
    ) -> GatedEdges:
        """Whole type networks, or their eRegulons whose bit is on."""
        return cls(network, group.numel(), *network.rows(group, bits))

    def corrected(self, lost: EdgeList, gained: EdgeList) -> GatedEdges:
        """The same graphs with some edges less and others more."""
        both = replace(lost, weight=-lost.weight).extended(gained)
        return replace(self, extra=both.take(torch.argsort(both.graph, stable=True)))

    @property
    def corrections(self) -> GatedEdges:
        """Graphs that hold the corrections alone."""
        return replace(self, owner=self.owner[:0], row=self.row[:0])

    @cached_property
    def listed(self) -> EdgeList:
        """Edges one by one, without the corrections."""
        return self.network.listed(self.owner, self.row)

    @cached_property
    def every(self) -> tuple[EdgeList, Int[Tensor, " edges"]]:
        """Edges one by one with the corrections, and the places of their TFs."""
        e = self.listed if self.extra is None else self.listed.extended(self.extra)
        return e, self.network.places(e.tf, e.sign)

    @cached_property
    def degrees(self) -> tuple[Float[Tensor, "graphs 2 genes"], Float[Tensor, "graphs 2 tfs"]]:
        """Summed weights of the edges of every gene and of every TF, by sign."""
        n_tfs, n_genes, like = self.network.n_tfs, self.network.n_genes, self.network.weight
        out = to_tfs(self, like.new_ones(1, 1, n_genes, 1)).view(self.n_graphs, 2, n_tfs)
        if has_kernels(like):
            into = like.new_zeros(self.n_graphs, 2, n_genes)
            kernels.gene_degrees(*self.arrays, n_tfs, into.numpy())
            return into, out
        e, weight = self.every[0], self.every[0].weight
        place = (e.graph * 2 + (e.sign < 0)) * n_genes + e.gene
        into = bag_sums(like.new_ones(1, 1), torch.zeros_like(place), place, weight, self.n_graphs * 2 * n_genes)
        return into.view(self.n_graphs, 2, n_genes), out

    @cached_property
    def arrays(self) -> tuple[tuple[np.ndarray, ...], ...]:
        """Rows, network and corrections as the kernels read them."""
        net, e = self.network, self.extra
        rows = _first(self.owner, self.n_graphs), self.row.numpy()
        network = net.indptr.numpy(), net.targets.numpy(), net.weight.numpy(), net.row_place.numpy()
        if e is None:
            none = np.empty(0, dtype=np.int64)
            return (
                rows,
                network,
                (np.zeros(self.n_graphs + 1, dtype=np.int64), none, none, np.empty(0, dtype=np.float32)),
            )
        place = net.places(e.tf, e.sign).numpy()
        return rows, network, (_first(e.graph, self.n_graphs), place, e.gene.numpy(), e.weight.numpy())


def to_genes(
    edges: GatedEdges,
    source: Float[Tensor, "graphs_or_1 tfs_by_sign dim"],
    scale: Scale | None = None,
    base: Float[Tensor, "bases_or_1 genes dim"] | None = None,
) -> Float[Tensor, "graphs genes dim"]:
    r"""Sum over the TFs of every gene, :math:`b_g + \sum_{t \to g} c_{sg} w_{tg} x_{st}` with s the sign of the edge.

    `source` holds the activating parts of all TFs, then the repressing ones; it may come once for all graphs.
    """
    n_genes, dim = edges.network.n_genes, source.shape[2]
    base = source.new_zeros(1, n_genes, 1).expand(-1, -1, dim) if base is None else base
    if has_kernels(source):
        return applied(_ToGenes, source.float(), base.float(), edges, _scale(edges, scale))
    e, place, weight = _weighted(edges, scale)
    # a copy per graph: the gradients of rows that all graphs share would be few, long sums
    source = source.expand(edges.n_graphs, -1, -1)
    row = e.graph * source.shape[1] + place
    sums = bag_sums(source.reshape(-1, dim), row, e.graph * n_genes + e.gene, weight, edges.n_graphs * n_genes)
    return base + sums.view(edges.n_graphs, n_genes, dim)


def to_tfs(
    edges: GatedEdges, source: Float[Tensor, "graphs_or_1 one_or_2 genes dim"], scale: Scale | None = None
) -> Float[Tensor, "graphs tfs_by_sign dim"]:
    r"""Sum over the genes of every TF, :math:`\sum_{g} c_{sg} w_{tg} x_{sg}`, for its activating, then its repressing edges.

    `source` may be the same for both signs, and for all graphs: then it is added up once per row of the network, not once
    per graph.
    """
    if not has_kernels(source):
        return _bagged_to_tfs(edges, source, scale)
    source = source.float()
    if source.shape[0] > 1 or scale is not None:
        return applied(_ToTfs, source, edges, _scale(edges, scale))
    out = applied(_SharedToTfs, source, edges)
    return out if edges.extra is None else out + applied(_ToTfs, source, edges.corrections, _scale(edges, None))


def inverse(degree: Tensor) -> Tensor:
    """One over the degree, 0 for nodes without an edge (whose degree may be the rounding of a sum)."""
    return torch.where(degree > MIN_WEIGHT / 2, 1 / degree.clamp(min=MIN_WEIGHT / 2), 0.0)


def _bagged_to_tfs(edges: GatedEdges, source: Tensor, scale: Scale | None) -> Tensor:
    (n_sources, n_signs, n_genes, dim), n_places = source.shape, 2 * edges.network.n_tfs
    e, place, weight = _weighted(edges, scale)
    graph = torch.zeros_like(e.graph) if n_sources == 1 else e.graph
    part = graph * n_signs + (e.sign < 0) * (n_signs - 1)
    sums = bag_sums(
        source.reshape(-1, dim), part * n_genes + e.gene, e.graph * n_places + place, weight, edges.n_graphs * n_places
    )
    return sums.view(edges.n_graphs, n_places, dim)


def _weighted(edges: GatedEdges, scale: Scale | None) -> tuple[EdgeList, Tensor, Tensor]:
    """All edges with the corrections, the places of their TFs, and their weights times `scale`."""
    e, place = edges.every
    weight = e.weight
    if scale is not None:
        weight = weight * scale.expand(edges.n_graphs, -1, -1)[e.graph, (e.sign < 0).long(), e.gene]
    return e, place, weight


def _scale(edges: GatedEdges, scale: Scale | None) -> Tensor:
    return edges.network.weight.new_ones(1, 2, edges.network.n_genes) if scale is None else scale.contiguous()


class _ToGenes(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, source: Tensor, base: Tensor, edges: GatedEdges, scale: Tensor) -> Tensor:
        ctx.edges, ctx.scale, ctx.shared = edges, scale, (source.shape[0] == 1, base.shape[0] == 1)
        out = base.expand(edges.n_graphs, -1, -1).clone(memory_format=torch.contiguous_format)
        _run(kernels.to_genes, edges, scale, source, out[:, None])
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        edges, grad = ctx.edges, grads[0].contiguous()
        shape = 2 * edges.network.n_tfs, grad.shape[2]
        source = _summed(kernels.to_tfs, edges, ctx.scale, grad[:, None], shape, shared=ctx.shared[0])
        base = None
        if ctx.needs_input_grad[1]:
            base = grad.sum(dim=0, keepdim=True) if ctx.shared[1] else grad
        return source, base, None, None


class _ToTfs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, source: Tensor, edges: GatedEdges, scale: Tensor) -> Tensor:
        ctx.edges, ctx.scale, ctx.shape = edges, scale, source.shape
        out = source.new_zeros(edges.n_graphs, 2 * edges.network.n_tfs, source.shape[3])
        _run(kernels.to_tfs, edges, scale, source, out)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        shape, grad = ctx.shape, grads[0].contiguous()
        return _summed(kernels.to_genes, ctx.edges, ctx.scale, grad, shape[1:], shared=shape[0] == 1), None, None


class _SharedToTfs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, source: Tensor, edges: GatedEdges) -> Tensor:
        ctx.edges, ctx.shape = edges, source.shape
        rows, network, _ = edges.arrays
        sums = np.zeros((network[3].size, source.shape[3]), dtype=np.float32)
        out = source.new_zeros(edges.n_graphs, 2 * edges.network.n_tfs, source.shape[3])
        kernels.shared_to_tfs(rows, network, source.detach().contiguous().numpy()[0], sums, out.numpy())
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        rows, network, _ = ctx.edges.arrays
        sums, out = np.zeros((network[3].size, ctx.shape[3]), dtype=np.float32), grads[0].new_zeros(ctx.shape)
        kernels.shared_to_genes(rows, network, grads[0].contiguous().numpy(), sums, out.numpy()[0])
        return out, None


def _summed(
    kernel: Callable[..., None], edges: GatedEdges, scale: Tensor, source: Tensor, shape: Sequence[int], *, shared: bool
) -> Tensor:
    """Gradient of a source: one part per graph, or their sum."""
    parts = n_blocks(edges.n_graphs) if shared else edges.n_graphs
    out = source.new_zeros(parts, *shape)
    _run(kernel, edges, scale, source, out, shared=shared)
    return out.sum(dim=0, keepdim=True) if shared else out


def _run(
    kernel: Callable[..., None], edges: GatedEdges, scale: Tensor, source: Tensor, out: Tensor, *, shared: bool = False
) -> None:
    """Call a kernel on blocks of graphs; with `shared` each block adds to a part of its own."""
    given = *edges.arrays, scale.numpy(), source.detach().contiguous().numpy(), out.numpy()
    in_blocks(lambda block, start, stop: kernel(start, stop, *given, block if shared else -1), edges.n_graphs)


def _first(owner: Tensor, n_graphs: int) -> np.ndarray:
    """Where the entries of every graph begin; `owner` is sorted."""
    return np.searchsorted(owner.numpy(), np.arange(n_graphs + 1))
