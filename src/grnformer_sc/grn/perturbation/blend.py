"""A baseline, and beside it only what validation inside the training perturbations asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import TypeAlias

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from .bilinear import Similarity, Space, bilinear, likeness, ridge_weights
from .shifts import BASELINES, Shifts, Wanted, mean_shift
from .validation import LEAST, agreement, parts

PENALTIES = (0.1, 0.3, 1.0, 3.0)  # ridge, in units of the mean diagonal of the Gram matrix
RANKS = (5, 20)
WEIGHTS = (0.5, 1.0)  # of the ridge beside the baseline
AMOUNTS = (0.25, 0.5, 1.0)  # of a pattern, added
ERRORS = 1.0  # standard errors by which a step must help
SAME = 1e-9  # difference of mean correlations that is none


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a prediction is put together: (1 - weight) * baseline + weight * ridge + amount * pattern."""

    base: str
    genes: str = ""
    penalty: float = 0.0
    rank: int = 0
    weight: float = 0.0
    pattern: str = ""
    amount: float = 0.0


@dataclass(frozen=True, slots=True)
class Ingredients:
    """What may be put beside a baseline.

    Attributes
    ----------
    genes
        Similarities of perturbed genes by name, those that know the network among them.
    patterns
        Changes that need no training, by name: of the perturbed gene itself, or carried along links.
    network
        Names of those of both that use the network.
    """

    genes: Mapping[str, Similarity]
    patterns: Mapping[str, Callable[[Wanted], np.ndarray]]
    network: frozenset[str]

    def uses_network(self, recipe: Recipe) -> bool:
        """Whether anything of a recipe comes from the network."""
        return bool({recipe.genes, recipe.pattern} & self.network)


@dataclass(frozen=True, slots=True)
class Step:
    """One decision: the best candidate of a step, its mean gain in correlation with its error, and whether it was taken."""

    name: str
    candidate: Recipe
    gain: float
    error: float
    taken: bool


def predict(
    recipe: Recipe, space: Space, wanted: Wanted, ingredients: Ingredients
) -> Float[np.ndarray, "conditions genes"]:
    """Put a prediction together."""
    out = BASELINES[recipe.base](space.train, wanted)
    if recipe.weight:
        chosen = ingredients.genes[recipe.genes]
        out = (1 - recipe.weight) * out + recipe.weight * bilinear(
            space, wanted, genes=chosen, penalty=recipe.penalty, rank=recipe.rank
        )
    if recipe.amount:
        out = out + recipe.amount * ingredients.patterns[recipe.pattern](wanted)
    return out


@dataclass(frozen=True, slots=True)
class Inside:
    """Folds of the training conditions, and the held-out conditions that a choice is judged by, in the order of folds."""

    train: Shifts
    folds: list[tuple[Space, np.ndarray, np.ndarray]]  # components; rows trained on; rows held out
    ingredients: Ingredients

    @property
    def truth(self) -> Float[np.ndarray, "judged genes"]:
        """Measured changes."""
        return self.train.delta[np.concatenate([held for _, _, held in self.folds])]

    def by_perturbation(self, values: Float[np.ndarray, " judged"]) -> Float[np.ndarray, " perturbations"]:
        """Mean over the contexts of every perturbation, which are no independent items."""
        genes = [self.train.of.genes[row] for _, _, held in self.folds for row in held]
        return pd.Series(values).groupby(pd.factorize(pd.Series(genes))[0]).mean().to_numpy()

    def found(self, recipe: Recipe) -> Float[np.ndarray, "judged genes"]:
        """Predicted changes."""
        return np.concatenate(
            [predict(recipe, space, self.train.of.take(held), self.ingredients) for space, _, held in self.folds]
        )

    def ridges(self, name: str) -> Iterator[tuple[float, int, Float[np.ndarray, "judged genes"]]]:
        """Penalty, rank, and what the ridge alone predicts; the same numbers as `predict`, with shared work."""
        k = likeness(self.ingredients.genes[name], self.train.of, self.train.of)
        weights = [ridge_weights(k[np.ix_(fit, fit)], k[np.ix_(held, fit)], PENALTIES) for _, fit, held in self.folds]
        means = [mean_shift(space.train, self.train.of.take(held)) for space, _, held in self.folds]
        for (number, penalty), rank in product(enumerate(PENALTIES), RANKS):
            yield penalty, rank, np.concatenate([
                mean + own[number] @ space.scores[:, :rank] @ space.axes[:rank]
                for (space, _, _), own, mean in zip(self.folds, weights, means, strict=True)
            ])  # fmt: skip


