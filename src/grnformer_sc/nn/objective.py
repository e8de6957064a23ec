"""Terms of the objective that speak about the network: links predicted from structure, two perturbed views that agree."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from .gated import GatedEdges
from .graph import EdgeList, StructureGraph
from .losses import LossName
from .perturb import distinct, rank_within, share_of, uniform
from .rows import rows_of

HELD_OUT = 0.1  # share of the links that structure embeddings have to predict


class EdgeHead(nn.Module):
    r"""Score of a TF-gene pair from its structure embeddings, :math:`\langle W h_{tf}, h_g \rangle / \sqrt{d} + b`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.pair = nn.Linear(dim, dim, bias=False)
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, h: Float[Tensor, "graphs genes dim"], pairs: EdgeList) -> Float[Tensor, " pairs"]:
        """Scores (logits)."""
        rows, first = h.flatten(0, 1), pairs.graph * h.shape[1]
        tf, gene = self.pair(rows_of(rows, first + pairs.tf)), rows_of(rows, first + pairs.gene)
        return (tf * gene).sum(dim=-1) * h.shape[2] ** -0.5 + self.bias


def hold_out(
    edges: GatedEdges, group: Int[Tensor, " graphs"], generator: torch.Generator
) -> tuple[GatedEdges, EdgeList, EdgeList]:
    """Graphs without a tenth of their links, those links, and about as many pairs of the same TFs that are no links."""
    old = edges.listed
    wanted = share_of(torch.bincount(old.graph, minlength=edges.n_graphs), HELD_OUT)
    held = old.take(rank_within(old.graph, uniform(old.weight, generator)) < wanted[old.graph])
    none = held.take(torch.zeros(0, dtype=torch.int64, device=held.graph.device))
    return edges.corrected(held, none), held, _non_links(edges.network, group, held, generator)


def _non_links(network: StructureGraph, group: Tensor, links: EdgeList, generator: torch.Generator) -> EdgeList:
    gene = (uniform(links.weight, generator) * network.n_genes).long().clamp(max=network.n_genes - 1)
    pairs = replace(links, gene=gene)
    return distinct(pairs.take(gene != links.tf), network.edges(group), network.n_genes)


def edge_loss(scores: Float[Tensor, " pairs"], labels: Float[Tensor, " pairs"]) -> Float[Tensor, ""]:
    """Cross-entropy of link or no link; 0 without pairs."""
    return functional.binary_cross_entropy_with_logits(scores, labels) if labels.numel() else scores.sum()


def consistency_loss(
    first: Float[Tensor, " masked"],
    second: Float[Tensor, " masked"],
    *,
    loss: LossName,
    log_inverse: Float[Tensor, " masked"] | None = None,
) -> Float[Tensor, ""]:
    r"""Mean symmetric Kullback-Leibler divergence of what two views predict for the same genes.

    Poisson, negative binomial with a common dispersion and Gaussian (unit variance) are exponential families, so it is
    :math:`\frac12 (\mu_1 - \mu_2)(\eta_1 - \eta_2)` with :math:`\eta = \log\mu`, :math:`\log\frac{\mu}{\mu + r}` and
    :math:`\mu`.
    """
    if first.numel() == 0:
        return first.sum()
    if loss == "mse":
        return ((first - second) ** 2).mean() / 2
    first, second = first.clamp(max=15), second.clamp(max=15)
    natural = first - second
    if log_inverse is not None:
        natural = natural - torch.logaddexp(first, log_inverse) + torch.logaddexp(second, log_inverse)
    return ((first.exp() - second.exp()) * natural).mean() / 2
