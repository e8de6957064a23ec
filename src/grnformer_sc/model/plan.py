"""How the network is trained: loss, optimiser and schedule as a LightningModule, and one call that runs Lightning."""

from __future__ import annotations

import json
import logging
import math
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch import Tensor, nn

from .._core.checks import fail
from .._core.rng import seed_for, torch_generator
from ..data.module import CellDataModule
from ..nn.batch import CellBatch
from .callbacks import BestWeights, History, Progress
from .config import TrainConfig

Loss = Callable[[Any, CellBatch], Tensor]
LAST, ROOT = "last.ckpt", "run.json"


class TrainingPlan(LightningModule):
    """AdamW with warm-up; every random choice of a step is named after the step, so a resumed run is the same run.

    Parameters
    ----------
    net
        Network: batch in, output with named tensors out.
    loss
        Loss of an output given its batch.
    config
        Training settings.
    n_steps
        Optimiser steps of the whole run.
    root
        Root of all random choices.
    """

    def __init__(self, net: nn.Module, loss: Loss, config: TrainConfig, *, n_steps: int, root: int) -> None:
        super().__init__()
        self.net, self.loss, self.config, self.n_steps, self.root = net, loss, config, n_steps, root

    def on_train_batch_start(self, batch: CellBatch, batch_idx: int) -> None:
        """Dropout reads torch's own generator, which `run` has forked."""
        torch.manual_seed(seed_for(self.root, "dropout", self.global_step, self.global_rank) % 2**63)

    def training_step(self, batch: CellBatch, batch_idx: int) -> Tensor:
        """Loss of a batch with replaced edges."""
        rng = torch_generator(self.root, "edges", self.global_step, device=str(self.device))
        loss = self.loss(self.net(batch, generator=rng, perturb=True), batch)
        size = batch.genes.shape[0]
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=size, sync_dist=True)
        return loss

    def validation_step(self, batch: CellBatch, batch_idx: int) -> None:
        """Loss of a batch with the network as it is."""
        loss = self.loss(self.net(batch, perturb=False), batch)
        self.log("validation_loss", loss, on_step=False, on_epoch=True, batch_size=batch.genes.shape[0], sync_dist=True)

    def configure_optimizers(self) -> Any:
        """Weight decay for matrices only, not for biases, norms and gates."""
        weights = [p for p in self.net.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in weights if p.ndim >= 2], "weight_decay": self.config.weight_decay},
            {"params": [p for p in weights if p.ndim < 2], "weight_decay": 0.0},
        ]
        optimiser = torch.optim.AdamW(groups, lr=self.config.lr)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, self._factor)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _factor(self, step: int) -> float:
        warmup = max(1, round(self.config.warmup * self.n_steps))
        if step < warmup:
            return (step + 1) / warmup
        if self.config.schedule == "constant":
            return 1.0
        done = min(1.0, (step - warmup) / max(1, self.n_steps - warmup))
        return 0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Where and how a training runs.

    Attributes
    ----------
    accelerator, devices
        Passed to Lightning.
    checkpoint_dir
        Folder for `last.ckpt` and the best checkpoint; None writes nothing.
    resume_from
        Checkpoint file, or the folder that holds `last.ckpt`.
    """

    accelerator: str = "auto"
    devices: Any = "auto"
    checkpoint_dir: Path | None = None
    resume_from: Path | None = None


def run(plan: TrainingPlan, data: CellDataModule, *, max_epochs: int, where: Run) -> pd.DataFrame:
    """Train; the plan ends with its best weights. Returns the history."""
    config, history, best = plan.config, History(), BestWeights()
    callbacks: list[Callback] = [history, Progress()]
    if data.validation.size:
        callbacks.append(best)
        if config.early_stopping:
            callbacks.append(EarlyStopping("validation_loss", patience=config.patience))
    if where.checkpoint_dir is not None:
        callbacks.append(_checkpoints(where.checkpoint_dir, monitored=bool(data.validation.size)))
    with tempfile.TemporaryDirectory() as scratch, quiet(), torch.random.fork_rng():
        trainer = Trainer(
            max_epochs=max_epochs,
            accelerator=where.accelerator,
            devices=where.devices,
            precision=config.precision,
            strategy=config.strategy,
            gradient_clip_val=config.grad_clip,
            callbacks=callbacks,
            default_root_dir=scratch,
            logger=False,
            enable_checkpointing=where.checkpoint_dir is not None,
            enable_model_summary=False,
            enable_progress_bar=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            limit_val_batches=1.0 if data.validation.size else 0,
            use_distributed_sampler=False,
        )
        trainer.fit(plan, datamodule=data, ckpt_path=_resume(where.resume_from), weights_only=True)
    best.restore(plan)
    return history.table()


def _checkpoints(folder: Path, *, monitored: bool) -> ModelCheckpoint:
    monitor = "validation_loss" if monitored else None
    return ModelCheckpoint(folder, filename="best", monitor=monitor, save_last=True, enable_version_counter=False)


def _resume(path: Path | None) -> str | None:
    if path is None:
        return None
    return str(path / LAST if path.is_dir() else path)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's banners and advice from the user for the time of one call."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # batches are built by array code in a few milliseconds: worker processes would only copy them
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            # a resumed or repeated run writes to the folder that it was given
            warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
            # Lightning's own use of a torch class
            warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated", category=FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def write_root(folder: Path, root: int) -> Path:
    """Keep the root of all random choices beside the checkpoints, for a run that resumes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ROOT).write_text(json.dumps({"root": str(root)}), encoding="utf-8")
    return folder


def read_root(path: Path) -> int:
    """Root of the run whose folder (or checkpoint file) is given."""
    folder = path if path.is_dir() else path.parent
    if not (folder / ROOT).is_file() or (path.is_dir() and not (path / LAST).is_file()):
        raise fail(
            FileNotFoundError, f"resume_from needs {ROOT} and {LAST} of a cut-off run.", f"none in {folder}.",
            "name the checkpoint_dir of that run.",
        )  # fmt: skip
    return int(json.loads((folder / ROOT).read_text(encoding="utf-8"))["root"])
