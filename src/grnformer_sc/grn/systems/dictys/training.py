"""Training of Dictys: Adam with clipped gradients and a falling rate on all cells at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from ...._core.checks import fail
from ...._core.typing import Number
from .model import Data, Parts, gradient, terms

BETAS, CLIP, TINY = (0.9, 0.999), 10.0, 1e-8
EVERY = 50  # steps between two records of the loss


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """Steps, learning rate and its factor from step to step, weight of the steady state and how long it rises."""

    steps: int
    lr: Number
    lr_decay: Number
    warmup: Number
    scale: Number
    device: str = "cpu"

    def scale_at(self, step: int) -> float:
        """Weight of the steady state at a step, from 1 on."""
        rising = float(self.warmup) * self.steps
        left = max(0.0, 1 - step / rising) if rising > 0 else 0.0
        return float(self.scale) ** (1 - left)


@dataclass(frozen=True, slots=True)
class Trained:
    """Parameters on the CPU, and the terms of the loss every `EVERY` steps and at the last, with the full `scale`."""

    parts: Parts
    steps: list[int]
    losses: Float[np.ndarray, "records 3"]


@torch.no_grad()
def train(data: Data, begin: Parts, settings: Training, rng: torch.Generator) -> Trained:
    """Minimise the loss at fresh noise in every step; `rng` and `data` are on the device of the settings."""
    free = begin.free()
    x = torch.cat([part.reshape(-1) for _, part in free.items()]).to(settings.device)
    slope, first, second = (torch.zeros_like(x) for _ in range(3))
    at, out = begin.like(x), begin.like(slope)
    noise = torch.empty_like(data.counts)
    rate, steps, losses = float(settings.lr), [], []
    for step in range(1, settings.steps + 1):
        noise.normal_(generator=rng)
        try:
            if step % EVERY == 1 or step == settings.steps:
                losses.append(_finite(terms(at.natural(), noise, data, float(settings.scale)).tolist(), step, settings))
                steps.append(step)
            gradient(at, noise, data, settings.scale_at(step), out)
        except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]  # a covariance that is not finite
            raise _diverged("no covariance", step, settings) from error
        rate *= float(settings.lr_decay)
        _clipped_adam(x, slope, first, second, rate, step)
    parts = begin.like(x.cpu()).natural()
    return Trained(parts, steps, np.array(losses))


def _clipped_adam(
    x: torch.Tensor, slope: torch.Tensor, first: torch.Tensor, second: torch.Tensor, rate: float, step: int
) -> None:
    """One step of Adam (Kingma & Ba 2015) with every entry of the gradient within +- `CLIP`."""
    slope.clamp_(-CLIP, CLIP)
    first.lerp_(slope, 1 - BETAS[0])
    second.mul_(BETAS[1]).addcmul_(slope, slope, value=1 - BETAS[1])
    size = rate * math.sqrt(1 - BETAS[1] ** step) / (1 - BETAS[0] ** step)
    x.addcdiv_(first, second.sqrt().add_(TINY), value=-size)


def _finite(losses: list[float], step: int, settings: Training) -> list[float]:
    if not all(math.isfinite(value) for value in losses):
        raise _diverged(str(losses), step, settings)
    return losses


def _diverged(found: str, step: int, settings: Training) -> Exception:
    return fail(
        FloatingPointError, "the loss must be a finite number.", f"{found} at step {step}.",
        f"give a smaller lr (now {settings.lr:g}): options={{'lr': ...}}.",
    )  # fmt: skip
