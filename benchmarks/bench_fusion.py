"""A training step with the network beside the same step without, at scGPT's size: 12 layers, width 512, 1,200 tokens.

Both take turns in one process on the same two cells, with a network of 200 TFs and 30,000 links, 30 % of them on. The cost
of the fusion is set against that of the twelve layers. On a GPU the step is taken in bfloat16 with ever more cells, and its
floating-point operations per second are set against those of a large matrix product.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from bench_message_passing import ACTIVE, EDGES, GENES, TFS, shared_graph
from race import rise, run, take_turns

LAYERS, DIM, HEADS, TOKENS, QUERIES = 12, 512, 8, 1200, 200
BAR = 0.25
LAPS, WARM_UP = 5, 2
CELLS = (16, 64, 128, 256)  # of a step on a GPU
USED = 0.4  # share of the rate of matrix products


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def cells() -> Any:
    """Tokens, masked genes and bits of a batch of cells."""
    from grnformer_sc.nn.batch import CellBatch

    n = 2
    rng = np.random.default_rng(0)
    genes = np.stack([rng.permutation(GENES)[:TOKENS] for _ in range(n)])
    masked = np.arange(TOKENS) >= TOKENS - QUERIES
    values = np.where(masked, 0, rng.poisson(1.5, genes.shape) + 1).astype(np.float32)
    visible = np.zeros((n, GENES), dtype=bool)
    np.put_along_axis(visible, genes[:, ~masked], values=True, axis=1)
    t = torch.from_numpy
    return CellBatch(
        genes=t(genes), values=t(values), masked=t(np.tile(masked, (n, 1))),
        padding=torch.zeros(n, TOKENS, dtype=torch.bool),
        counts=t(rng.poisson(0.8, genes.shape).astype(np.float32)), log_size=torch.zeros(n),
        group=torch.zeros(n, dtype=torch.long), bits=t(rng.random((n, 2 * TFS)) < ACTIVE), visible=t(visible),
        shown=torch.ones(n, GENES, dtype=torch.bool), edges=t(np.tile(np.arange(1, 51, dtype=np.float32), (n, 1))),
        depth=torch.full((n, 2), 3.5),
    ).to(device())  # fmt: skip


def network() -> Any:
    """An activating and a repressing eRegulon per TF, and 50 co-expressed genes for each."""
    g = torch.Generator().manual_seed(0)
    pairs = torch.unique(torch.randint(0, 2 * TFS * GENES, (EDGES,), generator=g))
    tf = torch.arange(TFS).repeat_interleave(50)
    gene = torch.randint(0, GENES, tf.shape, generator=g)
    return shared_graph(pairs // GENES, pairs % GENES, (tf, gene, torch.rand(tf.shape, generator=g)))


def nets() -> dict[str, Any]:
    from grnformer_sc.nn.adapter import GraphAdapter
    from grnformer_sc.nn.backbones import get_backbone
    from grnformer_sc.nn.fusion import GRNFormerNet, Structure
    from grnformer_sc.nn.heads import CountHead
    from grnformer_sc.nn.perturb import PerturbEdges
    from grnformer_sc.nn.structure import StructureEncoder

    torch.manual_seed(0)
    scgpt = get_backbone("scgpt")

    def net(*, layers: int, fused: bool) -> GRNFormerNet:
        config = scgpt.Config(n_genes=GENES, dim=DIM, layers=layers, heads=HEADS, keep_last=not fused, value_head=False)
        structure = None
        if fused:
            structure = Structure(
                graph=network(), encoder=StructureEncoder(DIM, DIM, layers=1), adapter=GraphAdapter(DIM, HEADS, beta=1.0),
                perturb=PerturbEdges(),
            )  # fmt: skip
        head = CountHead(DIM, torch.zeros(GENES))
        return GRNFormerNet(scgpt(config), head, structure).to(device()).train()

    return {
        "without a network": net(layers=LAYERS, fused=False),
        "half the layers": net(layers=LAYERS // 2, fused=False),
        "grnformer_sc": net(layers=LAYERS, fused=True),
    }


def step(net: Any, batch: Any) -> Callable[[], None]:
    from grnformer_sc.nn.losses import masked_loss

    rng = torch.Generator(device()).manual_seed(0)

    def call() -> None:
        net.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16, enabled=device().type == "cuda"):
            loss = masked_loss(net(batch, generator=rng, perturb=True).prediction, batch, loss="poisson")
        loss.backward()
        if device().type == "cuda":
            torch.cuda.synchronize()

    return call


def steps() -> dict[str, Callable[[], None]]:
    batch = cells()
    return {name: step(net, batch) for name, net in nets().items()}


def race() -> Callable[[], dict[str, list[float]]]:
    """Let the steps take turns; the call returns median CPU and wall seconds of each."""
    return partial(take_turns, steps(), LAPS + WARM_UP, WARM_UP)


def peak(name: str) -> Callable[[], float]:
    """The call returns how far one step rises above what was held before, in MB."""
    step = steps()[name]
    step()

    return lambda: rise(step)


@pytest.mark.skipif(torch.cuda.is_available(), reason="for the CPU")
def bench_fusion(record: Callable[..., None]) -> None:
    took: dict[str, list[float]] = run(race, repeats=1).result
    bare, fused = took["without a network"], took["grnformer_sc"]
    extra = {name: run(peak, name, repeats=1).result for name in ("without a network", "grnformer_sc")}
    what = f"training step, {LAYERS} layers, width {DIM}, {TOKENS} tokens, cpu"
    shares = []
    for place in (0, 1):
        layers = 2 * (bare[place] - took["half the layers"][place])
        shares.append((fused[place] - bare[place]) / layers)
    memory = extra["grnformer_sc"] / extra["without a network"] - 1
    record(what, "without a network", cpu_s=bare[0], wall_s=bare[1], peak_mb=extra["without a network"])
    record(
        what, "grnformer_sc", cpu_s=fused[0], wall_s=fused[1], peak_mb=extra["grnformer_sc"], extra_time=shares[0],
        extra_wall=shares[1], extra_memory=memory,
    )  # fmt: skip
    assert shares[0] <= BAR
    assert memory <= BAR


def matrix_rate() -> float:
    """Floating-point operations per second of a large product in bfloat16."""
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    return 2 * 8192**3 / seconds(lambda: a @ b)


def seconds(call: Callable[[], Any], laps: int = 10) -> float:
    """Median seconds of a call on the GPU, warm."""
    took = []
    for _ in range(3 + laps):
        torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        torch.cuda.synchronize()
        took.append(time.perf_counter() - start)
    return float(np.median(took[3:]))


def operations(net: Any, batch: Any) -> int:
    """Floating-point operations of a step: those of the products forward, twice as many backward."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.autocast("cuda", torch.bfloat16):
        net(batch, generator=torch.Generator("cuda").manual_seed(0), perturb=True)
    return 3 * counter.get_total_flops()


def repeated(batch: Any, times: int) -> Any:
    """The cells of a batch several times."""
    parts = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return type(batch)(**{name: x.repeat(times, *[1] * (x.ndim - 1)) for name, x in parts.items()})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("n_cells", CELLS)
def bench_fusion_on_a_gpu(record: Callable[..., None], n_cells: int) -> None:
    batch, rate, took = repeated(cells(), n_cells // 2), matrix_rate(), {}
    what = f"training step, {LAYERS} layers, width {DIM}, {TOKENS} tokens, {n_cells} cells, bfloat16 on a GPU"
    for name, net in nets().items():
        torch.cuda.empty_cache()
        held = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        took[name] = seconds(step(net, batch))
        peak_mb = (torch.cuda.max_memory_allocated() - held) / 2**20
        if name == "half the layers":
            continue
        figures = {"wall_s": took[name], "peak_mb": peak_mb, "tokens_per_s": batch.genes.numel() / took[name]}
        figures |= {"used": operations(net, batch) / took[name] / rate, "matrix_tflops": rate / 1e12}
        if name == "grnformer_sc":
            layers = 2 * (took["without a network"] - took["half the layers"])
            figures["extra_wall"] = (took[name] - took["without a network"]) / layers
        record(what, name, **figures)
