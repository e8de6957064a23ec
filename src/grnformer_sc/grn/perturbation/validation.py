"""Held-out predictions inside the training perturbations: what choices are made on, and how far off a prediction is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int

from ..._core.rng import generator
from .shifts import Predictor, Shifts, Wanted, seen

FOLDS = 10  # at most
LEAST = 5  # held-out conditions that a choice or an error needs
NORMAL_95 = 1.959964


def inner_folds(train: Wanted, wanted: Wanted, root: int) -> Int[np.ndarray, " conditions"]:
    """Fold of every training condition: perturbations stay whole, as they do outside.

    Only where a perturbation is to be carried to another context are its contexts held out one by one.
    """
    transfer = bool(set(train.genes) & set(wanted.genes))
    names = ["+".join(g) + (f"\x1f{c}" if transfer else "") for g, c in zip(train.genes, train.context, strict=True)]
    distinct = sorted(set(names))
    order = generator(root, "inner folds", *distinct).permutation(len(distinct))
    fold = {distinct[i]: rank % min(FOLDS, len(distinct)) for rank, i in enumerate(order)}
    return np.array([fold[name] for name in names], dtype=np.int64)


def parts(
    train: Shifts, folds: Int[np.ndarray, " conditions"]
) -> Iterator[tuple[Int[np.ndarray, " trained"], Int[np.ndarray, " held"]]]:
    """Rows to train on and rows to hold out, by fold."""
    for fold in np.unique(folds):
        yield np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)


def held_out(
    train: Shifts, folds: Int[np.ndarray, " conditions"], predict: Predictor
) -> Float[np.ndarray, "conditions genes"]:
    """Every training condition predicted from those of other folds."""
    out = np.empty_like(train.delta)
    for fit, held in parts(train, folds):
        out[held] = predict(train.take(fit), train.of.take(held))
    return out


def seen_inside(train: Shifts, folds: Int[np.ndarray, " conditions"]) -> Bool[np.ndarray, " conditions"]:
    """Whether any gene of a condition was perturbed in the other folds."""
    out = np.zeros(len(train), dtype=bool)
    for fit, held in parts(train, folds):
        out[held] = seen(train.of.take(fit), train.of.take(held))
    return out


def alike(known: Bool[np.ndarray, " conditions"], wanted: bool) -> Bool[np.ndarray, " conditions"]:  # noqa: FBT001
    """Training conditions that stand for a wanted one: as seen or unseen as it is, or all where these are too few."""
    same = known == wanted
    return same if same.sum() >= LEAST else np.ones_like(known)


def half_width(
    residual: Float[np.ndarray, "conditions genes"],
    known: Bool[np.ndarray, " conditions"],
    wanted: Bool[np.ndarray, " wanted"],
) -> Float[np.ndarray, "wanted genes"]:
    """Half of the 95 % interval of every gene: 1.96 times the root mean square of what held-out conditions are off.

    NaN where fewer than 5 conditions could be held out.
    """
    out = np.full((wanted.size, residual.shape[1]), np.nan)
    if len(residual) < LEAST:
        return out
    for kind in np.unique(wanted):
        out[wanted == kind] = NORMAL_95 * np.sqrt((residual[alike(known, bool(kind))] ** 2).mean(axis=0))
    return out


def agreement(
    predicted: Float[np.ndarray, "conditions genes"], truth: Float[np.ndarray, "conditions genes"]
) -> Float[np.ndarray, " conditions"]:
    """Pearson's correlation over genes, 0 where a side is constant: a constant prediction earns nothing."""
    a, b = (values - values.mean(axis=1, keepdims=True) for values in (predicted, truth))
    size = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.where(size > 1e-12, (a * b).sum(axis=1) / np.maximum(size, 1e-12), 0.0)
