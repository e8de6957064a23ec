"""Ridge from similarities of perturbed genes to changes in a space of few dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from .shifts import Shifts, Wanted, incidence, mean_shift

TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Similarity:
    """Inner products of the features of perturbed genes; 0 for genes without features."""

    names: dict[str, int]
    gram: Float[np.ndarray, "genes genes"]

    def __add__(self, other: Similarity) -> Similarity:
        return Similarity(self.names, self.gram + other.gram)


@dataclass(frozen=True, slots=True)
class Space:
    """Principal components of the training changes, once for all penalties and ranks."""

    train: Shifts
    scores: Float[np.ndarray, "conditions comps"]
    axes: Float[np.ndarray, "comps genes"]

    @classmethod
    def of(cls, train: Shifts) -> Space:
        """Components of the changes around the mean of the context."""
        left, values, right = np.linalg.svd(train.delta - mean_shift(train, train.of), full_matrices=False)
        return cls(train, left * values, right)


def similarity(names: list[str], features: Float[np.ndarray, "genes features"] | sp.csr_matrix) -> Similarity:
    """Cosine of the features of every two genes; 0 where a gene has none."""
    gram = np.asarray(
        (features @ features.T).todense() if sp.issparse(features) else features @ features.T, dtype=float
    )
    length = np.sqrt(np.diag(gram))
    inverse = np.divide(1, length, out=np.zeros_like(length), where=length > TINY)
    return Similarity({name: i for i, name in enumerate(names)}, gram * inverse[:, None] * inverse)


def likeness(genes: Similarity, one: Wanted, other: Wanted) -> Float[np.ndarray, "one other"]:
    """Inner products of the features of conditions, those of a condition being the sum of those of its genes."""
    return incidence(one.genes, genes.names) @ genes.gram @ incidence(other.genes, genes.names).T


def ridge_weights(
    own: Float[np.ndarray, "training training"], cross: Float[np.ndarray, "wanted training"], penalties: Sequence[float]
) -> list[Float[np.ndarray, "wanted training"]]:
    """How much every training condition counts in the prediction of a wanted one, beside the mean, for each penalty.

    With K = `own` and k = `cross` after features were centred on the training conditions: k (K + penalty * mean diagonal
    of K * I)^-1; nothing counts where all training conditions are alike.
    """
    means = own.mean(axis=0)
    k = own - means - means[:, None] + means.mean()
    values, axes = np.linalg.eigh(k)
    size = float(np.trace(k)) / len(k)
    if size < TINY:
        return [np.zeros_like(cross) for _ in penalties]
    seen = (cross - cross.mean(axis=1, keepdims=True) - means + means.mean()) @ axes
    return [seen / (np.maximum(values, 0) + penalty * size) @ axes.T for penalty in penalties]


def bilinear(
    space: Space, wanted: Wanted, *, genes: Similarity, penalty: float, rank: int
) -> Float[np.ndarray, "conditions genes"]:
    """Predict Y = mean + G W P' (Ahlmann-Eltze, Huber and Anders 2025), with ridge on W.

    P (genes x rank) are the principal components of the training changes, G the features of a perturbation: the sum of
    those of its genes. Features are never held, only their inner products.
    """
    own, cross = (likeness(genes, part, space.train.of) for part in (space.train.of, wanted))
    (weights,) = ridge_weights(own, cross, (penalty,))
    return mean_shift(space.train, wanted) + weights @ space.scores[:, :rank] @ space.axes[:rank]


def linear_baseline(
    train: Shifts,
    wanted: Wanted,
    *,
    names: dict[str, int],
    place: Int[np.ndarray, " perturbed"],
    rank: int = 10,
    penalty: float = 0.1,
) -> Float[np.ndarray, "conditions genes"]:
    """Predict with G and P from the training changes alone, as in the linear baseline of Ahlmann-Eltze et al.

    G are the rows of the principal components times their singular values at the perturbed genes (`place` among the
    measured genes, -1: not measured, no features); the penalty is absolute. A perturbation whose genes are not measured
    gets the mean.
    """
    space = Space.of(train)
    scores, axes = space.scores[:, :rank], space.axes[:rank]
    features = np.zeros((len(names), len(axes)))
    features[place >= 0] = (axes.T * np.linalg.norm(scores, axis=0))[place[place >= 0]]
    own, other = (incidence(part.genes, names) @ features for part in (train.of, wanted))
    coefficients = np.linalg.solve(own.T @ own + penalty * np.eye(len(axes)), own.T @ scores)
    return mean_shift(train, wanted) + other @ coefficients @ axes
