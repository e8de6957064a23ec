"""Where kernels work, and the graphs of a batch in blocks: as many threads as torch uses, the same result for any number."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

KERNELS_ON = "cpu"
BLOCKS = 16  # sums over graphs are taken block by block


def has_kernels(x: Tensor) -> bool:
    """Whether the kernels can work on a tensor: they run on the CPU."""
    return x.device.type == KERNELS_ON


def on_gpu(x: Tensor) -> bool:
    """Whether kernels in Triton can work on a tensor: it comes with torch for CUDA on Linux."""
    return x.device.type == "cuda" and _has_triton()


@cache
def _has_triton() -> bool:
    return find_spec("triton") is not None


def power_of_two(n: int) -> int:
    """Smallest power of two that is not below `n`."""
    return 1 << max(n - 1, 0).bit_length()


def applied(function: type[torch.autograd.Function], *args: Any) -> Tensor:
    """Result of an autograd function (whose `apply` carries no types)."""
    out: Tensor = function.apply(*args)  # type: ignore[no-untyped-call]
    return out


def n_blocks(n_graphs: int) -> int:
    """Number of blocks."""
    return min(BLOCKS, n_graphs)


def in_blocks(work: Callable[[int, int, int], None], n_graphs: int) -> None:
    """Call `work(block, first graph, last graph + 1)` for all blocks; threads help where it releases Python's lock."""
    blocks = n_blocks(n_graphs)
    bounds = [n_graphs * block // blocks for block in range(blocks + 1)] if blocks else []

    def one(block: int) -> None:
        work(block, bounds[block], bounds[block + 1])

    threads = min(torch.get_num_threads(), blocks)
    if threads <= 1:
        for block in range(blocks):
            one(block)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, range(blocks)))
