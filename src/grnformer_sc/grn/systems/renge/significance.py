"""q-values of RENGE's effects, from fits to resampled cells."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from joblib import Parallel, delayed
from scipy.stats import false_discovery_control, norm

from ...._core.logging import progress
from ...._core.rng import generator
from ...._core.rows import Rows
from .fit import fit
from .model import Shape, terms_of
from .sums import Design, Expression, sums_of


def q_values(
    effect: Float[np.ndarray, "genes genes"], error: Float[np.ndarray, "genes genes"]
) -> Float[np.ndarray, "genes genes"]:
    """Two-sided normal p-values of effect / error, after Benjamini and Hochberg over all pairs of different genes."""
    pairs = ~np.eye(len(effect), dtype=bool)
    z = np.divide(np.abs(effect), error, out=np.zeros_like(effect), where=error > 0)
    out = np.ones_like(effect)
    out[pairs] = false_discovery_control(2 * norm.sf(z[pairs]))
    return out


def bootstrap_errors(
    counts: Rows,
    expression: Expression,
    design: Design,
    dose: Float[np.ndarray, " cells"],
    shape: Shape,
    effect: Float[np.ndarray, "genes genes"],
    *,
    n_bootstrap: int,
    root: int,
    n_jobs: int,
) -> Float[np.ndarray, "genes genes"]:
    """Standard deviation of every effect over fits to cells drawn anew within every time and knock-out.

    The perturbation of a cell is the same in all. No fit starts at the `effect` of all cells: where the loss is flat it
    would stay there, and an effect that the cells do not decide would have no error.
    """

    def once(number: int) -> Float[np.ndarray, "genes genes"]:
        copies = drawn(design.stratum, generator(root, "renge bootstrap", number))
        again = fit(terms_of(sums_of(counts, expression, design, dose, copies)), shape)
        return again.model.effect - effect

    jobs = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator")
    total, square = np.zeros_like(effect), np.zeros_like(effect)
    found = jobs(delayed(once)(number) for number in range(n_bootstrap))
    for difference in progress(found, title="renge: bootstrap", total=n_bootstrap):
        total += difference
        square += difference**2
    return np.sqrt(np.maximum(square - total**2 / n_bootstrap, 0) / (n_bootstrap - 1))


def drawn(stratum: Int[np.ndarray, " cells"], rng: np.random.Generator) -> Int[np.ndarray, " cells"]:
    """How often every cell is drawn when each stratum is drawn with replacement."""
    order = np.argsort(stratum, kind="stable")
    copies = np.zeros(stratum.size, dtype=np.int64)
    for cells in np.split(order, np.flatnonzero(np.diff(stratum[order])) + 1):
        copies[cells] = rng.multinomial(cells.size, np.full(cells.size, 1 / cells.size))
    return copies
