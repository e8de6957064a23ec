"""How well predicted changes of perturbations agree with measured ones."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist

from .._core.checks import fail, need_between

TOP = 20  # genes with the largest measured change
FLAT = 1e-12  # relative size below which a side is constant


def delta_correlation(
    predicted: Float[np.ndarray, "perturbations genes"],
    truth: Float[np.ndarray, "perturbations genes"],
    *,
    reference: Float[np.ndarray, "perturbations genes"] | float = 0.0,
    top: int | None = None,
) -> Float[np.ndarray, " perturbations"]:
    """Correlate predicted and measured changes over genes, for each perturbation.

    The correlation (PCC-delta) is that of `predicted - reference` with `truth - reference`. It says nothing of how large
    the changes are, and the mean of other perturbations scores well on it where all perturbations share a response; the mean
    of the training perturbations as reference takes that response away (Systema, Viñas Torné et al. 2025). A reference must
    not hold what is tested: against the mean of all perturbations a leave-one-out mean scores exactly -1.

    Parameters
    ----------
    predicted, truth
        Changes against control cells, one row per perturbation.
    reference
        What is taken away from both; 0 keeps the change against control cells.
    top
        Only the genes with the largest measured change (`truth - reference`) of each perturbation, such as 20; all by
        default.

    Returns
    -------
    One number per perturbation; NaN where a side is the same for all genes.

    Raises
    ------
    ValueError
        Shapes do not fit, values are missing, or `top` is below 2.

    Examples
    --------
    >>> import numpy as np, grnformer_sc as grs
    >>> truth = np.array([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]])
    >>> grs.metrics.delta_correlation(2 * truth, truth).round(3).tolist()
    [1.0, 1.0]
    """
    _need_alike(predicted, truth)
    p, t = predicted - reference, truth - reference
    if top is not None:
        need_between(top, 2, 10_000_000, name="top")
        first = _first(t, top)
        p, t = np.take_along_axis(p, first, axis=1), np.take_along_axis(t, first, axis=1)
    return _correlation(p, t)


def delta_error(
    predicted: Float[np.ndarray, "perturbations genes"],
    truth: Float[np.ndarray, "perturbations genes"],
    *,
    top: int | None = None,
) -> Float[np.ndarray, " perturbations"]:
    """Average the squared error of predicted changes over genes, for each perturbation.

    Parameters
    ----------
    predicted, truth
        Changes against control cells, one row per perturbation.
    top
        Only the genes with the largest measured change of each perturbation; all by default.

    Returns
    -------
    One number per perturbation, in squared units of the changes.

    Raises
    ------
    ValueError
        Shapes do not fit, values are missing, or `top` is below 1.

    Examples
    --------
    >>> import numpy as np, grnformer_sc as grs
    >>> grs.metrics.delta_error(np.zeros((1, 4)), np.array([[0.0, 0.0, 1.0, 3.0]]), top=2).tolist()
    [5.0]
    """
    _need_alike(predicted, truth)
    squared = (predicted - truth) ** 2
    if top is not None:
        need_between(top, 1, 10_000_000, name="top")
        squared = np.take_along_axis(squared, _first(truth, top), axis=1)
    return squared.mean(axis=1)


def centroid_accuracy(
    predicted: Float[np.ndarray, "perturbations genes"], truth: Float[np.ndarray, "perturbations genes"]
) -> Float[np.ndarray, " perturbations"]:
    """Share of the other perturbations whose measured change is farther from a prediction than its own (Systema).

    Euclidean distance; equal distances count half, so that the same prediction for all perturbations has .5. Rows
    must have been held out together: a prediction that learnt from one of the others is nearer to it.

    Parameters
    ----------
    predicted, truth
        Changes against control cells, one row per perturbation.

    Returns
    -------
    One number per perturbation, 1 is best, .5 chance; NaN for a single perturbation.

    Raises
    ------
    ValueError
        Shapes do not fit, or values are missing.

    Examples
    --------
    >>> import numpy as np, grnformer_sc as grs
    >>> truth = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> grs.metrics.centroid_accuracy(truth, truth).tolist()
    [1.0, 1.0]
    """
    _need_alike(predicted, truth)
    return 1 - _n_nearer(cdist(predicted, truth)) / max(len(truth) - 1, 1)


def rank_score(
    predicted: Float[np.ndarray, "perturbations genes"], truth: Float[np.ndarray, "perturbations genes"]
) -> Float[np.ndarray, " perturbations"]:
    """Share of the other predictions that are nearer to a measured change than its own prediction (rank of PerturBench).

    Euclidean distance; equal distances count half. Rows must have been held out together.

    Parameters
    ----------
    predicted, truth
        Changes against control cells, one row per perturbation.

    Returns
    -------
    One number per perturbation, 0 is best, .5 chance; NaN for a single perturbation.

    Raises
    ------
    ValueError
        Shapes do not fit, or values are missing.

    Examples
    --------
    >>> import numpy as np, grnformer_sc as grs
    >>> truth = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> grs.metrics.rank_score(truth[::-1], truth).tolist()
    [1.0, 1.0]
    """
    _need_alike(predicted, truth)
    return _n_nearer(cdist(truth, predicted)) / max(len(truth) - 1, 1)


def discrimination_score(
    predicted: Float[np.ndarray, "perturbations genes"],
    truth: Float[np.ndarray, "perturbations genes"],
    *,
    excluded: np.ndarray | None = None,
) -> Float[np.ndarray, " perturbations"]:
    """1 - rank / n of the own measured change among all n, by L1 distance from a prediction (Virtual Cell Challenge).

    The perturbed genes are left out, so that knowing the target is not enough. Equal distances count half. Rows must have
    been held out together.

    Parameters
    ----------
    predicted, truth
        Changes against control cells, one row per perturbation.
    excluded
        Boolean perturbations x genes: genes that do not count for a perturbation (its targets).

    Returns
    -------
    One number per perturbation, 1 is best; NaN for a single perturbation.

    Raises
    ------
    ValueError
        Shapes do not fit, or values are missing.

    Examples
    --------
    >>> import numpy as np, grnformer_sc as grs
    >>> truth = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> grs.metrics.discrimination_score(truth, truth, excluded=np.zeros((2, 2), dtype=bool)).tolist()
    [1.0, 1.0]
    """
    _need_alike(predicted, truth)
    counts = np.ones(truth.shape, dtype=bool) if excluded is None else ~excluded
    distance = np.array([np.abs(truth[:, own] - p[own]).sum(axis=1) for p, own in zip(predicted, counts, strict=True)])
    return 1 - _n_nearer(distance.reshape(len(truth), len(truth))) / max(len(truth), 1)


def energy_distance(x: Float[np.ndarray, "cells genes"], y: Float[np.ndarray, "others genes"]) -> float:
    """Energy distance of two samples of cells: twice their mean Euclidean distance minus the mean distances within each.

    Within a sample a cell is not compared with itself, so that the estimate is not biased.

    Parameters
    ----------
    x, y
        Cells of either sample in rows.

    Returns
    -------
    The distance: 0 in the mean for samples of one distribution (the estimate may be below); NaN for a sample of one cell.

    Raises
    ------
    ValueError
        The samples have other genes, or values are missing.

    Examples
    --------
    >>> import numpy as np, grnformer_sc as grs
    >>> grs.metrics.energy_distance(np.array([[0.0], [0.0]]), np.array([[3.0], [3.0]]))
    6.0
    """
    if x.shape[1] != y.shape[1]:
        raise fail(ValueError, "both samples need the same genes.", f"{x.shape[1]} and {y.shape[1]}.", "select them.")
    _need_known(x, y)
    n, m = len(x), len(y)
    if min(n, m) < 2:
        return float("nan")
    within = (cdist(s, s).sum() / (k * (k - 1)) for s, k in ((x, n), (y, m)))
    return float(2 * cdist(x, y).mean() - sum(within))


def _n_nearer(distance: Float[np.ndarray, "rows rows"]) -> Float[np.ndarray, " rows"]:
    """How many other columns have a smaller distance than that on the diagonal, equal ones half; NaN without others."""
    own = np.diag(distance)[:, None]
    if len(own) < 2:
        return np.full(len(own), np.nan)
    return (distance < own).sum(axis=1) + ((distance == own).sum(axis=1) - 1) / 2


def _first(truth: Float[np.ndarray, "perturbations genes"], top: int) -> np.ndarray:
    return np.argsort(-np.abs(truth), axis=1, kind="stable")[:, :top]


def _correlation(
    p: Float[np.ndarray, "perturbations genes"], t: Float[np.ndarray, "perturbations genes"]
) -> Float[np.ndarray, " perturbations"]:
    centred = [values - values.mean(axis=1, keepdims=True) for values in (p, t)]
    size = [np.linalg.norm(values, axis=1) for values in centred]
    flat = [s <= FLAT * (1 + np.abs(v).max(axis=1, initial=0)) for s, v in zip(size, (p, t), strict=True)]
    known = ~(flat[0] | flat[1])
    product = (centred[0] * centred[1]).sum(axis=1)
    return np.divide(product, size[0] * size[1], out=np.full(len(p), np.nan), where=known)


def _need_alike(predicted: np.ndarray, truth: np.ndarray) -> None:
    if predicted.shape != truth.shape:
        raise fail(
            ValueError, "predicted and measured changes need the same shape.", f"{predicted.shape} and {truth.shape}.",
            "give one row per perturbation and one column per gene in both.",
        )  # fmt: skip
    _need_known(predicted, truth)


def _need_known(*arrays: np.ndarray) -> None:
    missing = sum(int((~np.isfinite(values)).sum()) for values in arrays)
    if missing:
        raise fail(
            ValueError, "all values must be finite.", f"{missing} NaN or infinite.", "leave these rows or genes out.",
        )  # fmt: skip
