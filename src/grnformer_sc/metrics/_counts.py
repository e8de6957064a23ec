"""How well predicted rates explain counts."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.special import xlogy

from .._core.checks import fail


def poisson_deviance(counts: Float[np.ndarray, "*counts"], rate: Float[np.ndarray, "*rates"]) -> float:
    """Mean Poisson deviance 2 (y log(y / mu) - y + mu) of counts, zeros included.

    Parameters
    ----------
    counts
        Counts, at least 0.
    rate
        Predicted means of the same shape, above 0.

    Returns
    -------
    A number, 0 for a perfect prediction.

    Raises
    ------
    ValueError
        The shapes differ, a count is negative, or a rate is not above 0.

    Examples
    --------
    >>> import numpy as np
    >>> import grnformer_sc as grs
    >>> grs.metrics.poisson_deviance(np.array([0.0, 2.0]), np.array([1.0, 2.0]))
    1.0
    """
    y, mu = np.asarray(counts, dtype=np.float64), np.asarray(rate, dtype=np.float64)
    if y.shape != mu.shape or not y.size:
        raise fail(
            ValueError, "counts and rates need the same shape.", f"{y.shape} and {mu.shape}.", "pair them one to one."
        )
    if not (np.isfinite(y).all() and (y >= 0).all() and np.isfinite(mu).all() and (mu > 0).all()):
        raise fail(
            ValueError, "counts must be at least 0 and rates above 0.", f"minima {y.min():.4g} and {mu.min():.4g}.",
            "clip the rates to a small positive number.",
        )  # fmt: skip
    return float(deviance_of(y, mu).mean())


def deviance_of(y: Float[np.ndarray, "*counts"], mu: Float[np.ndarray, "*counts"]) -> Float[np.ndarray, "*counts"]:
    """Poisson deviance of each count, without checks."""
    return 2 * (xlogy(y, y) - xlogy(y, mu) - y + mu)
