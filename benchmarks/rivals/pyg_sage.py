"""The structure encoder's layer by PyG: one graph per cell and relation, batched as PyG users do."""

from __future__ import annotations

import torch
from torch_geometric.data import Batch, Data
from torch_geometric.nn import SAGEConv


class PygSage(torch.nn.Module):
    """Four convolutions (sign and direction) on the disjoint union of the graphs of all cells."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.own = torch.nn.Linear(dim, dim)
        self.convolutions = torch.nn.ModuleList(
            [SAGEConv(dim, dim, aggr="mean", root_weight=False, bias=False) for _ in range(4)]
        )
        self.norm = torch.nn.LayerNorm(dim)

    def forward(self, graphs: list[list[Data]], h: torch.Tensor) -> torch.Tensor:
        """`graphs` has, per relation, one graph for every cell; `h` is cells x genes x dim."""
        flat = h.reshape(-1, h.shape[-1])
        update = self.own(flat)
        for convolution, cells in zip(self.convolutions, graphs, strict=True):
            update = update + convolution(flat, Batch.from_data_list(cells).edge_index)
        return (flat + torch.nn.functional.gelu(self.norm(update))).view_as(h)
