"""The adapter's attention beside torch's own that returns weights: 1,200 tokens on 1,200 keys, forward and backward.

Both have the same projections and no mask, as where every gene is a key; the keys of the adapter end with its sink. They
take turns in one process.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from bench_message_passing import MEMORY
from race import rise, run, take_turns

CELLS, TOKENS, HEADS, DIM, TFS = 8, 1200, 8, 256, 200
BARS = {"default memory": 2.0, "heap kept": 1.3}
TF_BAR = 4.0


def contenders() -> dict[str, Callable[[], None]]:
    from grnformer_sc.nn.adapter import GraphAdapter

    torch.manual_seed(0)
    adapter = GraphAdapter(DIM, HEADS, beta=1.0, dropout=0.0)
    theirs = torch.nn.MultiheadAttention(DIM, HEADS, batch_first=True)
    h, keys, up = (torch.randn(CELLS, TOKENS, DIM) for _ in range(3))

    def mine(n_keys: int) -> None:
        q, k = h.clone().requires_grad_(), keys[:, :n_keys].clone().requires_grad_()
        adapter(q, k, None).backward(up)

    def torch_weights() -> None:
        q, k = h.clone().requires_grad_(), keys.clone().requires_grad_()
        theirs(q, k, k, need_weights=True)[0].backward(up)

    return {
        "nn.MultiheadAttention with weights": torch_weights,
        "grnformer_sc, all genes": lambda: mine(TOKENS),
        "grnformer_sc, TFs as keys": lambda: mine(TFS),
    }


def race() -> Callable[[], dict[str, list[float]]]:
    """Let the contenders take turns after a warm-up; the call returns median CPU and wall seconds."""
    return partial(take_turns, contenders(), 10, 3)


def peak(name: str) -> Callable[[], float]:
    """The call returns how far one step rises above what was held before, in MB."""
    step = contenders()[name]
    step()
    return partial(rise, step)


@pytest.mark.parametrize("memory", list(MEMORY))
def bench_adapter(record: Callable[..., None], monkeypatch: pytest.MonkeyPatch, memory: str) -> None:
    for name, value in MEMORY[memory].items():
        monkeypatch.setitem(os.environ, name, value)
    took: dict[str, Any] = run(race, repeats=1).result
    what = f"cross-attention, {CELLS} cells x {TOKENS} tokens, {HEADS} heads, width {DIM}, {memory}"
    theirs = took["nn.MultiheadAttention with weights"]
    extra = {name: run(peak, name, repeats=1).result for name in took} if memory == "default memory" else {}
    for name, (cpu, wall) in took.items():
        ratio = {} if wall is theirs[1] else {"times_faster": theirs[0] / cpu, "wall_ratio": theirs[1] / wall}
        record(what, name, cpu_s=cpu, wall_s=wall, **ratio, **({"peak_mb": extra[name]} if extra else {}))
    assert theirs[0] / took["grnformer_sc, all genes"][0] >= BARS[memory]
    assert theirs[0] / took["grnformer_sc, TFs as keys"][0] >= TF_BAR
    if extra:
        assert extra["grnformer_sc, all genes"] <= extra["nn.MultiheadAttention with weights"] / 2
