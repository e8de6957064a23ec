"""The model of RENGE: what a knock-out changes along paths of the network, its loss and the gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit

from ...._core.typing import Number
from .sums import Sums


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Weight of the penalty, its share of L1, and the number of links that a change travels at most."""

    penalty: Number
    l1_ratio: Number
    n_hops: int


@dataclass(frozen=True, slots=True)
class Model:
    """Parameters: `effect[i, j]` is what gene j does to gene i, `level` the expression without a knock-out.

    The path of k + 1 links counts by sigmoid(alpha + beta t - gamma k) at time t, alpha being that of the lost gene.
    """

    effect: Float[np.ndarray, "genes genes"]
    level: Float[np.ndarray, "times genes"]
    alpha: Float[np.ndarray, " genes"]
    beta: float
    gamma: float

    def vector(self) -> Float[np.ndarray, " parameters"]:
        """All parameters in a row, matrices row by row."""
        return np.concatenate([self.effect.ravel(), self.level.ravel(), self.alpha, [self.beta, self.gamma]])

    @classmethod
    def of_vector(cls, vector: Float[np.ndarray, " parameters"], n_times: int, n_genes: int) -> Model:
        """Cut a row of parameters."""
        ends = np.cumsum([n_genes**2, n_times * n_genes, n_genes])
        effect, level, alpha, rest = np.split(vector, ends)
        return cls(
            effect.reshape(n_genes, n_genes), level.reshape(n_times, n_genes), alpha, float(rest[0]), float(rest[1])
        )


def path_weights(
    model: Model, times: Float[np.ndarray, " times"], lost: Int[np.ndarray, " lost"], n_hops: int
) -> Float[np.ndarray, "times lost hops"]:
    """Weight of a path by time, lost gene and number of links."""
    alpha = model.alpha[lost]
    return expit(alpha[None, :, None] + model.beta * times[:, None, None] - model.gamma * np.arange(n_hops))


def paths(
    effect: Float[np.ndarray, "genes genes"], lost: Int[np.ndarray, " lost"], n_hops: int
) -> list[Float[np.ndarray, "genes lost"]]:
    """Sum over the paths of 1, 2, ... links from every lost gene to all genes; none goes through the lost gene again."""
    out = [effect[:, lost]]
    for _ in range(1, n_hops):
        out.append(effect @ without_own(out[-1], lost))
    return out


def without_own(values: Float[np.ndarray, "genes lost"], lost: Int[np.ndarray, " lost"]) -> np.ndarray:
    """The same with 0 for every lost gene in its own column."""
    out = values.copy()
    out[lost, np.arange(lost.size)] = 0
    return out


def changes(
    model: Model, times: Float[np.ndarray, " times"], lost: Int[np.ndarray, " lost"], n_hops: int
) -> Float[np.ndarray, "times lost genes"]:
    """Change of every gene per unit of the lost one; the times need not be those of the data."""
    weight = path_weights(model, times, lost, n_hops)
    return np.einsum("tuk,kgu->tug", weight, np.stack(paths(model.effect, lost, n_hops)))


@dataclass(frozen=True, slots=True)
class Terms:
    """The coefficients of the loss, each time divided by its number of cells, knocked-out genes left out in their cells.

    With the level b and the change R per unit, the loss of the cells is
    constant + sum (b^2 bb - 2 b be) + sum R (R xx + 2 b bx - 2 xe).
    """

    times: Float[np.ndarray, " times"]
    lost: Int[np.ndarray, " lost"]
    constant: float
    bb: Float[np.ndarray, "times genes"]
    be: Float[np.ndarray, "times genes"]
    xx: Float[np.ndarray, "times lost genes"]
    bx: Float[np.ndarray, "times lost genes"]
    xe: Float[np.ndarray, "times lost genes"]


