"""The response model: y = mean + b_d + b_l + u_d . v_l + f(z_l, g_d), from given settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np
from jaxtyping import Bool, Float

from .factors import factorise, offsets
from .kernels import SharedRidge, mixed

FIRST_PENALTY = 10.0  # of the factors, before one is chosen


@dataclass(frozen=True, slots=True)
class Similarity:
    """What is known of lines and drugs beside their responses.

    Attributes
    ----------
    lines
        Kernels of lines, one per representation; none for models without features.
    drugs
        Kernel of drugs, or None where drugs are names.
    """

    lines: tuple[Float[np.ndarray, "lines lines"], ...] = ()
    drugs: Float[np.ndarray, "drugs drugs"] | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """Settings of the model.

    Attributes
    ----------
    rank, penalty
        Of the factors.
    prior
        Ridge by which features foretell the factors of seen lines; 0: their factors are drawn to 0 instead.
    weights
        Weights of the kernels of lines.
    ridge, own
        Penalty of the regression for unseen lines; share of the residuals of the factors in its targets (the term f).
    drug_ridge
        Penalty of the regression for unseen drugs.
    """

    rank: int = 10
    penalty: float = FIRST_PENALTY
    prior: float = 0.0
    weights: tuple[float, ...] = field(default=())
    ridge: float = 1.0
    own: float = 1.0
    drug_ridge: float = 1.0


def predict(
    y: Float[np.ndarray, "lines drugs"],
    known: Bool[np.ndarray, "lines drugs"],
    similar: Similarity,
    choice: Choice,
    *,
    n_steps: int | None = None,
) -> Float[np.ndarray, "lines drugs"]:
    """Predictions of all pairs from the known ones.

    Seen lines and drugs: offsets and factors. An unseen line: one kernel ridge regression of the completed table, that
    is of `b_l` and `v_l` (the regression is linear in them), plus `own` times the residuals of measured values. An unseen
    drug: the same over drugs.
    """
    lines, drugs = np.asarray(known.any(axis=1)), np.asarray(known.any(axis=0))
    block = np.ix_(lines, drugs)
    values, have = np.where(known, y, 0.0)[block], known[block]
    kernel = mixed(similar.lines, choice.weights) if similar.lines else None
    steps = {} if n_steps is None else {"n_steps": n_steps}
    smooth = None
    if kernel is not None and choice.prior > 0:
        seen = SharedRidge.on(kernel[np.ix_(lines, lines)], np.ones(int(lines.sum()), dtype=bool))
        smooth = partial(seen.predict, penalty=choice.prior)
    found = factorise(values, have, rank=choice.rank, penalty=choice.penalty, smooth=smooth, **steps)
    filled = found.matrix()
    out = (
        np.tile(found.mean + found.drugs, (y.shape[0], 1))
        if kernel is None
        else np.zeros((y.shape[0], filled.shape[1]))
    )
    if kernel is not None and not lines.all():
        targets = filled + choice.own * np.where(have, values - filled, 0.0)
        out = SharedRidge.on(kernel, lines).predict(targets, choice.ridge)
    out[lines] = filled
    return all_drugs(out, drugs, similar.drugs, choice.drug_ridge)


def all_drugs(
    table: Float[np.ndarray, "lines seen"],
    seen: Bool[np.ndarray, " drugs"],
    kernel: Float[np.ndarray, "drugs drugs"] | None,
    penalty: float,
) -> Float[np.ndarray, "lines drugs"]:
    """Add the columns of unseen drugs: from similar drugs, or the mean of the line."""
    out = np.empty((table.shape[0], seen.size))
    if not seen.all():
        out[:] = table.mean(axis=1)[:, None]
        if kernel is not None:
            out = SharedRidge.on(kernel, seen).predict(table.T, penalty).T
    out[:, seen] = table
    return out


def means(
    y: Float[np.ndarray, "lines drugs"], known: Bool[np.ndarray, "lines drugs"], *, of: str
) -> Float[np.ndarray, "lines drugs"]:
    """Mean of the drug or of the line, the overall mean where there is none; or both offsets."""
    if of == "offsets":
        return offsets(y, known).matrix()
    if of == "line_mean":
        return means(y.T, known.T, of="drug_mean").T
    mean = y[known].mean()
    number = known.sum(axis=0)
    total = np.where(known, y - mean, 0.0).sum(axis=0)
    return np.tile(mean + total / np.maximum(number, 1), (y.shape[0], 1))
