"""A small system of differential equations whose links change half-way, observed along one trajectory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d


@dataclass(frozen=True)
class Planted:
    """Points x genes, the weights (source, target) before and after the change, and a prior that is partly wrong."""

    values: np.ndarray
    weights: np.ndarray  # halves x sources x targets
    prior: np.ndarray

    def counts(self, n_cells: int = 1500, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Counts (Poisson) of cells at random places between 0 and 1, and these places."""
        rng, n_points = np.random.default_rng(seed), len(self.values)
        place = rng.uniform(0, 1, n_cells)
        z = (self.values - self.values.mean(axis=0)) / self.values.std(axis=0)
        at = [np.interp(place * (n_points - 1), np.arange(n_points), gene) for gene in z.T]
        level = np.expm1(np.maximum(2 + 0.6 * np.column_stack(at), 0))
        return rng.poisson(level).astype(np.float32), place

    @property
    def truth(self) -> np.ndarray:
        """Links of either half."""
        return (self.weights != 0).any(axis=0)


def planted(
    seed: int = 0, *, n_drivers: int = 5, n_targets: int = 10, n_points: int = 100, n_regulators: int = 1,
    noise: float = 0.02, kept: float = 0.8, false: float = 1.5,
) -> Planted:  # fmt: skip
    """Drivers are sums of waves; each target follows tanh of its regulators and decays; every second one switches.

    The prior holds a share `kept` of the links of either half, and `false` times as many other pairs.
    """
    rng = np.random.default_rng(seed)
    n, fine = n_drivers + n_targets, 20
    weights = np.zeros((2, n, n))
    for target in range(n_drivers, n):
        sources = rng.choice(target, n_regulators + 1, replace=False)
        weight = rng.choice([-1.0, 1.0], n_regulators + 1) * rng.uniform(0.9, 1.4, n_regulators + 1)
        weights[:, sources[:-1], target] = weight[:-1]
        if target % 2:
            weights[1, sources[0], target] = 0
            weights[1, sources[-1], target] = weight[-1]
    values = _followed(weights, n_drivers, n_points, fine, rng)
    values = values + noise * values.std(axis=0) * rng.standard_normal(values.shape)
    return Planted(values, weights, _noisy(weights, kept, false, rng))


def _followed(weights: np.ndarray, n_drivers: int, n_points: int, fine: int, rng: np.random.Generator) -> np.ndarray:
    n, steps = weights.shape[1], n_points * fine
    time = np.linspace(0, 1, steps)[:, None]
    turns, phase = rng.uniform(1.5, 5, (2, n_drivers)), rng.uniform(0, 2 * np.pi, (2, n_drivers))
    x = np.zeros((steps, n))
    for k, size in enumerate((1.0, 0.5)):
        x[:, :n_drivers] += size * np.sin(2 * np.pi * turns[k] * (1 + 0.7 * k) * time + phase[k])
    rate = rng.uniform(0.15, 0.4, n - n_drivers) / fine
    for step in range(1, steps):
        reached = np.tanh(x[step - 1]) @ weights[int(2 * step >= steps), :, n_drivers:]
        x[step, n_drivers:] = x[step - 1, n_drivers:] + rate * (reached - x[step - 1, n_drivers:])
    return x[::fine]


def _noisy(weights: np.ndarray, kept: float, false: float, rng: np.random.Generator) -> np.ndarray:
    truth = (weights != 0).any(axis=0)
    prior = truth & (rng.random(truth.shape) < kept)
    free = np.argwhere(~truth & ~np.eye(len(truth), dtype=bool))
    source, target = free[rng.choice(len(free), int(false * truth.sum()), replace=False)].T
    prior[source, target] = True
    return prior


def switching(seed: int = 0, *, n_points: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """Points of two drivers, which wander fast, and four targets of them; and the weights in both halves.

    Target 2 follows driver 0, then 1; target 3 the other way round and with the other sign; 4 stays with 0, 5 with 1.
    """
    rng, fine, width, rate = np.random.default_rng(seed), 10, 2.0, 0.5
    weights = np.zeros((2, 6, 6))
    weights[0, 0, 2] = weights[1, 1, 2] = weights[:, 0, 4] = weights[:, 1, 5] = 1.3
    weights[0, 1, 3] = weights[1, 0, 3] = -1.3
    x = np.zeros((n_points * fine, 6))
    x[:, :2] = gaussian_filter1d(rng.normal(size=(len(x), 2)), width * fine, axis=0)
    x[:, :2] /= x[:, :2].std(axis=0)
    for step in range(1, len(x)):
        reached = np.tanh(x[step - 1]) @ weights[int(2 * step >= len(x)), :, 2:]
        x[step, 2:] = x[step - 1, 2:] + rate / fine * (reached - x[step - 1, 2:])
    return x[::fine], weights
