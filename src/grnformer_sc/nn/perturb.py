"""Edge perturbation: part of each graph's edges gives way to co-expression links of the same cell (Algorithm 1)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .._core.checks import need_between, need_one_of
from .gated import GatedEdges
from .graph import EdgeList

Mode = Literal["coexpression", "random", "none"]
OVERSAMPLED = 4  # random pairs drawn per place, as some are links already or drawn twice
PARTS = 10**6  # shares count in millionths: whole numbers, the same on every device


@dataclass(frozen=True, slots=True, kw_only=True)
class PerturbEdges:
    """Share of the edges that is replaced, and by what.

    A graph swaps ``min(floor(alpha * edges), candidates)`` edges, so the number of edges never changes. Where a cell shows
    few genes there are few candidates and it swaps less than `alpha`; dropping the full share there would be edge dropout,
    the more of it the sparser the cell.

    Attributes
    ----------
    alpha
        Largest share.
    mode
        Links that come in: co-expressed pairs of the group, random pairs, or none.
    keep_degree
        Swap edges TF by TF, so that every TF keeps its number of targets.
    """

    alpha: float = 0.2
    mode: Mode = "coexpression"
    keep_degree: bool = False

    def __post_init__(self) -> None:
        need_between(self.alpha, 0, 1, name="alpha")
        need_one_of(self.mode, ("coexpression", "random", "none"), name="mode")

    def __call__(
        self,
        edges: GatedEdges,
        group: Int[Tensor, " graphs"],
        visible: Bool[Tensor, "graphs genes"],
        generator: torch.Generator,
    ) -> GatedEdges:
        """Replace edges of every graph, as corrections to the shared network.

        Links that come in join a TF and a gene that are both visible (expressed and unmasked) and are no link of the
        group. With `"coexpression"` they are drawn without replacement with weights |r| (keys -log(u) / |r|, Efraimidis and
        Spirakis 2006), with `"random"` all alike.
        """
        if self.mode == "none" or self.alpha == 0 or edges.row.numel() == 0:
            return edges
        old = edges.listed
        wanted = share_of(_counts(self._segment(edges, old), self._n_segments(edges)), self.alpha)
        if self.mode == "coexpression":
            new = edges.network.partners(group)
            new = new.take(visible[new.graph, new.tf] & visible[new.graph, new.gene])
        else:
            new = self._random_pairs(edges, group, visible, wanted, generator)
        segment = self._segment(edges, new)
        key = -torch.log(uniform(new.weight, generator)) / new.weight.clamp(min=1e-6)
        new = new.take(rank_within(segment, key) < wanted[segment])
        swaps = _counts(self._segment(edges, new), wanted.numel())
        segment = self._segment(edges, old)
        lost = old.take(rank_within(segment, uniform(old.weight, generator)) < swaps[segment])
        return edges.corrected(lost, replace(new, weight=torch.ones_like(new.weight)))

    def _segment(self, edges: GatedEdges, e: EdgeList) -> Int[Tensor, " edges"]:
        """The unit that keeps its number of edges: the graph, or a TF in it."""
        return e.graph * edges.network.n_tfs + edges.network.tf_place[e.tf] if self.keep_degree else e.graph

    def _n_segments(self, edges: GatedEdges) -> int:
        return edges.n_graphs * edges.network.n_tfs if self.keep_degree else edges.n_graphs

    def _random_pairs(
        self, edges: GatedEdges, group: Tensor, visible: Tensor, wanted: Tensor, generator: torch.Generator
    ) -> EdgeList:
        """Distinct pairs of a visible TF and gene that are no links of the group, signed like random edges of the graph."""
        net, old = edges.network, edges.listed
        segment = torch.repeat_interleave(torch.arange(wanted.numel(), device=wanted.device), OVERSAMPLED * wanted)
        graph = torch.div(segment, net.n_tfs, rounding_mode="floor") if self.keep_degree else segment
        like, on = old.weight.new_empty(graph.shape), visible[:, net.tfs]
        place = segment % net.n_tfs if self.keep_degree else _pick(on, graph, uniform(like, generator))
        tf, gene = net.tfs[place], _pick(visible, graph, uniform(like, generator))
        first = torch.cumsum(_counts(old.graph, edges.n_graphs), 0)
        start = torch.where(graph > 0, first[(graph - 1).clamp(min=0)], 0)
        sign = old.sign[
            start + (uniform(like, generator) * (first[graph] - start)).long().clamp(max=old.sign.numel() - 1)
        ]
        pairs = EdgeList(graph, tf, gene, sign, torch.ones_like(like))
        good = visible[graph, tf] & visible[graph, gene] & (tf != gene)
        return distinct(pairs.take(good), net.edges(group), net.n_genes)


def share_of(count: Int[Tensor, " segments"], share: float) -> Int[Tensor, " segments"]:
    """Whole number of items that makes up at most a share."""
    return count * round(share * PARTS) // PARTS


def _pick(allowed: Bool[Tensor, "graphs items"], graph: Int[Tensor, " draws"], u: Tensor) -> Int[Tensor, " draws"]:
    """One of the allowed items of a graph per draw (0 where there is none)."""
    owner, item = allowed.nonzero(as_tuple=True)
    count = _counts(owner, allowed.shape[0])
    if item.numel() == 0:
        return torch.zeros_like(graph)
    step = torch.minimum((u * count[graph]).long(), (count[graph] - 1).clamp(min=0))
    place = (torch.cumsum(count, 0) - count)[graph] + step
    return torch.where(count[graph] > 0, item[place.clamp(max=item.numel() - 1)], 0)


def distinct(pairs: EdgeList, known: EdgeList, n_genes: int) -> EdgeList:
    """Each pair once, in the order of drawing, and none that is known."""
    code, links = ((e.graph * n_genes + e.tf) * n_genes + e.gene for e in (pairs, known))
    unique, inverse = torch.unique(code, return_inverse=True)
    position = torch.arange(code.numel(), device=code.device)
    place = torch.full_like(unique, code.numel()).scatter_reduce(0, inverse, position, reduce="amin")
    return pairs.take(place[~torch.isin(unique, links)].sort().values)


def uniform(like: Float[Tensor, " items"], generator: torch.Generator) -> Float[Tensor, " items"]:
    """One number above 0 and below 1 per item."""
    return torch.rand(like.shape, generator=generator, device=like.device).clamp(min=1e-30)


def _counts(segment: Int[Tensor, " items"], n_segments: int) -> Int[Tensor, " segments"]:
    return torch.bincount(segment, minlength=n_segments)


def rank_within(segment: Int[Tensor, " items"], key: Float[Tensor, " items"]) -> Int[Tensor, " items"]:
    """Rank of every item within its segment, smallest key (never negative) first."""
    # the bits of positive floats sort like the floats: segment and key become one number, and one sort does
    order = torch.argsort((segment << 32) | key.view(torch.int32).long(), stable=True)
    count = torch.bincount(segment) if segment.numel() else segment
    first = torch.cumsum(count, 0) - count
    rank = torch.empty_like(segment)
    rank[order] = torch.arange(segment.numel(), device=segment.device) - first[segment[order]]
    return rank
