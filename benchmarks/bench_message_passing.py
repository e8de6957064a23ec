"""One structure layer on the networks of 64 cells, forward and backward, beside PyG on one graph per cell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from race import run

CELLS, GENES, TFS, EDGES, DIM, ACTIVE = 64, 2000, 200, 30_000, 64, 0.3


def network() -> tuple[torch.Tensor, ...]:
    """Edges of all eRegulons (two per TF) and the bits of the cells."""
    g = torch.Generator().manual_seed(0)
    eregulon = torch.randint(0, 2 * TFS, (EDGES,), generator=g)
    gene = torch.randint(0, GENES, (EDGES,), generator=g)
    pairs = torch.unique(eregulon * GENES + gene)
    bits = torch.rand(CELLS, 2 * TFS, generator=g) < ACTIVE
    return pairs // GENES, pairs % GENES, bits


def batch() -> Any:
    """The edges of every cell."""
    from grnformer_sc.nn.graph import GraphEdges

    eregulon, gene, bits = network()
    cell, edge = bits[:, eregulon].nonzero(as_tuple=True)
    sign = torch.where(eregulon[edge] % 2 == 0, 1, -1)
    return GraphEdges(cell, eregulon[edge] // 2, gene[edge], sign)


def ours() -> Callable[[], float]:
    from grnformer_sc.nn.structure import SageLayer

    edges, layer = batch(), SageLayer(DIM, dropout=0.0)
    h = torch.randn(CELLS, GENES, DIM, generator=torch.Generator().manual_seed(1), requires_grad=True)

    def call() -> float:
        out = layer(h, edges, CELLS).square().mean()
        out.backward()
        return float(out.detach())

    for _ in range(5):
        call()
    return call


def pyg() -> Callable[[], float]:
    from rivals.pyg_sage import PygSage
    from torch_geometric.data import Data

    edges, layer = batch(), PygSage(DIM)
    h = torch.randn(CELLS, GENES, DIM, generator=torch.Generator().manual_seed(1), requires_grad=True)
    graphs = []
    for sign in (1, -1):
        for forward in (True, False):
            cells = [edges.take((edges.graph == c) & (edges.sign == sign)) for c in range(CELLS)]
            ends = [(e.tf, e.gene) if forward else (e.gene, e.tf) for e in cells]
            graphs.append([Data(edge_index=torch.stack(pair), num_nodes=GENES) for pair in ends])

    def call() -> float:
        out = layer(graphs, h).square().mean()
        out.backward()
        return float(out.detach())

    for _ in range(5):
        call()
    return call


def bench_structure_layer(record: Callable[..., None]) -> None:
    what = f"GraphSAGE layer, {CELLS} cells x {GENES} genes, {EDGES} edges of which 30 % on, width {DIM}"
    theirs, lap = run(pyg, repeats=9), run(ours, repeats=9)
    record(what, "PyG, one graph per cell", **theirs.row())
    record(what, "grnformer_sc", **lap.row(), times_faster=theirs.wall_s / lap.wall_s)
