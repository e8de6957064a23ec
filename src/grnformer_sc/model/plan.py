"""How the network is trained: loss, optimiser and schedule as a LightningModule."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from .._core.checks import fail
from .._core.rng import seed_for, torch_generator
from ..data.module import Sealed
from ..nn.batch import CellBatch
from ..nn.layer import recompute_layers
from .train_config import TrainConfig

Loss = Callable[[Any, CellBatch], Tensor]


class TrainingPlan(LightningModule):
    """AdamW with warm-up; every random choice of a batch is named after the batch, so a resumed run is the same run.

    Parameters
    ----------
    net
        Network: batch in, output with named tensors out.
    loss
        Loss of an output given its batch.
    config
        Training settings.
    root
        Root of all random choices.
    """

    def __init__(self, net: nn.Module, loss: Loss, config: TrainConfig, *, root: int) -> None:
        super().__init__()
        self.net, self.loss, self.config, self.root = net, loss, config, root
        recompute_layers(net, on=config.recompute)

    def on_train_batch_start(self, batch: Sealed, batch_idx: int) -> None:
        """Dropout reads torch's own generator, which `run` has forked."""
        torch.manual_seed(seed_for(self.root, "dropout", *self._place(batch_idx)) % 2**63)

    def training_step(self, sealed: Sealed, batch_idx: int) -> Tensor:
        """Loss of a batch with replaced edges."""
        batch = sealed.batch
        rng = torch_generator(self.root, "edges", *self._place(batch_idx), device=str(self.device))
        loss = self.loss(self.net(batch, generator=rng, perturb=True), batch)
        if not torch.isfinite(loss):
            raise self._not_finite("the loss", batch_idx)
        size = batch.genes.shape[0]
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=size, sync_dist=True)
        return loss

    def validation_step(self, sealed: Sealed, batch_idx: int) -> None:
        """Loss of a batch with the network as it is."""
        batch = sealed.batch
        loss = self.loss(self.net(batch, perturb=False), batch)
        self.log("validation_loss", loss, on_step=False, on_epoch=True, batch_size=batch.genes.shape[0], sync_dist=True)

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip the norm of the gradient; one that is not finite stops the training before it reaches the weights."""
        limit = gradient_clip_val or math.inf
        whole = getattr(self.trainer.strategy.model, "clip_grad_norm_", None)  # of a model in shards
        weights = [p for group in optimizer.param_groups for p in group["params"]]
        norm = whole(limit) if whole is not None else nn.utils.clip_grad_norm_(weights, limit)
        scaled = self.config.precision == "16"  # then such a step is left out, and the scale of the loss is lowered
        if not scaled and not torch.isfinite(norm):
            raise self._not_finite("the gradient", self.trainer.fit_loop.batch_idx)

    def configure_optimizers(self) -> Any:
        """Weight decay for matrices only, not for biases, norms and gates."""
        weights = [p for p in self.net.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in weights if p.ndim >= 2], "weight_decay": self.config.weight_decay},
            {"params": [p for p in weights if p.ndim < 2], "weight_decay": 0.0},
        ]
        optimiser = torch.optim.AdamW(groups, lr=self.config.lr)
        n_steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: self.config.factor(step, n_steps))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _place(self, batch_idx: int) -> tuple[int, int, int]:
        return self.current_epoch, batch_idx, self.global_rank

    def _not_finite(self, what: str, batch_idx: int) -> Exception:
        where = self.trainer.datamodule.describe(self.current_epoch, batch_idx)
        return fail(
            FloatingPointError, f"{what} must be a finite number.", f"none in {where}.",
            f"give a smaller lr (now {self.config.lr:g}) or precision='32', and look at the counts of these cells; "
            "the last checkpoint of checkpoint_dir can be resumed from.",
        )  # fmt: skip
