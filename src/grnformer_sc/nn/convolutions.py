"""Graph convolutions on signed TF-gene graphs in both directions: what a node takes from its neighbours and from itself."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .gated import GatedEdges, inverse, to_genes, to_tfs

RELATIONS = ("act_forward", "rep_forward", "act_reverse", "rep_reverse")  # forward: genes hear their TFs

Nodes = Float[Tensor, "graphs_or_1 genes dim"]


class Convolution(nn.Module, ABC):
    """Update of all nodes from one part per relation (sign and direction) and a linear map of the node itself.

    `h` may come once for all graphs (first axis of size 1), as node features do in the first layer. Dropout acts on what TFs
    send and hear: there are few TFs, while random numbers for all nodes of all graphs cost as much as the layer itself.
    """

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.own = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)

    @abstractmethod
    def forward(self, h: Nodes, edges: GatedEdges) -> Float[Tensor, "graphs genes dim"]:
        """Update all nodes."""


class SageConvolution(Convolution):
    r"""GraphSAGE (Hamilton et al. 2017): :math:`W h_i + \sum_q W_q\, \mathrm{mean}_{j \in N_q(i)} h_j`."""

    def __init__(self, dim: int, dropout: float = 0.0) -> None:
        super().__init__(dim, dropout)
        self.relations = nn.ModuleDict({name: nn.Linear(dim, dim, bias=False) for name in RELATIONS})

    def forward(self, h: Nodes, edges: GatedEdges) -> Float[Tensor, "graphs genes dim"]:
        """Update all nodes; linear maps are applied where there are fewest vectors, before a sum or after it."""
        tfs, (into, out) = edges.network.tfs, edges.degrees
        sent = h[:, tfs]
        sent = torch.cat([self.relations["act_forward"](sent), self.relations["rep_forward"](sent)], dim=1)
        update = to_genes(edges, self.dropout(sent), inverse(into), self.own(h))
        share, reverse = (
            inverse(out).flatten(1)[..., None],
            [self.relations[f"{sign}_reverse"] for sign in ("act", "rep")],
        )
        if h.shape[0] == 1:
            heard = to_tfs(edges, torch.stack([linear(h) for linear in reverse], dim=1)) * share
            heard = heard.view(edges.n_graphs, 2, tfs.numel(), -1).sum(dim=1)
        else:
            means = (to_tfs(edges, h[:, None]) * share).chunk(2, dim=1)
            heard = torch.stack([linear(mean) for linear, mean in zip(reverse, means, strict=True)]).sum(dim=0)
        return update.index_add_(1, tfs, self.dropout(heard).to(update.dtype))


class GcnConvolution(Convolution):
    r"""GCN (Kipf and Welling 2017): :math:`W h_i + \sum_q W_q (\sum_j w_{ij} h_j / \sqrt{d_i d_j} + h_i / d_i)`.

    :math:`d` is one more than the summed weights of the edges that come in by relation q, so a node is its own neighbour.
    """

    def __init__(self, dim: int, dropout: float = 0.0) -> None:
        super().__init__(dim, dropout)
        self.relations = nn.ModuleDict({name: nn.Linear(dim, dim, bias=False) for name in RELATIONS})

    def forward(self, h: Nodes, edges: GatedEdges) -> Float[Tensor, "graphs genes dim"]:
        """Update all nodes."""
        tfs, (into, out) = edges.network.tfs, edges.degrees
        heard_by_genes = 1 + into
        heard_by_tfs = torch.ones_like(into).index_copy(2, tfs, 1 + out)  # only TFs hear anything in reverse
        update, sent = self.own(h), []
        for sign, word in enumerate(("act", "rep")):
            forward, reverse = self.relations[f"{word}_forward"], self.relations[f"{word}_reverse"]
            update = (
                update + forward(h) / heard_by_genes[:, sign, :, None] + reverse(h) / heard_by_tfs[:, sign, :, None]
            )
            sent.append(forward(h[:, tfs]) * heard_by_genes[:, sign, tfs, None].rsqrt())
        update = to_genes(edges, self.dropout(torch.cat(sent, dim=1)), heard_by_genes.rsqrt(), update)
        act, rep = (to_tfs(edges, h[:, None], heard_by_tfs.rsqrt()) * (1 + out).rsqrt().flatten(1)[..., None]).chunk(
            2, dim=1
        )
        heard = self.relations["act_reverse"](act) + self.relations["rep_reverse"](rep)
        return update.index_add_(1, tfs, self.dropout(heard).to(update.dtype))


class GinConvolution(Convolution):
    r"""GIN (Xu et al. 2019): :math:`W h_i + \sum_q \mathrm{MLP}_q((1 + \epsilon_q) h_i + \sum_j w_{ij} h_j)`."""

    def __init__(self, dim: int, dropout: float = 0.0) -> None:
        super().__init__(dim, dropout)
        self.relations = nn.ModuleDict(
            {name: nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim)) for name in RELATIONS}
        )
        self.eps = nn.ParameterDict({name: nn.Parameter(torch.zeros(1)) for name in RELATIONS})

    def forward(self, h: Nodes, edges: GatedEdges) -> Float[Tensor, "graphs genes dim"]:
        """Update all nodes."""
        tfs, n_tfs = edges.network.tfs, edges.network.n_tfs
        update, heard = self.own(h), self.dropout(to_tfs(edges, h[:, None]))
        for sign, word in enumerate(("act", "rep")):
            forward, reverse = f"{word}_forward", f"{word}_reverse"
            parts = [self.dropout(h[:, tfs]), torch.zeros_like(h[:, tfs])]
            sent = torch.cat(parts if sign == 0 else parts[::-1], dim=1)
            update = update + self.relations[forward](to_genes(edges, sent, None, (1 + self.eps[forward]) * h))
            own = ((1 + self.eps[reverse]) * h).expand(edges.n_graphs, -1, -1)
            update = update + self.relations[reverse](
                own.index_add(1, tfs, heard[:, sign * n_tfs : (sign + 1) * n_tfs].to(own.dtype))
            )
        return update


CONVOLUTIONS: dict[str, type[Convolution]] = {"sage": SageConvolution, "gcn": GcnConvolution, "gin": GinConvolution}
