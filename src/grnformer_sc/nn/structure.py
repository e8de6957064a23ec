"""Structure encoder: GraphSAGE over each cell's selection of the shared network."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from .graph import GraphEdges

RELATIONS = ("act_forward", "rep_forward", "act_reverse", "rep_reverse")


class SageLayer(nn.Module):
    r"""One GraphSAGE layer (Hamilton et al. 2017) with a relation per sign and direction.

    .. math:: h_i' = h_i + \mathrm{Drop}(\mathrm{GELU}(\mathrm{LN}(W h_i + \sum_q W_q \, \mathrm{mean}_{j \in N_q(i)} h_j)))

    Targets hear their TFs (forward) and TFs hear their targets (reverse). Linear maps are applied to the few TF nodes of
    a graph, not to all of its nodes.
    """

    def __init__(self, dim: int, *, dropout: float = 0.1) -> None:
        super().__init__()
        self.own = nn.Linear(dim, dim)
        self.relations = nn.ModuleDict({name: nn.Linear(dim, dim, bias=False) for name in RELATIONS})
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, h: Float[Tensor, "graphs_or_1 nodes dim"], edges: GraphEdges, n_graphs: int
    ) -> Float[Tensor, "graphs nodes dim"]:
        """Update all nodes; `h` may come without a graph axis of its own (size 1) when it is the same for all graphs."""
        update = self.own(h).expand(n_graphs, -1, -1) + self.messages(h, edges, n_graphs)
        return h + self.dropout(functional.gelu(self.norm(update)))

    def messages(
        self, h: Float[Tensor, "graphs_or_1 nodes dim"], edges: GraphEdges, n_graphs: int
    ) -> Float[Tensor, "graphs nodes dim"]:
        """Sum over relations of the mapped mean of the neighbours."""
        n_nodes, dim = h.shape[1:]
        flat = h.reshape(-1, dim)
        out = flat.new_zeros(n_graphs * n_nodes, dim)
        shared = h.shape[0] == 1
        for sign, word in ((1, "act"), (-1, "rep")):
            own = edges.take(edges.sign == sign)
            if own.graph.numel() == 0:
                continue
            tf, gene = own.graph * n_nodes + own.tf, own.graph * n_nodes + own.gene
            source, place = torch.unique(tf, return_inverse=True)
            read = source % n_nodes if shared else source
            sent = self.relations[f"{word}_forward"](flat[read])
            share = 1 / torch.bincount(gene, minlength=n_graphs * n_nodes).to(flat.dtype)[gene]
            out = out.index_add(0, gene, sent[place] * share[:, None])
            heard = flat[own.gene if shared else gene]
            count = torch.bincount(place).to(flat.dtype)
            mean = flat.new_zeros(source.numel(), dim).index_add(0, place, heard) / count[:, None]
            out = out.index_add(0, source, self.relations[f"{word}_reverse"](mean))
        return out.view(n_graphs, n_nodes, dim)


class StructureEncoder(nn.Module):
    """Embed the genes of every graph from gene identity and network alone: no expression, so nothing can leak.

    Node features are the backbone's gene embeddings, projected and normalised, plus a learned mark of TFs.
    """

    def __init__(self, gene_dim: int, dim: int, *, layers: int = 2, dropout: float = 0.1) -> None:
        super().__init__()
        self.project = nn.Linear(gene_dim, dim)
        self.norm = nn.LayerNorm(dim)
        self.role = nn.Parameter(torch.zeros(dim))
        self.layers = nn.ModuleList([SageLayer(dim, dropout=dropout) for _ in range(layers)])

    def forward(
        self, genes: Float[Tensor, "nodes gene_dim"], is_tf: Tensor, edges: GraphEdges, n_graphs: int
    ) -> Float[Tensor, "graphs nodes dim"]:
        """Embed all nodes of all graphs."""
        h = self.norm(self.project(genes)) + is_tf[:, None] * self.role
        h = h[None]
        for layer in self.layers:
            h = layer(h, edges, n_graphs)
        return h
