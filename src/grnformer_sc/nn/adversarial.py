"""Domain-adversarial transfer from lines to cells: features that predict the label and do not give the domain away.

Many networks (folds, seeds, weights of the reversal) are trained side by side, as one batch of matrix products.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

LEAKY = 0.01  # slope of the predictor below zero
STEEPNESS = 10.0  # of the warm-up of the reversal (Ganin et al. 2016)


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        (weight,) = ctx.saved_tensors
        return -weight * gradients[0], None


def reverse_gradient(x: Float[Tensor, "*shape"], weight: Float[Tensor, "..."]) -> Float[Tensor, "*shape"]:
    """Leave the values as they are and multiply their gradient by `-weight`, which broadcasts (Ganin et al. 2016)."""
    out: Tensor = _Reversal.apply(x, weight)  # type: ignore[no-untyped-call]
    return out


class Stacked(nn.Module):
    """Linear maps of many networks side by side; first weights after He et al."""

    def __init__(self, models: int, width: int, out: int, generator: torch.Generator) -> None:
        super().__init__()
        drawn = torch.randn(models, width, out, generator=generator, device=generator.device)
        self.weight = nn.Parameter(drawn * math.sqrt(2 / width))
        self.bias = nn.Parameter(drawn.new_zeros(models, 1, out))

    def forward(self, x: Float[Tensor, "models rows width"]) -> Float[Tensor, "models rows out"]:
        """One map for each network."""
        return torch.baddbmm(self.bias, x, self.weight)


class Dropout(nn.Module):
    """Dropout whose masks come from a generator of its own."""

    def __init__(self, rate: float, generator: torch.Generator) -> None:
        super().__init__()
        self.rate, self.generator = rate, generator

    def forward(self, x: Float[Tensor, "models rows width"]) -> Float[Tensor, "models rows width"]:
        """Drop a share of the values while training and scale up the others."""
        if not self.training or self.rate == 0:
            return x
        kept = torch.rand(x.shape, generator=self.generator, device=x.device) >= self.rate
        return x * kept / (1 - self.rate)


class AdversarialNet(nn.Module):
    """Feature extractor, predictor of the label and discriminator of the domain, as in SCAD (Zheng et al. 2023).

    Parameters
    ----------
    models
        Networks side by side, which share nothing.
    inputs
        Genes, regulons or dimensions.
    hidden, narrow
        Width of the features (and of the discriminator), and of the predictor.
    dropout
        Share of the features that is dropped while training.
    generator
        Draws first weights and dropout masks; the networks live on its device.
    """

    def __init__(
        self, models: int, inputs: int, *, hidden: int, narrow: int, dropout: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.models = models

        def linear(width: int, out: int) -> Stacked:
            return Stacked(models, width, out, generator)

        self.extractor = nn.Sequential(linear(inputs, hidden), nn.ReLU(), Dropout(dropout, generator))
        self.predictor = nn.Sequential(
            linear(hidden, narrow), nn.LeakyReLU(LEAKY), Dropout(dropout, generator), linear(narrow, 1)
        )
        self.discriminator = nn.Sequential(
            linear(hidden, hidden), nn.ReLU(), linear(hidden, hidden), nn.ReLU(), linear(hidden, 1)
        )

    def features(self, x: Float[Tensor, "rows inputs"]) -> Float[Tensor, "models rows hidden"]:
        """What predictor and discriminator see of the same rows."""
        out: Tensor = self.extractor(x.expand(self.models, *x.shape))
        return out

    def forward(self, x: Float[Tensor, "rows inputs"]) -> Float[Tensor, "models rows"]:
        """Log odds of the label by every network, of the same rows."""
        out: Tensor = self.predictor(self.features(x))
        return out.squeeze(-1)

    def losses(
        self,
        lines: Float[Tensor, "models lines inputs"],
        labels: Float[Tensor, "models lines"],
        cells: Float[Tensor, "models cells inputs"],
        weight: Float[Tensor, " models"],
    ) -> tuple[Float[Tensor, " models"], Float[Tensor, " models"]]:
        """Cross-entropy of the labels of lines, and of line against cell behind the reversed gradient."""
        seen = self.extractor(torch.cat([lines, cells], dim=1))
        label = _cross_entropy(self.predictor(seen[:, : lines.shape[1]]).squeeze(-1), labels)
        is_cell = torch.cat([torch.zeros_like(labels), labels.new_ones(cells.shape[:2])], dim=1)
        told = self.discriminator(reverse_gradient(seen, weight[:, None, None])).squeeze(-1)
        return label, _cross_entropy(told, is_cell)


def train_adversarial(
    net: AdversarialNet,
    lines: Float[Tensor, "lines inputs"],
    labels: Float[Tensor, " lines"],
    train: Bool[Tensor, "models lines"],
    cells: Float[Tensor, "cells inputs"],
    *,
    weight: Float[Tensor, " models"],
    epochs: int,
    batch_size: int,
    lr: float,
    decay: float,
    generator: torch.Generator,
) -> None:
    """Fit every network in place to its own lines; classes come equally often, cells are drawn uniformly.

    The reversal is warmed up as 2 / (1 + exp(-10 p)) - 1 over the share p of the steps. Without `weight` the features know
    nothing of the cells.
    """
    optimiser = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=decay)
    n_steps = epochs * max(1, math.ceil(int(train.sum(dim=1).max()) / batch_size))
    classes = [_padded(train & (labels == value)) for value in (0, 1)]
    net.train()
    for number in range(n_steps):
        warm = 2 / (1 + math.exp(-STEEPNESS * number / n_steps)) - 1
        row = torch.cat([_drawn(*rows, batch_size // 2, generator) for rows in classes], dim=1)
        cell = torch.randint(len(cells), (net.models, batch_size), generator=generator, device=cells.device)
        label, told = net.losses(lines[row], labels[row], cells[cell], weight * warm)
        optimiser.zero_grad()
        torch.autograd.backward((label + told).sum())
        optimiser.step()
    net.eval()


def _padded(member: Bool[Tensor, "models lines"]) -> tuple[Int[Tensor, "models most"], Int[Tensor, " models"]]:
    """Numbers of the members of every row, first in a table, and how many they are."""
    return torch.argsort(~member, dim=1, stable=True), member.sum(dim=1)


def _drawn(
    rows: Int[Tensor, "models most"], size: Int[Tensor, " models"], n: int, generator: torch.Generator
) -> Int[Tensor, "models n"]:
    place = torch.rand(len(rows), n, generator=generator, device=rows.device, dtype=torch.float64) * size[:, None]
    return torch.gather(rows, 1, place.long())


def _cross_entropy(
    logits: Float[Tensor, "models rows"], labels: Float[Tensor, "models rows"]
) -> Float[Tensor, " models"]:
    return functional.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(dim=1)
