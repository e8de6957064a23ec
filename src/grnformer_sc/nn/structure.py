"""Structure encoder: graph convolutions over each cell's selection of the shared network."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from .convolutions import CONVOLUTIONS, Nodes
from .gated import GatedEdges
from .layer import Layer
from .residual import normed_residual

Scale = Literal["cell", "type"]


class StructureLayer(Layer):
    r"""One layer, :math:`h_i' = h_i + \mathrm{ReLU}(\mathrm{LN}(\mathrm{conv}(h)_i))`."""

    def __init__(self, dim: int, *, conv: str = "sage", dropout: float = 0.1) -> None:
        super().__init__()
        self.conv = CONVOLUTIONS[conv](dim, dropout)
        self.norm = nn.LayerNorm(dim)

    def forward(self, h: Nodes, edges: GatedEdges) -> Float[Tensor, "graphs genes dim"]:
        """Update all nodes; `h` may come once for all graphs."""
        return normed_residual(self.conv(h, edges), h, self.norm)


class StructureEncoder(nn.Module):
    """Embed the genes of every graph.

    Node features are the backbone's gene embeddings, projected and normalised, plus a learned mark of TFs: no expression, so
    nothing can leak, and the networks of types need be embedded once. With `read_expression` the nodes of a cell also carry
    what the backbone made of the cell's unmasked genes (no gradient flows back into it).

    Parameters
    ----------
    gene_dim, dim
        Width of gene embeddings and of nodes.
    layers, conv, dropout
        Number and kind of the layers (a name of `CONVOLUTIONS`).
    tie_scales
        Embed the networks of types by the same layers as those of cells.
    read_expression
        Let the nodes of a cell read its expression embeddings.
    """

    def __init__(
        self,
        gene_dim: int,
        dim: int,
        *,
        layers: int = 2,
        conv: str = "sage",
        dropout: float = 0.1,
        tie_scales: bool = True,
        read_expression: bool = False,
    ) -> None:
        super().__init__()
        self.project = nn.Linear(gene_dim, dim)
        self.norm = nn.LayerNorm(dim)
        self.role = nn.Parameter(torch.zeros(dim))
        stacks = [
            [StructureLayer(dim, conv=conv, dropout=dropout) for _ in range(layers)] for _ in range(2 - tie_scales)
        ]
        self.layers = nn.ModuleList(stacks[0])
        self.type_layers = None if tie_scales else nn.ModuleList(stacks[1])
        self.read = nn.Sequential(nn.LayerNorm(gene_dim), nn.Linear(gene_dim, dim)) if read_expression else None

    def features(
        self, genes: Float[Tensor, "genes gene_dim"], is_tf: Bool[Tensor, " genes"]
    ) -> Float[Tensor, "1 genes dim"]:
        """Features of the nodes that are the same in all graphs."""
        return (self.norm(self.project(genes)) + is_tf[:, None] * self.role)[None]

    def with_expression(
        self,
        features: Float[Tensor, "1 genes dim"],
        expression: Float[Tensor, "cells tokens gene_dim"],
        genes: Tensor,
        shown: Bool[Tensor, "cells tokens"],
    ) -> Float[Tensor, "cells genes dim"]:
        """Add to the nodes of each cell what its tokens say where they are `shown` (visible, neither masked nor padding)."""
        if self.read is None:
            msg = "this encoder reads no expression; build it with read_expression=True."
            raise ValueError(msg)
        n_cells, n_genes = genes.shape[0], features.shape[1]
        cell, token = shown.nonzero(as_tuple=True)
        said = self.read(expression.detach()[cell, token]).to(features.dtype)
        h = features.expand(n_cells, -1, -1).reshape(n_cells * n_genes, -1)
        return h.index_add(0, cell * n_genes + genes[cell, token], said).view(n_cells, n_genes, -1)

    def forward(self, h: Nodes, edges: GatedEdges, *, scale: Scale = "cell") -> Float[Tensor, "graphs genes dim"]:
        """Embed all nodes of all graphs from their features."""
        layers = self.layers if scale == "cell" or self.type_layers is None else self.type_layers
        for layer in layers:
            h = layer(h, edges)
        return h
