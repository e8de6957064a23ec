"""Fit of RENGE by L-BFGS, and how much of the expression a model explains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import fmin_l_bfgs_b

from .model import Model, Shape, Terms, loss_and_gradient, terms_of
from .sums import Sums

MOST_STEPS = 3000
MOST_ALPHA, MOST_RATE = 10.0, 5.0  # bounds of alpha, and of beta and gamma
LEAST_RATE = 1e-10


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model, its loss, and the numbers of steps and of evaluations."""

    model: Model
    loss: float
    n_steps: int
    n_evaluations: int


def fit(terms: Terms, shape: Shape, start: Model | None = None) -> Fitted:
    """Minimise the loss from `start`, or from no effects; no gene acts on itself."""
    n_times, n_genes = terms.be.shape
    begin = (start or no_effects(terms)).vector()
    itself = np.arange(n_genes) * (n_genes + 1)

    def objective(vector: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = loss_and_gradient(vector, terms, shape)
        gradient[itself] = 0
        return loss, gradient

    free, last = begin.size - n_genes - 2, [(LEAST_RATE, MOST_RATE)] * 2
    bounds = [(None, None)] * free + [(-MOST_ALPHA, MOST_ALPHA)] * n_genes + last
    # not scipy.optimize.minimize, which spends as long on rewriting so many bounds as on the fit
    found, loss, facts = fmin_l_bfgs_b(objective, begin, bounds=bounds, maxiter=MOST_STEPS, maxfun=10 * MOST_STEPS)
    return Fitted(Model.of_vector(found, n_times, n_genes), float(loss), int(facts["nit"]), int(facts["funcalls"]))


def no_effects(terms: Terms) -> Model:
    """The mean expression of every time, paths that count alike early, and no effect of any gene."""
    n_genes = terms.be.shape[1]
    level = terms.be / np.maximum(terms.bb, np.finfo(float).tiny)
    return Model(np.zeros((n_genes, n_genes)), level, np.zeros(n_genes), 1.0, 0.1)


def explained(model: Model, sums: Sums, n_hops: int) -> float:
    """Share of the squared deviation from the mean of every gene that the model explains, all cells alike."""
    terms = terms_of(sums, per_time=False)
    error, _ = loss_and_gradient(model.vector(), terms, Shape(penalty=0, l1_ratio=0, n_hops=n_hops))
    n = (sums.n[:, :, None] * sums.counted).sum(axis=(0, 1))
    mean = sums.se.sum(axis=(0, 1)) / max(sums.n.sum(), 1)
    total = terms.constant + (n * mean**2 - 2 * mean * terms.be.sum(axis=0)).sum()
    return 1 - error / total
