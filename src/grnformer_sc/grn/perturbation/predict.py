"""Predicted changes with their errors: by one rule, or by a recipe that validation chose."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float

from .bilinear import Space
from .blend import Ingredients, Recipe, Step, choose
from .blend import predict as put_together
from .shifts import Predictor, Shifts, Wanted, seen
from .validation import alike, half_width, held_out, inner_folds, seen_inside


@dataclass(frozen=True, slots=True)
class Choice:
    """What validation chose for conditions of which some gene was perturbed in training, or none was."""

    seen: bool
    recipe: Recipe
    steps: list[Step]
    n_judged: int
    uses_network: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """Predicted change of every wanted condition, half of its 95 % interval, whether its genes were seen, and choices."""

    delta: Float[np.ndarray, "conditions genes"]
    half: Float[np.ndarray, "conditions genes"]
    seen: Bool[np.ndarray, " conditions"]
    choices: list[Choice]


def by_rule(rule: Predictor, train: Shifts, wanted: Wanted, root: int) -> Outcome:
    """Predict by one rule; errors come from training conditions that are held out."""
    folds, own = inner_folds(train.of, wanted, root), seen(train.of, wanted)
    if folds.max() == 0:
        return Outcome(rule(train, wanted), np.full((len(wanted), train.delta.shape[1]), np.nan), own, [])
    residual = held_out(train, folds, rule) - train.delta
    return Outcome(rule(train, wanted), half_width(residual, seen_inside(train, folds), own), own, [])


def by_blend(ingredients: Ingredients, train: Shifts, wanted: Wanted, root: int) -> Outcome:
    """Predict by a recipe chosen inside the training conditions, one for seen and one for unseen genes."""
    folds, own = inner_folds(train.of, wanted, root), seen(train.of, wanted)
    shape = len(wanted), train.delta.shape[1]
    delta, half, choices = np.empty(shape), np.full(shape, np.nan), []
    alone = folds.max() == 0  # one perturbation: nothing can be held out
    known = np.zeros(len(train), dtype=bool) if alone else seen_inside(train, folds)
    space = Space.of(train)
    for kind in np.unique(own):
        rows = np.flatnonzero(own == kind)
        judged = np.zeros(len(train), dtype=bool) if alone else alike(known, bool(kind))
        recipe, steps = choose(train, folds, judged, ingredients)
        delta[rows] = put_together(recipe, space, wanted.take(rows), ingredients)
        if not alone:
            rule = partial(_rule, recipe, ingredients)
            residual = (held_out(train, folds, rule) - train.delta)[judged]
            half[rows] = half_width(residual, np.zeros(len(residual), dtype=bool), np.zeros(rows.size, dtype=bool))
        choices.append(Choice(bool(kind), recipe, steps, int(judged.sum()), ingredients.uses_network(recipe)))
    return Outcome(delta, half, own, choices)


def _rule(recipe: Recipe, ingredients: Ingredients, train: Shifts, wanted: Wanted) -> np.ndarray:
    return put_together(recipe, Space.of(train), wanted, ingredients)
