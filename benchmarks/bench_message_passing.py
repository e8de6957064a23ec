"""The structure encoder on the networks of 64 cells, forward and backward, beside PyG: one graph per cell, or one for all.

All contenders start from node features that are the same in all cells, end at the nodes of every cell, and have the same
weights; their outputs are compared. They take turns in one process, since ratios within a run mean more than seconds.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
import torch
from race import run, take_turns

CELLS, GENES, TFS, EDGES, ACTIVE = 64, 2000, 200, 30_000, 0.3
REPEATS, WARM_UP = 9, 5
# glibc gives large tensors back to the system after each use, unless told to keep them (the second setting)
MEMORY = {
    "default memory": {},
    "heap kept": {
        "MALLOC_MMAP_THRESHOLD_": "8589934592", "MALLOC_TRIM_THRESHOLD_": "17179869184", "MALLOC_TOP_PAD_": "268435456",
    },
}  # fmt: skip
SIZES = [  # width, layers, least ratio to one graph per cell and to one prebuilt graph, by memory setting
    (64, 1, {"default memory": (8, 4), "heap kept": (5, 2)}),
    (256, 2, {"default memory": (2, 0), "heap kept": (2, 0)}),
]


def network() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """eRegulon and gene of every link (an activating and a repressing eRegulon per TF), and the bits of the cells."""
    g = torch.Generator().manual_seed(0)
    eregulon = torch.randint(0, 2 * TFS, (EDGES,), generator=g)
    gene = torch.randint(0, GENES, (EDGES,), generator=g)
    pairs = torch.unique(eregulon * GENES + gene)
    return pairs // GENES, pairs % GENES, torch.rand(CELLS, 2 * TFS, generator=g) < ACTIVE


def shared_graph(
    eregulon: torch.Tensor, gene: torch.Tensor, partners: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
) -> Any:
    """Network of one group: an activating and a repressing eRegulon per TF; co-expressed pairs as TF, gene and r."""
    from grnformer_sc.nn.graph import StructureGraph

    rows, (tf, other, r) = torch.arange(2 * TFS), partners
    return StructureGraph(
        GENES, 1, row_group=rows * 0, row_eregulon=rows, row_tf=rows // 2, row_sign=torch.where(rows % 2 == 0, 1, -1),
        indptr=torch.searchsorted(eregulon, torch.arange(2 * TFS + 1)), targets=gene,
        partner_indptr=torch.tensor([0, tf.numel()]), partner_tf=tf, partner_gene=other, partner_r=r,
    )  # fmt: skip


def ours(dim: int, layers: int, x: torch.Tensor, up: torch.Tensor) -> tuple[Callable[[], torch.Tensor], Any]:
    """Select rows by bits, embed, backward; nothing is prepared."""
    from grnformer_sc.nn.gated import GatedEdges
    from grnformer_sc.nn.structure import StructureEncoder

    eregulon, gene, bits = network()
    none = torch.zeros(0, dtype=torch.long)
    graph = shared_graph(eregulon, gene, (none, none, torch.zeros(0)))
    encoder, group = StructureEncoder(dim, dim, layers=layers, dropout=0.0), torch.zeros(CELLS, dtype=torch.long)

    def call() -> torch.Tensor:
        h = x.clone().requires_grad_()
        out = encoder(h[None], GatedEdges.of(graph, group, bits))
        out.backward(up.view_as(out))
        return out.detach().view(-1, dim)

    return call, encoder


def edge_index() -> list[list[torch.Tensor]]:
    """Edges of every relation (sign, direction) and cell."""
    eregulon, gene, bits = network()
    out = []
    for sign in (0, 1):
        for forward in (True, False):
            own = [(bits[cell, eregulon] & (eregulon % 2 == sign)).nonzero()[:, 0] for cell in range(CELLS)]
            ends = [(eregulon[e] // 2, gene[e]) if forward else (gene[e], eregulon[e] // 2) for e in own]
            out.append([torch.stack(pair) for pair in ends])
    return out


def pyg(
    dim: int, layers: int, x: torch.Tensor, up: torch.Tensor, encoder: Any
) -> tuple[Callable[[], torch.Tensor], Callable[[], torch.Tensor]]:
    """With the weights of `encoder`: batched from one graph per cell in every step, and on one graph made before."""
    from rivals.pyg_sage import PygSage
    from torch_geometric.data import Batch, Data

    net, edges = PygSage(dim, layers), edge_index()
    for i, layer in enumerate(encoder.layers):
        net.own[i].load_state_dict(layer.conv.own.state_dict())
        net.norm[i].load_state_dict(layer.norm.state_dict())
        for q, name in enumerate(("act_forward", "act_reverse", "rep_forward", "rep_reverse")):
            net.convolutions[i][q].lin_l.load_state_dict(layer.conv.relations[name].state_dict())
    whole = [torch.cat([e + cell * GENES for cell, e in enumerate(cells)], dim=1) for cells in edges]

    def per_cell() -> torch.Tensor:
        h = x.clone().requires_grad_()
        batches = [
            Batch.from_data_list([Data(x=h if q == 0 else None, edge_index=e, num_nodes=GENES) for e in cells])
            for q, cells in enumerate(edges)
        ]
        out = net([b.edge_index for b in batches], batches[0].x)
        out.backward(up)
        return out.detach()

    def disjoint() -> torch.Tensor:
        h = x.clone().requires_grad_()
        out = net(whole, h.repeat(CELLS, 1))
        out.backward(up)
        return out.detach()

    return per_cell, disjoint


def race(dim: int, layers: int) -> Callable[[], dict[str, list[float]]]:
    """Let the contenders take turns; the call returns CPU and wall seconds of each and the largest difference."""
    torch.manual_seed(0)
    x, up = torch.randn(GENES, dim), torch.randn(CELLS * GENES, dim) / GENES
    mine, encoder = ours(dim, layers, x, up)
    per_cell, disjoint = pyg(dim, layers, x, up, encoder)
    calls = {"PyG, one graph per cell": per_cell, "PyG, one prebuilt graph": disjoint, "grnformer_sc": mine}
    repeats = REPEATS if dim < 256 else 3

    def call() -> dict[str, list[float]]:
        difference = float((mine() - disjoint()).abs().max())
        took = take_turns(calls, repeats + (WARM_UP if dim < 256 else 1), repeats // 2)
        return {name: [*seconds, difference] for name, seconds in took.items()}

    return call


@pytest.mark.parametrize("memory", list(MEMORY))
@pytest.mark.parametrize(("dim", "layers", "bars"), SIZES, ids=["64x1", "256x2"])
def bench_structure_encoder(
    record: Callable[..., None], monkeypatch: pytest.MonkeyPatch, dim: int, layers: int, bars: Any, memory: str
) -> None:
    for name, value in MEMORY[memory].items():
        monkeypatch.setitem(os.environ, name, value)
    took = run(race, dim, layers, repeats=1).result
    size = f"{CELLS} cells x {GENES} genes, {EDGES} edges of which 30 % on, width {dim}, layers {layers}"
    what = f"structure encoder, {size}, {memory}"
    mine = took["grnformer_sc"]
    for name, (cpu, wall, difference) in took.items():
        ratio = {} if name == "grnformer_sc" else {"ours_times_faster": cpu / mine[0], "wall_ratio": wall / mine[1]}
        record(what, name, cpu_s=cpu, wall_s=wall, difference=difference, **ratio)
    assert mine[2] < 1e-5
    ratios = [took[name][0] / mine[0] for name in ("PyG, one graph per cell", "PyG, one prebuilt graph")]
    assert all(ratio >= bar for ratio, bar in zip(ratios, bars[memory], strict=True)), ratios
