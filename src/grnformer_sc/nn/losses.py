"""Losses on masked tokens only."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from .._core.checks import fail
from .batch import CellBatch
from .rows import rows_of

LossName = Literal["poisson", "nb", "mse"]


def masked_loss(
    prediction: Float[Tensor, "cells tokens"],
    batch: CellBatch,
    *,
    loss: LossName,
    target: Float[Tensor, "cells tokens"] | None = None,
    log_inverse: Float[Tensor, " genes"] | None = None,
) -> Float[Tensor, ""]:
    """Mean loss of the masked tokens, the only place where their counts are read.

    `"poisson"`: half the Poisson deviance of the count given its log rate, which is the negative log likelihood up to a
    constant and does not jump with the genes that a batch happens to mask. `"nb"`: negative log likelihood of the negative
    binomial with that rate and the inverse dispersion of each gene (its log in `log_inverse`). `"mse"`: squared error of the
    values on the backbone's own scale (`target`).
    """
    if not batch.masked.any():
        return prediction.sum() * 0
    predicted, count = prediction[batch.masked], batch.counts[batch.masked]
    if loss == "mse":
        return functional.mse_loss(predicted, _given(target, "target")[batch.masked])
    predicted = predicted.clamp(max=15)
    if loss == "nb":
        return negative_binomial(
            count, predicted, rows_of(_given(log_inverse, "log_inverse"), batch.genes[batch.masked])
        )
    perfect = count - torch.xlogy(count, count)
    return (predicted.exp() - count * predicted - perfect).mean()


def negative_binomial(
    count: Float[Tensor, " masked"], log_rate: Float[Tensor, " masked"], log_inverse: Float[Tensor, " masked"]
) -> Float[Tensor, ""]:
    r"""Mean negative log likelihood, variance :math:`\mu + \mu^2 / r` with r the inverse dispersion."""
    r = log_inverse.exp()
    log_total = torch.logaddexp(log_rate, log_inverse)
    coefficient = torch.lgamma(count + r) - torch.lgamma(r) - torch.lgamma(count + 1)
    return -(coefficient + r * (log_inverse - log_total) + count * (log_rate - log_total)).mean()


def _given(values: Tensor | None, name: str) -> Tensor:
    if values is None:
        raise fail(TypeError, "this loss needs its reference values.", f"{name}=None.", f"pass {name}=.")
    return values
