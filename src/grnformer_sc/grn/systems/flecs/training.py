"""Training of FLeCS: integrate from the first cell of every trajectory and come close to the others (Adam)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from ...._core.checks import fail
from ...._core.compute import one_thread
from ...._core.logging import progress
from ...._core.rng import generator
from ...._core.typing import Number
from .model import Links, Parameters, Wired, integrate, slope_of
from .trajectories import Paths

Batches = Sequence[Int[np.ndarray, " _"]]  # of any sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """Learning rate of Adam, its factor in the second half of the epochs, largest Runge-Kutta step, device."""

    lr: Number
    lr_drop: Number = 1.0
    max_step: Number
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class Trained:
    """Parameters, and the mean loss of every epoch: while it is trained, and afterwards on what is held out (or NaN)."""

    parameters: Parameters
    losses: list[float]
    held_out: list[float]


def batches_of(rows: Int[np.ndarray, " rows"], size: int, n_epochs: int, root: int) -> Iterator[Batches]:
    """Trajectories in batches, in another order in every epoch."""
    for epoch in range(n_epochs):
        order = generator(root, "epoch", epoch).permutation(rows)
        yield [order[first : first + size] for first in range(0, order.size, size)]


def train(
    links: Links,
    start: Parameters,
    paths: Paths,
    epochs: Sequence[Batches],
    settings: Training,
    held_out: Batches = (),
) -> Trained:
    """Adam on the squared error at all times; rates of decay never become negative."""
    with one_thread():
        wired = Wired(links, settings.device)
        weight, bias, alpha = (x.requires_grad_() for x in start.tensors(settings.device))
        optimiser = torch.optim.Adam([weight, bias, alpha], lr=float(settings.lr))
        losses, outside = [], []
        for number, batches in enumerate(progress(epochs, title="flecs: epochs", total=len(epochs))):
            if number == (len(epochs) + 1) // 2:
                optimiser.param_groups[0]["lr"] *= float(settings.lr_drop)
            total = []
            for rows in batches:
                loss = loss_of(wired, (weight, bias, alpha), paths, rows, settings)
                optimiser.zero_grad()
                torch.autograd.backward(loss)
                optimiser.step()
                with torch.no_grad():
                    alpha.clamp_(min=0)
                total.append(loss.item())
            losses.append(_finite(float(np.mean(total)), number, settings))
            outside.append(_mean_loss(wired, (weight, bias, alpha), paths, held_out, settings))
        trained = Parameters(*(x.detach().cpu().numpy() for x in (weight, bias, alpha)))
    return Trained(trained, losses, outside)


def loss_of(
    wired: Wired, tensors: tuple[Tensor, Tensor, Tensor], paths: Paths, rows: np.ndarray, settings: Training
) -> Tensor:
    """Mean squared error of some trajectories at all times, the first included."""
    seen = torch.from_numpy(paths.states(rows)).to(settings.device)
    free = torch.from_numpy(free_of(paths.lost[rows], wired.n_genes)).to(settings.device)
    slope = slope_of(wired, *tensors, free=None if bool(free.all()) else free)
    found = integrate(slope, seen[:, 0], paths.times, float(settings.max_step))
    counted = paths.counted(rows)
    if counted is None:
        return torch.nn.functional.mse_loss(found, seen)
    share = torch.from_numpy(counted).to(seen)
    return (((found - seen) ** 2) * share).sum() / share.sum()


def free_of(lost: Int[np.ndarray, " rows"], n_genes: int) -> np.ndarray:
    """1 for every gene of every trajectory (float32), 0 where it is lost."""
    out = np.ones((lost.size, n_genes), dtype=np.float32)
    there = np.flatnonzero(lost >= 0)
    out[there, lost[there]] = 0
    return out


def no_change(paths: Paths, batches: Batches) -> float:
    """Loss of the forecast that every cell stays as it is."""
    return _loss_against(paths, batches, lambda seen: seen[:, :1])


def mean_of_time(paths: Paths, rows: Int[np.ndarray, " rows"], batches: Batches) -> float:
    """Loss of the forecast that later cells are the mean of the trajectories of `rows` at their time."""
    columns = [column[column >= 0] for column in paths.cells[rows].T]
    mean = np.concatenate([np.asarray(paths.expression[cells].mean(axis=0)) for cells in columns])

    def forecast(seen: np.ndarray) -> np.ndarray:
        out = np.repeat(mean[None], len(seen), axis=0)
        out[:, 0] = seen[:, 0]
        return out

    return _loss_against(paths, batches, forecast)


def _loss_against(paths: Paths, batches: Batches, forecast: Callable[[np.ndarray], np.ndarray]) -> float:
    out = []
    for rows in batches:
        seen, counted = paths.states(rows), paths.counted(rows)
        square = (seen - forecast(seen)) ** 2
        out.append(float(square.mean() if counted is None else (square * counted).sum() / counted.sum()))
    return float(np.mean(out)) if out else float("nan")


def _mean_loss(
    wired: Wired, tensors: tuple[Tensor, Tensor, Tensor], paths: Paths, batches: Batches, settings: Training
) -> float:
    with torch.no_grad():
        found = [loss_of(wired, tensors, paths, rows, settings).item() for rows in batches]
    return float(np.mean(found)) if found else float("nan")


def _finite(loss: float, epoch: int, settings: Training) -> float:
    if not np.isfinite(loss):
        raise fail(
            FloatingPointError, "the loss must be a finite number.", f"{loss} in epoch {epoch}.",
            f"give a smaller lr (now {settings.lr:g}): options={{'lr': ...}}.",
        )  # fmt: skip
    return loss
