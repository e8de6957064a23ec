"""Memory of a training step: how much a cell takes, how many cells fit, and what to do when they do not."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import psutil  # type: ignore[import-untyped]
import torch
from jaxtyping import Int64
from torch import Tensor, nn

from .._core.checks import fail
from .._core.rng import generator, torch_generator
from .._core.settings import settings
from ..data.batch import Collator
from ..data.module import CellDataModule
from ..nn.layer import Layer
from .plan import Loss

logger = logging.getLogger(__name__)

PROBED = (2, 6)  # cells of the two batches that are tried
SHARE = 0.5  # of the free memory that kept activations may fill; gradients and products take as much again
STATES = 4  # weight, gradient and two moments
MIN_STEPS = 16  # of an epoch: larger batches would leave too few steps to learn in
LARGEST = 1024
KNOBS = "give a smaller batch_size (accumulate= keeps the size of a step), a smaller max_tokens, or recompute=True."


def kept_bytes(net: nn.Module, loss: Loss, collator: Collator, cells: Int64[np.ndarray, " cells"], root: int) -> int:
    """Bytes that a training step of these cells keeps for its gradient, weights left out."""
    device = next(net.parameters()).device
    kept = {p.untyped_storage().data_ptr(): 0 for p in [*net.parameters(), *net.buffers()]}

    def count(x: Tensor) -> Tensor:
        kept.setdefault(x.untyped_storage().data_ptr(), x.untyped_storage().nbytes())
        return x

    def count_inputs(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        for x in inputs:
            if isinstance(x, Tensor):
                count(x)

    recomputed = [part for part in net.modules() if isinstance(part, Layer) and part.recompute]
    hooks = [part.register_forward_pre_hook(count_inputs) for part in recomputed]
    batch = collator(cells, generator(root, "memory"), training=True).to(device)
    rng = torch_generator(root, "memory", device=str(device))
    with torch.random.fork_rng(), torch.autograd.graph.saved_tensors_hooks(count, lambda x: x):
        out = loss(net(batch, generator=rng, perturb=True), batch)
        total = sum(kept.values())  # the graph is alive: no address has been used twice
        del out
    for hook in hooks:
        hook.remove()
    return total


def largest_batch(
    net: nn.Module, loss: Loss, collator: Collator, train: Int64[np.ndarray, " train"], *, free: float, root: int
) -> int:
    """Largest power of two of cells whose step fits into so many free bytes, by the cells with the most counts."""
    few, many = (min(n, train.size) for n in PROBED)
    sample = generator(root, "memory").permutation(train)[: 50 * many]
    size = np.asarray(collator.cells.counts.take(sample).getnnz(axis=1))
    most = sample[np.argsort(-size, kind="stable")[:many]]
    low, high = (kept_bytes(net.train(), loss, collator, most[:n], root) for n in (few, many))
    per_cell = max(1.0, (high - low) / max(many - few, 1))
    left = free - STATES * sum(p.numel() * p.element_size() for p in net.parameters())
    fitting = int(SHARE * left / per_cell)
    if fitting < 1:
        raise fail(
            MemoryError, "a training step of one cell must fit into memory.",
            f"{per_cell / 2**20:.0f} MB of activations, {max(left, 0) / 2**20:.0f} MB free beside the weights.",
            "give a smaller max_tokens, dim or layers, or recompute=True.",
        )  # fmt: skip
    useful = max(1, train.size // MIN_STEPS)
    chosen = 2 ** int(np.log2(min(fitting, useful, LARGEST)))
    logger.info(
        "batch_size='auto': %d cells (%.1f MB each, %.1f GB free; %d would fit)",
        chosen, per_cell / 2**20, free / 2**30, fitting,
    )  # fmt: skip
    return chosen


def free_bytes(device: torch.device) -> float:
    """Memory that is free on the device, at most `settings.max_memory`."""
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    return min(float(free), settings.max_bytes)


@contextmanager
def out_of_memory(data: CellDataModule) -> Iterator[None]:
    """Turn a device that runs out of memory into an error that names what helps."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        known = isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)
        if not known:
            raise
        n_tokens = data.collator.spec.max_tokens + data.collator.spec.max_queries
        raise fail(
            MemoryError, "a training step must fit into memory.",
            f"{data.train.batch_size} cells of up to {n_tokens} tokens do not ({str(error).splitlines()[0]}).", KNOBS,
        ) from error  # fmt: skip