def choose(
    train: Shifts,
    folds: Int[np.ndarray, " conditions"],
    judged: Bool[np.ndarray, " conditions"],
    ingredients: Ingredients,
) -> tuple[Recipe, list[Step]]:
    """Choose a recipe by the correlation of predicted and measured changes of training conditions that are held out.

    Steps: the best baseline (equal correlation: the smaller squared error); a ridge on what needs no network; the change of
    the perturbed gene itself; a ridge that knows the network; changes carried along its links. Each is taken only when it
    helps by more than one standard error of the mean difference over perturbations (contexts of one are averaged), so that a
    step that adds nothing is left out.
    """
    if judged.sum() < LEAST:
        return Recipe("mean"), []
    cut = [(fit, held[judged[held]]) for fit, held in parts(train, folds)]
    inside = Inside(train, [(Space.of(train.take(fit)), fit, held) for fit, held in cut if held.size], ingredients)
    truth = inside.truth
    best = _baseline(inside, truth)
    own, steps = agreement(inside.found(best), truth), []
    for name, candidates in _steps(inside):
        scored = [(recipe, agreement(predicted, truth)) for recipe, predicted in candidates(best)]
        if not scored:
            continue
        winner, score = max(scored, key=lambda pair: float(pair[1].mean()))
        gain = inside.by_perturbation(score - own)
        error = float(gain.std(ddof=1) / np.sqrt(gain.size)) if gain.size > 1 else np.inf
        taken = float(gain.mean()) > max(ERRORS * error, SAME)
        steps.append(Step(name, winner, float(gain.mean()), error, taken))
        if taken:
            best, own = winner, score
    return best, steps


def _baseline(inside: Inside, truth: Float[np.ndarray, "judged genes"]) -> Recipe:
    rated = []
    for name in BASELINES:
        predicted = inside.found(Recipe(name))
        rated.append((float(agreement(predicted, truth).mean()), -float(((predicted - truth) ** 2).mean()), name))
    most = max(rating[0] for rating in rated)
    return Recipe(max((r for r in rated if r[0] > most - SAME), key=lambda r: r[1])[2])


Candidates: TypeAlias = Callable[[Recipe], Iterator[tuple[Recipe, np.ndarray]]]


def _steps(inside: Inside) -> Iterator[tuple[str, Candidates]]:
    known, network = inside.ingredients, inside.ingredients.network
    for uses, word in ((False, "without network"), (True, "with network")):
        genes = [name for name in known.genes if (name in network) == uses]
        patterns = [name for name in known.patterns if (name in network) == uses]
        yield f"ridge {word}", partial(_ridges, inside, genes)
        yield f"pattern {word}", partial(_patterns, inside, patterns)


def _ridges(inside: Inside, genes: list[str], now: Recipe) -> Iterator[tuple[Recipe, np.ndarray]]:
    """Every similarity, penalty, rank and weight, in place of the ridge that a recipe has."""
    base = inside.found(replace(now, weight=0.0, amount=0.0))
    pattern = inside.found(replace(now, weight=0.0)) - base
    for name in genes:
        for penalty, rank, alone in inside.ridges(name):
            for weight in WEIGHTS:
                recipe = replace(now, genes=name, penalty=penalty, rank=rank, weight=weight)
                yield recipe, (1 - weight) * base + weight * alone + pattern


def _patterns(inside: Inside, names: list[str], now: Recipe) -> Iterator[tuple[Recipe, np.ndarray]]:
    """Every pattern and amount, in place of the pattern that a recipe has."""
    plain = inside.found(replace(now, pattern="", amount=0.0))
    for name in names:
        own = np.concatenate(
            [inside.ingredients.patterns[name](inside.train.of.take(held)) for _, _, held in inside.folds]
        )
        for amount in AMOUNTS:
            yield replace(now, pattern=name, amount=amount), plain + amount * own