def terms_of(sums: Sums, *, per_time: bool = True) -> Terms:
    """Coefficients of the loss; without `per_time` every cell counts alike."""
    share = np.maximum(sums.n.sum(axis=1), 1) if per_time else np.ones(sums.times.size)
    scale = sums.counted[None] / share[:, None, None]
    lost = slice(0, sums.knocked.size)
    return Terms(
        times=sums.times, lost=sums.knocked, constant=float((scale * sums.see).sum()),
        bb=(scale * sums.n[:, :, None]).sum(axis=1), be=(scale * sums.se).sum(axis=1),
        xx=(scale * sums.sxx[:, :, None])[:, lost], bx=(scale * sums.sx[:, :, None])[:, lost],
        xe=(scale * sums.sxe)[:, lost],
    )  # fmt: skip


def loss_and_gradient(
    vector: Float[np.ndarray, " parameters"], terms: Terms, shape: Shape
) -> tuple[float, Float[np.ndarray, " parameters"]]:
    """Squared error per cell of every time, plus the penalty on the effects."""
    model = Model.of_vector(vector, *terms.be.shape)
    b, hops = model.level, shape.n_hops
    weight = path_weights(model, terms.times, terms.lost, hops)
    along = paths(model.effect, terms.lost, hops)
    change = np.einsum("tuk,kgu->tug", weight, np.stack(along))
    loss = terms.constant + (b * (b * terms.bb - 2 * terms.be)).sum()
    loss += (change * (change * terms.xx + 2 * (b[:, None] * terms.bx - terms.xe))).sum()

    d_change = 2 * (change * terms.xx + b[:, None] * terms.bx - terms.xe)
    d_level = 2 * (b * terms.bb - terms.be + (change * terms.bx).sum(axis=1))
    d_along = np.einsum("tuk,tug->kgu", weight, d_change)
    d_logit = np.einsum("tug,kgu->tuk", d_change, np.stack(along)) * weight * (1 - weight)
    d_alpha = np.zeros_like(model.alpha)
    d_alpha[terms.lost] = d_logit.sum(axis=(0, 2))
    d_beta = (d_logit.sum(axis=(1, 2)) * terms.times).sum()
    d_gamma = -(d_logit.sum(axis=(0, 1)) * np.arange(hops)).sum()
    d_effect = _back_along(model.effect, along, list(d_along), terms.lost)

    penalty, d_penalty = penalty_and_gradient(model.effect, shape)
    gradient = Model(d_effect + d_penalty, d_level, d_alpha, float(d_beta), float(d_gamma))
    return float(loss + penalty), gradient.vector()


def _back_along(
    effect: np.ndarray, along: Sequence[np.ndarray], d_along: list[np.ndarray], lost: np.ndarray
) -> Float[np.ndarray, "genes genes"]:
    """Gradient of the effects from those of the sums over paths, the longest paths first."""
    out = np.zeros_like(effect)
    for hop in range(len(along) - 1, 0, -1):
        out += d_along[hop] @ without_own(along[hop - 1], lost).T
        d_along[hop - 1] += without_own(effect.T @ d_along[hop], lost)
    out[:, lost] += d_along[0]
    return out


def penalty_and_gradient(
    effect: Float[np.ndarray, "genes genes"], shape: Shape
) -> tuple[float, Float[np.ndarray, "genes genes"]]:
    """C l K times the sum of sizes of A, and C (1 - l) times the sum of squares of A, A^2, ..., A^K.

    C is the penalty, l its share of L1 and K the number of hops.
    """
    powers = [effect]
    for _ in range(1, shape.n_hops):
        powers.append(effect @ powers[-1])
    first = shape.penalty * shape.l1_ratio * shape.n_hops
    second = shape.penalty * (1 - shape.l1_ratio)
    value = first * np.abs(effect).sum() + second * sum(float((power**2).sum()) for power in powers)
    gradient = first * np.sign(effect)
    back = 2 * second * powers[-1]
    for power in powers[-2::-1]:
        gradient += back @ power.T
        back = effect.T @ back + 2 * second * power
    return value, gradient + back
