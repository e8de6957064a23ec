"""Sensitivity of cells from labels of lines: models of all folds and seeds, judged and calibrated on left-out lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.special import expit, logit

from .._core.compute import one_thread
from .._core.rng import generator, seed_for
from ..metrics import auc_interval, roc_auc
from .sensitivity_features import Features
from .sensitivity_fits import Fitted, Method, fit_models

LAMBDAS = (0.0, 0.1, 0.3, 1.0)  # weights of the reversed gradient that left-out lines choose from
ONE_ERROR = 0.6827  # level of an interval of one standard error
MOST_CELLS = 5_000  # that the discriminator is shown
LEAST_SLOPE = 1e-3  # a calibration never turns the order round
TOLD_APART = 300  # lines and cells that the domain is judged on
TREES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class SensitivitySettings:
    """How sensitivity is predicted.

    Attributes
    ----------
    method
        `"adversarial"`, `"logistic"` or `"rank_ridge"`.
    lambda_domain
        Weight of the reversed gradient, or `"source_val"`: the largest that costs left-out lines no more than one standard
        error of their AUC.
    n_splits, n_seeds
        Folds of the lines, and how often they are dealt anew.
    root, device
        Root of all seeds; torch device.
    """

    method: Method
    lambda_domain: float | Literal["source_val"]
    n_splits: int
    n_seeds: int
    root: int
    device: str


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Sensitivity of every cell, and how good the models are on lines that they have not seen.

    Attributes
    ----------
    cells
        Probabilities, cells x seeds, calibrated on left-out lines.
    lines
        The same of the lines, each by the models that have not seen it.
    folds
        `seed`, `fold`, `auc` on the left-out lines.
    source
        Figures of the left-out lines, mean over the seeds: `auc`, `low`, `high`.
    search
        AUC of left-out lines by weight of the reversed gradient; empty where none was chosen.
    lambda_domain
        The weight that was used.
    domain
        Area at which trees tell lines from cells: `input` by the features, `used` by what the predictor sees.
    calibration
        `brier` and, of the class share alone, `brier_prior`; mean `slope` and `intercept` of the calibration.
    """

    cells: np.ndarray
    lines: np.ndarray
    folds: pd.DataFrame
    source: dict[str, float]
    search: pd.DataFrame
    lambda_domain: float
    domain: dict[str, float]
    calibration: dict[str, float]


def predict_sensitivity(
    features: Features, y: Int[np.ndarray, " lines"], chosen: SensitivitySettings, *, judge_domain: bool = True
) -> Sensitivity:
    """Fit all folds of all seeds and average them; no label of a cell is known here."""
    x, n_splits = features.lines, chosen.n_splits
    with one_thread():
        cells = _shown_cells(features, chosen)
        weight, search = _domain_weight(x, y, cells, chosen)
        fold = np.stack([_deal(y, seed, chosen) for seed in range(chosen.n_seeds)])
        fitted = _fit(x, y, fold, cells, np.full(fold.shape[0] * n_splits, weight), chosen)
        held = _held_out(fitted.scores(x), fold, n_splits)
        slope, intercept = np.array([_calibrate(column, y) for column in held.T]).T
        domain = dict.fromkeys(("input", "used"), float("nan"))
        if judge_domain:
            domain = _domain(features, fitted, cells, chosen)
        out = np.empty((features.n_cells, chosen.n_seeds))
        for first, block in features.blocks():
            score = fitted.scores(block).reshape(len(block), chosen.n_seeds, n_splits).mean(axis=2)
            out[first : first + len(block)] = expit(slope * score + intercept)
    lines, prior = expit(slope * held + intercept), float(y.mean())
    figures = pd.DataFrame([auc_interval(y, column, method="delong") for column in lines.T])[["auc", "low", "high"]]
    rows = [
        (seed, k, roc_auc(y[fold[seed] == k], held[fold[seed] == k, seed]))
        for seed in range(chosen.n_seeds)
        for k in range(n_splits)
    ]
    calibration = {
        "brier": float(((lines.mean(axis=1) - y) ** 2).mean()), "brier_prior": prior * (1 - prior),
        "slope": float(slope.mean()), "intercept": float(intercept.mean()),
    }  # fmt: skip
    return Sensitivity(
        out, lines, pd.DataFrame(rows, columns=["seed", "fold", "auc"]),
        {str(name): float(value) for name, value in figures.mean().items()}, search, weight, domain, calibration,
    )  # fmt: skip


def _deal(y: Int[np.ndarray, " lines"], seed: int, chosen: SensitivitySettings) -> Int[np.ndarray, " lines"]:
    return deal_classes(y, chosen.n_splits, generator(chosen.root, "folds", seed))


def deal_classes(
    y: Int[np.ndarray, " items"] | Float[np.ndarray, " items"], n: int, rng: np.random.Generator
) -> Int[np.ndarray, " items"]:
    """Part of every item, each class dealt evenly; -1 for an item that is neither 0 nor 1."""
    part = np.full(y.size, -1, dtype=np.int64)
    for value in (0, 1):
        rows = rng.permutation(np.flatnonzero(y == value))
        part[rows] = np.arange(rows.size) % n
    return part


