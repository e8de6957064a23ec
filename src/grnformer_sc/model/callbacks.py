"""Small Lightning callbacks: history, progress bar, and the best weights kept in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pandas as pd
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import FSDPStrategy
from torch import nn

from .._core.settings import settings

METRICS = ("train_loss", "validation_loss", "lr")


class History(Callback):
    """One row per epoch; part of a checkpoint, so that a resumed run continues the table.

    Parameters
    ----------
    path
        File that brings the table back where the training ran in processes of its own.
    """

    def __init__(self, path: Path) -> None:
        self.rows: list[dict[str, float]] = []
        self.path = path

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the metrics of the epoch (validation runs before this hook)."""
        seen = trainer.callback_metrics
        row = {name: float(seen[name]) for name in METRICS[:2] if name in seen}
        rate = float(trainer.optimizers[0].param_groups[0]["lr"])
        self.rows.append({"epoch": float(trainer.current_epoch), **row, "lr": rate})

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the table for the process that asked for the training."""
        if trainer.is_global_zero:
            self.path.write_text(json.dumps(self.rows), encoding="utf-8")

    def state_dict(self) -> dict[str, Any]:
        """Part of a checkpoint."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.rows = list(state_dict["rows"])

    def table(self) -> pd.DataFrame:
        """Epochs as rows, metrics as columns."""
        rows = self.rows or json.loads(self.path.read_text(encoding="utf-8"))
        frame = pd.DataFrame(rows, columns=["epoch", *METRICS])
        frame = frame.dropna(axis=1, how="all")
        return frame.astype({"epoch": int}).set_index(frame.index.astype(str))


class Progress(Callback):
    """A bar over epochs that shows the losses, when `settings.progress` is on."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar."""
        from tqdm.auto import tqdm

        off = not settings.progress or not trainer.is_global_zero
        self.bar = tqdm(total=trainer.max_epochs, initial=trainer.current_epoch, desc="GRNFormer", disable=off)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the losses of the epoch."""
        seen = trainer.callback_metrics
        self.bar.set_postfix({name: f"{float(seen[name]):.4f}" for name in METRICS[:2] if name in seen})
        self.bar.update(1)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar."""
        self.bar.close()


@contextmanager
def in_one_piece(trainer: Trainer, *, write: bool = False) -> Iterator[None]:
    """Weights as one process would hold them, also where the strategy has split them (FSDP)."""
    if not isinstance(trainer.strategy, FSDPStrategy):
        yield
        return
    from torch.distributed.fsdp import FullyShardedDataParallel

    with FullyShardedDataParallel.summon_full_params(cast("nn.Module", trainer.strategy.model), writeback=write):
        yield


def weights_of(trainer: Trainer, pl_module: LightningModule) -> dict[str, torch.Tensor]:
    """Copy of all weights on the CPU."""
    with in_one_piece(trainer):
        return {name: value.detach().cpu().clone() for name, value in pl_module.state_dict().items()}


class LastWeights(Callback):
    """The weights at the end of the training, read before the strategy lets go of them; stands after `BestWeights`."""

    def __init__(self) -> None:
        self.weights: dict[str, torch.Tensor] = {}

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read them."""
        self.weights = weights_of(trainer, pl_module)


class BestWeights(Callback):
    """Keep the weights of the epoch with the lowest validation loss and put them back at the end."""

    def __init__(self) -> None:
        self.loss = float("inf")
        self.epoch = -1
        self.weights: dict[str, torch.Tensor] = {}

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember a better epoch."""
        loss = float(trainer.callback_metrics["validation_loss"])
        if trainer.sanity_checking or not loss < self.loss:
            return
        self.loss, self.epoch = loss, trainer.current_epoch
        self.weights = weights_of(trainer, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the best weights back."""
        if self.weights:
            with in_one_piece(trainer, write=True):
                pl_module.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        """Part of a checkpoint."""
        return {"loss": self.loss, "epoch": self.epoch, "weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.loss, self.epoch, self.weights = state_dict["loss"], state_dict["epoch"], state_dict["weights"]
