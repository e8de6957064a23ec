"""Losses on masked tokens only."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from .batch import CellBatch

LossName = Literal["poisson", "mse"]


def masked_loss(prediction: Float[Tensor, "cells tokens"], batch: CellBatch, *, loss: LossName) -> Float[Tensor, ""]:
    """Mean loss of the masked tokens, the only place where their counts are read.

    `"poisson"`: half the Poisson deviance of the count given its log rate, which is the negative log likelihood up to a
    constant and does not jump with the genes that a batch happens to mask. `"mse"`: squared error of
    ``log1p(count / size factor)``.
    """
    target = batch.counts[batch.masked]
    predicted = prediction[batch.masked]
    if target.numel() == 0:
        return prediction.sum() * 0
    if loss == "poisson":
        perfect = target - torch.xlogy(target, target)
        return (predicted.clamp(max=15).exp() - target * predicted - perfect).mean()
    size = batch.log_size[:, None].expand_as(batch.counts)[batch.masked].exp()
    return torch.nn.functional.mse_loss(predicted, torch.log1p(target / size))