def _fit(
    x: np.ndarray, y: np.ndarray, fold: Int[np.ndarray, "deals lines"], cells: np.ndarray,
    weight: Float[np.ndarray, " models"], chosen: SensitivitySettings,
) -> Fitted:  # fmt: skip
    """One model per deal and fold, fitted to the lines of the other folds."""
    train = (fold[:, None, :] != np.arange(chosen.n_splits)[:, None]).reshape(-1, y.size)
    return fit_models(
        x, y, train, cells, weight, method=chosen.method, seed=seed_for(chosen.root, "net"), device=chosen.device
    )


def _held_out(
    scores: Float[np.ndarray, "lines models"], fold: Int[np.ndarray, "deals lines"], n_splits: int
) -> Float[np.ndarray, "lines deals"]:
    """Score of every line by the model of each deal that has not seen it."""
    model = fold + n_splits * np.arange(len(fold))[:, None]
    return np.take_along_axis(scores, model.T, axis=1)


def _shown_cells(features: Features, chosen: SensitivitySettings) -> np.ndarray:
    """Cells, without their labels, that discriminator and check of domains see."""
    n = min(features.n_cells, MOST_CELLS if chosen.method == "adversarial" else TOLD_APART)
    rows = generator(chosen.root, "cells").choice(features.n_cells, n, replace=False)
    return features.sample(np.sort(rows))


def _domain_weight(
    x: np.ndarray, y: np.ndarray, cells: np.ndarray, chosen: SensitivitySettings
) -> tuple[float, pd.DataFrame]:
    """The weight of the reversed gradient: given, or the largest that costs left-out lines no more than one error."""
    empty = pd.DataFrame({name: np.empty(0) for name in ("lambda_domain", "auc", "low")})
    if chosen.method != "adversarial":
        return 0.0, empty
    if chosen.lambda_domain != "source_val":
        return float(chosen.lambda_domain), empty
    fold = np.repeat(_deal(y, 0, chosen)[None], len(LAMBDAS), axis=0)
    fitted = _fit(x, y, fold, cells, np.repeat(LAMBDAS, chosen.n_splits), chosen)
    held = _held_out(fitted.scores(x), fold, chosen.n_splits)
    found = pd.DataFrame([auc_interval(y, column, method="delong", level=ONE_ERROR) for column in held.T])
    search = pd.DataFrame({"lambda_domain": LAMBDAS, "auc": found["auc"], "low": found["low"]})
    enough = search["auc"] >= search["low"][search["auc"].idxmax()]
    return float(search["lambda_domain"][enough].max()), search


def _calibrate(score: Float[np.ndarray, " lines"], y: Int[np.ndarray, " lines"]) -> tuple[float, float]:
    """Slope and intercept that turn scores into probabilities (Platt); scores that say nothing give the class share."""
    from sklearn.linear_model import LogisticRegression

    unit = float(score.std()) or 1.0
    model = LogisticRegression(C=1e3, max_iter=1000).fit(score[:, None] / unit, y)
    slope = float(model.coef_[0, 0])
    if slope < LEAST_SLOPE:
        return LEAST_SLOPE / unit, float(logit(y.mean()) - LEAST_SLOPE * score.mean() / unit)
    return slope / unit, float(model.intercept_[0])


def _domain(features: Features, fitted: Fitted, cells: np.ndarray, chosen: SensitivitySettings) -> dict[str, float]:
    """How well lines and cells are told apart before and after features are learnt (.5: not at all)."""
    rng = generator(chosen.root, "domain")
    n = min(TOLD_APART, len(features.lines), len(cells))
    lines = features.lines[np.sort(rng.choice(len(features.lines), n, replace=False))]
    shown = cells[np.sort(rng.choice(len(cells), n, replace=False))]
    given = _told_apart(lines, shown, chosen)
    learnt, seen = fitted.features(lines), fitted.features(shown)
    used = given if learnt is None or seen is None else _told_apart(learnt, seen, chosen)
    return {"input": given, "used": used}


def _told_apart(lines: np.ndarray, cells: np.ndarray, chosen: SensitivitySettings) -> float:
    """Cross-validated area of random trees: means and spreads of both are equal, only the shapes can differ."""
    from sklearn.ensemble import ExtraTreesClassifier

    x, y = np.concatenate([lines, cells]), np.repeat([0, 1], [len(lines), len(cells)])
    fold, score = _deal(y, -1, chosen), np.empty(y.size)
    for k in range(chosen.n_splits):
        state = seed_for(chosen.root, "trees", k) % 2**32
        trees = ExtraTreesClassifier(TREES, min_samples_leaf=5, random_state=state)
        score[fold == k] = trees.fit(x[fold != k], y[fold != k]).predict_proba(x[fold == k])[:, 1]
    return roc_auc(y, score)
