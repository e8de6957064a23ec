"""Training of RiTINI: foretell the next points, stay near the prior, attend to few."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int
from torch import Tensor
from torch.nn import functional

from ...._core.checks import fail
from ...._core.compute import one_thread
from ...._core.logging import progress
from ...._core.rng import generator, torch_generator
from ...._core.typing import Number
from .model import Dropout, Forecast, RitiniNet
from .series import places, windows

LEAST = 1e-8  # attention below which logarithms are cut
CHUNK_BYTES = 2e8  # attention that is made at once without training
LOSSES = ("loss", "forecast", "graph", "entropy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """Passes, windows per step, Adam's learning rate, its plateau schedule, dropout, weights of the losses, device."""

    epochs: int
    batch_size: int
    lr: Number
    factor: Number = 0.5
    patience: int = 10
    dropout: Number = 0.1
    graph_weight: Number = 3e-4
    entropy_weight: Number = 5e-4
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class Graph:
    """Pairs that can carry attention, and the prior that it is drawn to."""

    candidates: Bool[np.ndarray, "sources targets"]
    prior: Bool[np.ndarray, "sources targets"]


@dataclass(frozen=True, slots=True)
class Trained:
    """The net, mean losses of every epoch, the attention of every window, and the final squared error without dropout."""

    net: RitiniNet
    losses: list[tuple[float, ...]]
    attention: Float32[np.ndarray, "windows sources targets"]
    error: float


def train(
    net: RitiniNet, values: Float32[np.ndarray, "points genes"], graph: Graph, settings: Training, *, root: int
) -> Trained:
    """Adam with halved rate on plateaus; batches, dropout and sums are the same for any number of threads."""
    with one_thread():
        net = net.to(settings.device).train()
        history, ahead = (torch.from_numpy(part).to(settings.device) for part in windows(values))
        place = torch.from_numpy(places(len(history))).to(settings.device)
        candidates, prior = (torch.from_numpy(part).to(settings.device) for part in (graph.candidates, graph.prior))
        optimiser = torch.optim.Adam(net.parameters(), lr=float(settings.lr), fused=True)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimiser, factor=float(settings.factor), patience=settings.patience
        )
        drop = None
        if settings.dropout:
            random = torch_generator(root, "dropout", device=settings.device)
            drop = Dropout(float(settings.dropout), random)
        losses = []
        for epoch in progress(range(settings.epochs), title="ritini: epochs", total=settings.epochs):
            total = np.zeros(len(LOSSES))
            for rows in batches(len(history), settings.batch_size, root, epoch):
                found = net(history[rows], candidates, place[rows], drop=drop)
                parts = losses_of(found, ahead[rows], prior, settings)
                optimiser.zero_grad()
                torch.autograd.backward(parts[0])
                optimiser.step()
                total += len(rows) * torch.stack(parts).detach().cpu().numpy()
            losses.append(tuple((total / len(history)).tolist()))
            plateau.step(_finite(losses[-1][0], epoch, settings))
        forecast, attention = predict(net, history, candidates, place)
        error = float(functional.mse_loss(forecast, ahead))
    return Trained(net.cpu(), losses, attention, error)


def batches(n: int, size: int, root: int, epoch: int) -> Iterator[Int[np.ndarray, " rows"]]:
    """Windows in random order, the last batch as large as what is left."""
    order = generator(root, "epoch", epoch).permutation(n)
    yield from (order[first : first + size] for first in range(0, n, size))


def losses_of(
    found: Forecast, ahead: Float[Tensor, "windows ahead genes"], prior: Bool[Tensor, "sources targets"],
    settings: Training,
) -> tuple[Tensor, ...]:  # fmt: skip
    """The loss, and its parts: squared error, cross-entropy of attention and prior, entropy of attention per target."""
    forecast = functional.mse_loss(found.values, ahead)
    attention = found.attention.clamp(LEAST, 1 - LEAST)
    graph = functional.binary_cross_entropy(attention, prior.to(attention).expand_as(attention))
    entropy = -(found.attention * attention.log()).sum(dim=1).mean()
    loss = forecast + float(settings.graph_weight) * graph + float(settings.entropy_weight) * entropy
    return loss, forecast, graph, entropy


def predict(
    net: RitiniNet, history: Tensor, candidates: Tensor, place: Tensor
) -> tuple[Float[Tensor, "windows ahead genes"], Float32[np.ndarray, "windows sources targets"]]:
    """Forecast and attention of all windows, some at a time, without dropout."""
    n = max(1, int(CHUNK_BYTES / (4 * candidates.numel())))
    with torch.no_grad():
        found = [net.eval()(history[a : a + n], candidates, place[a : a + n]) for a in range(0, len(history), n)]
        values = torch.cat([part.values for part in found])
        return values, np.concatenate([part.attention.cpu().numpy() for part in found])


def no_change(values: Float32[np.ndarray, "points genes"]) -> float:
    """Squared error of the forecast that the last point stays."""
    history, ahead = windows(values)
    return float(((ahead - history[:, -1:]) ** 2).mean())


def _finite(loss: float, epoch: int, settings: Training) -> float:
    if not np.isfinite(loss):
        raise fail(
            FloatingPointError, "the loss must be a finite number.", f"{loss} in epoch {epoch}.",
            f"give a smaller lr (now {settings.lr:g}): options={{'lr': ...}}.",
        )  # fmt: skip
    return loss
