"""One call that runs Lightning: devices, callbacks, checkpoints, and errors that a user can act on."""

from __future__ import annotations

import copy
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint

from .._core.checks import fail
from ..data.batch import Collator
from ..data.module import CellDataModule
from .callbacks import BestWeights, History, LastWeights, Progress
from .memory import free_bytes, largest_batch, out_of_memory
from .plan import TrainingPlan
from .resume import LAST, folder_of, need_same_recipe, read_recipe, recipe_of, write_recipe
from .train_config import AUTO, PRECISIONS, TrainConfig


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

    def __post_init__(self) -> None:
        there = {"gpu": _has_gpu(), "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        if not there.get(self.accelerator, True):
            raise fail(
                ValueError, f"accelerator={self.accelerator!r} needs such a device.", "none that torch can use.",
                "give accelerator='auto' or 'cpu', or install a torch for the device.",
            )  # fmt: skip

    def device(self) -> torch.device:
        """Kind of device that the processes of this run work on."""
        if self.accelerator == "cpu" or not _has_gpu():
            return torch.device("cpu")
        return torch.device("cuda" if self.accelerator != "mps" and torch.cuda.is_available() else "mps")


def _has_gpu() -> bool:
    return torch.cuda.is_available() or torch.backends.mps.is_available()


def train_network(
    plan: TrainingPlan, collator: Collator, split: tuple[np.ndarray, np.ndarray], *, where: Run, model: dict[str, Any]
) -> pd.DataFrame:
    """Train on the first part of the split and validate on the second; returns the history.

    The plan ends with its best weights and with the batch size that was chosen. `model` holds the settings of the network,
    kept beside the checkpoints.
    """
    train, validation = split
    plan.config = _with_batch_size(plan, collator, train, where)
    cells = collator.cells
    recipe = recipe_of(plan.root, model, plan.config.to_dict(), cells.cells, cells.genes)
    if where.resume_from is not None:
        need_same_recipe(read_recipe(where.resume_from), recipe)
    folder = where.checkpoint_dir or (where.resume_from and folder_of(where.resume_from))
    if folder is not None:
        where = replace(where, checkpoint_dir=write_recipe(folder, recipe))
    data = CellDataModule(
        collator,
        train,
        validation,
        batch_size=int(plan.config.batch_size),
        balance=plan.config.balance,
        root=plan.root,
        ahead=where.device().type != "cpu",
    )
    return run(plan, data, max_epochs=plan.config.epochs(train.size), where=where)


def _with_batch_size(plan: TrainingPlan, collator: Collator, train: np.ndarray, where: Run) -> TrainConfig:
    """Settings with a number of cells per batch, measured where it is left to us, or that of the run that goes on."""
    config = plan.config
    if config.batch_size != AUTO:
        return config
    if where.resume_from is not None:
        return replace(config, batch_size=read_recipe(where.resume_from)["train"]["batch_size"])
    device = where.device()
    net = plan.net.to(device)
    free = free_bytes(device)
    return replace(config, batch_size=largest_batch(net, plan.loss, collator, train, free=free, root=plan.root))


def run(plan: TrainingPlan, data: CellDataModule, *, max_epochs: int, where: Run) -> pd.DataFrame:
    """Run Lightning; returns the history."""
    config, validated = plan.config, bool(data.validation.index.size)
    _need_gpu(config, where)
    with tempfile.TemporaryDirectory() as scratch, quiet(), torch.random.fork_rng():
        history = History(Path(scratch, "history.json"))
        callbacks: list[Callback] = [history, Progress()]
        if validated:
            callbacks.append(BestWeights())
            if config.early_stopping:
                callbacks.append(EarlyStopping("validation_loss", patience=config.patience))
        last, bare = LastWeights(), copy.deepcopy(plan.net) if "fsdp" in config.strategy else None
        if bare is not None:  # FSDP leaves its parts of the weights in the network it was given
            callbacks.append(last)
        if where.checkpoint_dir is not None:
            callbacks.append(_checkpoints(where.checkpoint_dir, monitored=validated))
        trainer = Trainer(
            max_epochs=max_epochs,
            accelerator=where.accelerator,
            devices=where.devices,
            precision=PRECISIONS[config.precision],
            strategy=config.strategy,
            accumulate_grad_batches=config.accumulate,
            gradient_clip_val=config.grad_clip,
            callbacks=callbacks,
            default_root_dir=scratch,
            logger=False,
            enable_checkpointing=where.checkpoint_dir is not None,
            enable_model_summary=False,
            enable_progress_bar=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            limit_val_batches=1.0 if validated else 0,
            use_distributed_sampler=False,
        )
        with out_of_memory(data):
            trainer.fit(plan, datamodule=data, ckpt_path=_last_of(where.resume_from), weights_only=True)
        if bare is not None:
            bare.load_state_dict({name.removeprefix("net."): value for name, value in last.weights.items()})
            plan.net = bare
        return history.table()


def _need_gpu(config: TrainConfig, where: Run) -> None:
    if config.precision == "16" and where.device().type == "cpu":
        raise fail(ValueError, "precision='16' needs a GPU.", "a CPU.", "give precision='bf16' or '32'.")


def _checkpoints(folder: Path, *, monitored: bool) -> ModelCheckpoint:
    monitor = "validation_loss" if monitored else None
    return ModelCheckpoint(folder, filename="best", monitor=monitor, save_last=True, enable_version_counter=False)


def _last_of(path: Path | None) -> str | None:
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
