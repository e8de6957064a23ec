"""Edge perturbation: part of each graph's edges gives way to co-expression links of the same cell (Algorithm 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from .._core.checks import need_between, need_one_of
from .graph import GraphEdges, StructureGraph

Mode = Literal["coexpression", "random", "none"]
OVERSAMPLED = 4  # random pairs drawn per place, as some are edges already or not visible


@dataclass(frozen=True, slots=True, kw_only=True)
class PerturbEdges:
    """Share of the edges that is replaced, and by what."""

    alpha: float = 0.2
    mode: Mode = "coexpression"

    def __post_init__(self) -> None:
        need_between(self.alpha, 0, 1, name="alpha")
        need_one_of(self.mode, ("coexpression", "random", "none"), name="mode")

    def __call__(
        self,
        edges: GraphEdges,
        network: StructureGraph,
        group: Int[Tensor, " graphs"],
        visible: Bool[Tensor, "graphs genes"],
        generator: torch.Generator,
    ) -> GraphEdges:
        """Replace floor(alpha * edges) edges of every graph.

        Links that come in join two visible genes (expressed and unmasked) and are no links of the group; with
        `"coexpression"` they are drawn without replacement with weights |r| (keys log(u) / |r|, Efraimidis & Spirakis 2006).
        A graph with too few candidates loses edges.
        """
        if self.mode == "none" or self.alpha == 0 or edges.graph.numel() == 0:
            return edges
        n_graphs = group.numel()
        per_graph = torch.bincount(edges.graph, minlength=n_graphs)
        n_swap = torch.floor(self.alpha * per_graph.double() + 1e-9).long()
        lost = _rank(edges.graph, _uniform(edges.graph, generator)) < n_swap[edges.graph]
        if self.mode == "coexpression":
            pairs, weight = network.partners(group)
        else:
            pairs, weight = _random_pairs(edges, network, group, n_swap, generator)
        allowed = visible[pairs.graph, pairs.tf] & visible[pairs.graph, pairs.gene]
        pairs, weight = pairs.take(allowed), weight[allowed]
        key = -torch.log(_uniform(pairs.graph, generator)) / weight.clamp(min=1e-6)
        chosen = _rank(pairs.graph, key) < n_swap[pairs.graph]
        return edges.take(~lost).extended(pairs.take(chosen))


def _uniform(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(like.shape, generator=generator, device=like.device, dtype=torch.float64).clamp(min=1e-300)


def _rank(graph: Int[Tensor, " items"], key: Tensor) -> Int[Tensor, " items"]:
    """Rank of every item among those of its graph, smallest key first; items are sorted by graph."""
    order = torch.argsort(key, stable=True)
    order = order[torch.argsort(graph[order], stable=True)]
    count = torch.bincount(graph) if graph.numel() else graph
    first = torch.cumsum(count, 0) - count
    rank = torch.empty_like(graph)
    rank[order] = torch.arange(graph.numel(), device=graph.device) - first[graph[order]]
    return rank


def _random_pairs(
    edges: GraphEdges, network: StructureGraph, group: Tensor, n_swap: Tensor, generator: torch.Generator
) -> tuple[GraphEdges, Tensor]:
    """Distinct pairs of a TF of the graph and any gene that are not links of the group."""
    device = group.device
    graph = torch.repeat_interleave(torch.arange(group.numel(), device=device), OVERSAMPLED * n_swap)
    count = torch.bincount(edges.graph, minlength=group.numel())
    first = torch.cumsum(count, 0) - count
    pick = first[graph] + (_uniform(graph, generator) * count[graph]).long()
    tf = edges.tf[pick]
    gene = (_uniform(graph, generator) * network.n_genes).long()
    sign = edges.sign[pick]
    whole = network.edges(group)
    code = (graph * network.n_genes + tf) * network.n_genes + gene
    known = (whole.graph * network.n_genes + whole.tf) * network.n_genes + whole.gene
    unique, inverse = torch.unique(code, return_inverse=True)
    place = torch.full_like(unique, code.numel()).scatter_reduce(
        0, inverse, torch.arange(code.numel(), device=device), reduce="amin"
    )
    keep = place[
        ~torch.isin(unique, known)
        & (torch.div(unique, network.n_genes, rounding_mode="floor") % network.n_genes != unique % network.n_genes)
    ]
    keep = keep.sort().values
    pairs = GraphEdges(graph[keep], tf[keep], gene[keep], sign[keep])
    return pairs, torch.ones(keep.numel(), dtype=torch.float32, device=device)
