"""The three ways to learn a binary label of lines, many training sets at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from jaxtyping import Bool, Float, Int

if TYPE_CHECKING:
    from ..nn.adversarial import AdversarialNet

Method = Literal["adversarial", "logistic", "rank_ridge"]

METHODS: tuple[Method, ...] = ("adversarial", "logistic", "rank_ridge")
# One set of settings for all drugs, chosen on left-out lines of simulations (docs/explain/drug_sensitivity.md)
RIDGE = 1.0  # penalty, in units of the mean squared length of a line
INVERSE_PENALTY = 10.0  # of the logistic regression, on lines of mean squared length 1
HIDDEN, NARROW, DROPOUT = 64, 32, 0.5
EPOCHS, BATCH, LR, DECAY = 40, 64, 3e-3, 1e-2


class Fitted(Protocol):
    """Models of all training sets."""

    def scores(self, x: Float[np.ndarray, "rows features"]) -> Float[np.ndarray, "rows models"]:
        """Scores of rows, the higher the more sensitive."""

    def features(self, x: Float[np.ndarray, "rows features"]) -> Float[np.ndarray, "rows hidden"] | None:
        """Features that the first model has learnt, if it has."""


def fit_models(
    x: Float[np.ndarray, "lines features"],
    y: Int[np.ndarray, " lines"],
    train: Bool[np.ndarray, "models lines"],
    cells: Float[np.ndarray, "cells features"],
    weight: Float[np.ndarray, " models"],
    *,
    method: Method,
    seed: int,
    device: str,
) -> Fitted:
    """Fit a model to each set of lines; cells, unlabelled, and `weight` are for the adversarial networks."""
    if method == "adversarial":
        return _networks(x, y, train, cells, weight, seed, device)
    fit = _ridge if method == "rank_ridge" else _logistic
    found = [fit(x[rows].astype(np.float64), y[rows]) for rows in train]
    return LinearModels(np.stack([slope for slope, _ in found], axis=1), np.array([start for _, start in found]))


@dataclass(frozen=True, slots=True)
class LinearModels:
    """Slopes and intercepts."""

    slope: Float[np.ndarray, "features models"]
    intercept: Float[np.ndarray, " models"]

    def scores(self, x: Float[np.ndarray, "rows features"]) -> Float[np.ndarray, "rows models"]:
        """Linear scores."""
        return x @ self.slope + self.intercept

    def features(self, x: Float[np.ndarray, "rows features"]) -> None:
        """Nothing is learnt on the way."""
        del x


@dataclass(frozen=True, slots=True)
class Networks:
    """Networks side by side."""

    net: AdversarialNet
    device: str

    def scores(self, x: Float[np.ndarray, "rows features"]) -> Float[np.ndarray, "rows models"]:
        """Log odds."""
        import torch

        with torch.inference_mode():
            out: np.ndarray = self.net(torch.from_numpy(x).to(self.device)).cpu().numpy()
        return out.T.astype(np.float64)

    def features(self, x: Float[np.ndarray, "rows features"]) -> Float[np.ndarray, "rows hidden"]:
        """What predictor and discriminator of the first network see."""
        import torch

        with torch.inference_mode():
            out: np.ndarray = self.net.features(torch.from_numpy(x).to(self.device))[0].cpu().numpy()
        return out


def _ridge(x: Float[np.ndarray, "lines features"], y: Int[np.ndarray, " lines"]) -> tuple[np.ndarray, float]:
    """Ridge regression of the label (-1, 1), both classes weighing the same, through the kernel of the lines."""
    weight = np.where(y == 1, 0.5 / y.mean(), 0.5 / (1 - y.mean()))
    target = 2.0 * y - 1.0
    centre, middle = np.average(x, axis=0, weights=weight), np.average(target, weights=weight)
    x = x - centre
    kernel = x @ x.T
    penalty = RIDGE * float(np.trace(kernel)) / y.size
    slope = x.T @ np.linalg.solve(kernel + penalty * np.diag(1 / weight), target - middle)
    return slope, float(middle - centre @ slope)


def _logistic(x: Float[np.ndarray, "lines features"], y: Int[np.ndarray, " lines"]) -> tuple[np.ndarray, float]:
    """Logistic regression with a ridge penalty, both classes weighing the same."""
    from sklearn.linear_model import LogisticRegression

    unit = float(np.sqrt((x**2).sum(axis=1).mean())) or 1.0
    model = LogisticRegression(C=INVERSE_PENALTY, class_weight="balanced", max_iter=1000).fit(x / unit, y)
    return model.coef_.ravel() / unit, float(model.intercept_[0])


def _networks(
    x: np.ndarray, y: np.ndarray, train: np.ndarray, cells: np.ndarray, weight: np.ndarray, seed: int, device: str
) -> Networks:
    import torch

    from ..nn.adversarial import AdversarialNet, train_adversarial

    random = torch.Generator(device=device).manual_seed(seed % 2**63)
    net = AdversarialNet(
        len(train), x.shape[1], hidden=HIDDEN, narrow=NARROW, dropout=DROPOUT, generator=random
    )  # fmt: skip
    lines, labels, mask, shown, pull = (
        torch.from_numpy(part).to(device) for part in (x, y.astype(np.float32), train, cells, weight.astype(np.float32))
    )
    train_adversarial(
        net, lines, labels, mask, shown, weight=pull, epochs=EPOCHS, batch_size=BATCH, lr=LR, decay=DECAY,
        generator=random,
    )  # fmt: skip
    return Networks(net, device)
