"""Measured changes of perturbations, and the predictions that need no model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int

Genes: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Conditions to predict: the genes that are perturbed, and a code of the context."""

    genes: tuple[Genes, ...]
    context: Int[np.ndarray, " conditions"]

    def __len__(self) -> int:
        return len(self.genes)

    def take(self, rows: Int[np.ndarray, " some"]) -> Wanted:
        """Some of the conditions."""
        return Wanted(tuple(self.genes[row] for row in rows), self.context[rows])


@dataclass(frozen=True, slots=True)
class Shifts:
    """Conditions and what they change: mean log expression minus that of the control cells of the context."""

    of: Wanted
    delta: Float[np.ndarray, "conditions genes"]

    def __len__(self) -> int:
        return len(self.of)

    def take(self, rows: Int[np.ndarray, " some"]) -> Shifts:
        """Some of the conditions."""
        return Shifts(self.of.take(rows), self.delta[rows])


# training conditions, conditions to predict -> their change
Predictor: TypeAlias = Callable[[Shifts, Wanted], np.ndarray]


def no_change(train: Shifts, wanted: Wanted) -> Float[np.ndarray, "conditions genes"]:
    """Nothing changes."""
    return np.zeros((len(wanted), train.delta.shape[1]))


def mean_shift(train: Shifts, wanted: Wanted) -> Float[np.ndarray, "conditions genes"]:
    """Mean over the training perturbations of the context; of all contexts where it has none."""
    out = np.empty((len(wanted), train.delta.shape[1]))
    for context in np.unique(wanted.context):
        own = train.of.context == context
        out[wanted.context == context] = train.delta[own if own.any() else slice(None)].mean(axis=0)
    return out


def matching_mean(train: Shifts, wanted: Wanted) -> Float[np.ndarray, "conditions genes"]:
    """Mean of the changes of the single genes, the mean change for genes that were not perturbed alone."""
    return _from_parts(train, wanted, np.mean)


def additive(train: Shifts, wanted: Wanted) -> Float[np.ndarray, "conditions genes"]:
    """Sum of the changes of the single genes, the mean change for genes that were not perturbed alone."""
    return _from_parts(train, wanted, np.sum)


BASELINES: dict[str, Predictor] = {
    "no_change": no_change, "mean": mean_shift, "matching_mean": matching_mean, "additive": additive,
}  # fmt: skip


def seen(train: Wanted, wanted: Wanted) -> Bool[np.ndarray, " conditions"]:
    """Whether any gene of a condition was perturbed in training."""
    known = {gene for genes in train.genes for gene in genes}
    return np.array([bool(known.intersection(genes)) for genes in wanted.genes], dtype=bool)


def _from_parts(
    train: Shifts, wanted: Wanted, join: Callable[..., np.ndarray]
) -> Float[np.ndarray, "conditions genes"]:
    """Changes of the same perturbation in other contexts where there are any, else of its genes, joined."""
    rows: dict[Genes, list[int]] = {}
    for row, genes in enumerate(train.of.genes):
        rows.setdefault(genes, []).append(row)
    out = mean_shift(train, wanted)

    def own(genes: Genes, context: int) -> np.ndarray | None:
        found = np.array(rows.get(genes, ()), dtype=np.int64)
        if not found.size:
            return None
        here = found[train.of.context[found] == context]
        return train.delta[here if here.size else found].mean(axis=0)

    for i, (genes, context) in enumerate(zip(wanted.genes, wanted.context.tolist(), strict=True)):
        whole = own(genes, context)
        if whole is not None:
            out[i] = whole
            continue
        parts = [own((gene,), context) for gene in genes]
        out[i] = join([out[i] if part is None else part for part in parts], axis=0)
    return out


def incidence(conditions: Iterable[Genes], names: dict[str, int]) -> Float[np.ndarray, "conditions genes"]:
    """1 where a gene is perturbed."""
    listed = list(conditions)
    out = np.zeros((len(listed), len(names)))
    for row, genes in enumerate(listed):
        out[row, [names[gene] for gene in genes]] = 1
    return out
