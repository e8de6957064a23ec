"""The structure encoder's layers by PyG: one graph per cell and relation, as PyG users do."""

from __future__ import annotations

import torch
from torch_geometric.nn import SAGEConv


class PygSage(torch.nn.Module):
    """Layers of four convolutions (sign and direction) on the disjoint union of the graphs of all cells."""

    def __init__(self, dim: int, layers: int) -> None:
        super().__init__()
        self.own = torch.nn.ModuleList([torch.nn.Linear(dim, dim) for _ in range(layers)])
        self.convolutions = torch.nn.ModuleList(
            [
                torch.nn.ModuleList([SAGEConv(dim, dim, aggr="mean", root_weight=False, bias=False) for _ in range(4)])
                for _ in range(layers)
            ]
        )
        self.norm = torch.nn.ModuleList([torch.nn.LayerNorm(dim) for _ in range(layers)])

    def forward(self, edges: list[torch.Tensor], h: torch.Tensor) -> torch.Tensor:
        """`edges` has one edge_index per relation; `h` holds the nodes of all cells, one below the other."""
        for own, convolutions, norm in zip(self.own, self.convolutions, self.norm, strict=True):
            update = own(h)
            for convolution, index in zip(convolutions, edges, strict=True):
                update = update + convolution(h, index)
            h = h + torch.relu(norm(update))
        return h
