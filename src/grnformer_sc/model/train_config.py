"""Frozen settings of a training run, checked at birth and written to JSON as they are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from .._core.checks import fail, need_between, need_one_of
from .json_settings import JsonSettings, need_at_least

AUTO = "auto"
PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}  # by Lightning's names


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig(JsonSettings):
    """How the model is trained.

    Attributes
    ----------
    max_epochs
        Passes over the training cells; None takes as many as give about 400 steps, between 5 and 100.
    batch_size
        Cells that pass the network at once; `"auto"` takes as many as memory holds (and an epoch of 16 steps allows).
    accumulate
        Batches whose gradients make one step.
    train_size
        Share of the cells that is trained on; the rest is the validation set.
    balance
        How far groups are evened out: 0 takes every cell once per epoch, 1 draws cells of all groups equally often; a cell
        is drawn with weight (size of its group) ** -balance, with replacement.
    lr, weight_decay
        AdamW.
    schedule, warmup
        Learning rate after a linear warm-up over this share of the steps.
    grad_clip
        Largest norm of the gradient.
    early_stopping, patience
        Stop when the validation loss has not improved for this many epochs; the best weights are kept.
    precision
        `"32"`; `"bf16"` or, on a GPU, `"16"` for products in 16 bits with weights in 32.
    recompute
        Keep only the input of every layer and compute the rest anew for the gradient: less memory for about a third more
        time, the same weights.
    strategy
        How several processes share the work, passed to Lightning: `"auto"`, `"ddp"` (tested with two processes), `"fsdp"`
        (not tested on several GPUs), ...
    """

    max_epochs: int | None = None
    batch_size: int | Literal["auto"] = 64
    accumulate: int = 1
    train_size: float = 0.9
    balance: float = 0.0
    lr: float = 3e-3
    weight_decay: float = 0.01
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: float = 0.05
    grad_clip: float = 1.0
    early_stopping: bool = True
    patience: int = 5
    precision: Literal["32", "bf16", "16"] = "32"
    recompute: bool = False
    strategy: str = "auto"

    def __post_init__(self) -> None:
        need_one_of(self.schedule, ("cosine", "constant"), name="schedule")
        need_one_of(self.precision, tuple(PRECISIONS), name="precision")
        for name in ("train_size", "warmup", "balance"):
            need_between(getattr(self, name), 0, 1, name=name)
        need_at_least(self, 1, "patience", "accumulate")
        if self.max_epochs is not None:
            need_at_least(self, 1, "max_epochs")
        if isinstance(self.batch_size, str):
            need_one_of(self.batch_size, (AUTO,), name="batch_size (where it is no number)")
        else:
            need_at_least(self, 1, "batch_size")
        if self.train_size == 0 or self.lr <= 0:
            raise fail(
                ValueError, "train_size and lr must be above 0.", f"{self.train_size}, {self.lr}.",
                "give train_size=0.9, lr=1e-3.",
            )  # fmt: skip

    def epochs(self, n_train: int) -> int:
        """Number of epochs for so many training cells (`batch_size` must be a number)."""
        if self.max_epochs is not None:
            return self.max_epochs
        steps = math.ceil(n_train / (int(self.batch_size) * self.accumulate))
        return min(100, max(5, round(400 / steps)))

    def factor(self, step: int, n_steps: int) -> float:
        """Learning rate of a step of a run of so many steps, over the largest one."""
        warmup = max(1, round(self.warmup * n_steps))
        if step < warmup:
            return (step + 1) / warmup
        if self.schedule == "constant":
            return 1.0
        done = min(1.0, (step - warmup) / max(1, n_steps - warmup))
        return 0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2
