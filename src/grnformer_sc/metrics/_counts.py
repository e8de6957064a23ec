"""Fit of predicted rates to counts."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from .._core.checks import fail


def poisson_deviance(counts: Float[np.ndarray, " n"], rate: Float[np.ndarray, " n"]) -> float:
    """Mean Poisson deviance of counts (zeros included) given predicted rates; 0 is a perfect fit.

    ``2 (y log(y / rate) - y + rate)``, the scale-free error of count predictions.

    Parameters
    ----------
    counts
        Observed counts.
    rate
        Predicted rates, larger than 0.

    Returns
    -------
    Mean deviance.

    Raises
    ------
    ValueError
        A rate is not positive, or the shapes differ.

    Examples
    --------
    >>> import numpy as np
    >>> import grnformer_sc as grs
    >>> round(grs.metrics.poisson_deviance(np.array([0.0, 2.0]), np.array([1.0, 2.0])), 6)
    1.0
    """
    y, mu = np.asarray(counts, dtype=np.float64), np.asarray(rate, dtype=np.float64)
    if y.shape != mu.shape or not (mu > 0).all():
        raise fail(
            ValueError, "rates must be positive and as many as counts.",
            f"{y.shape} counts, {mu.shape} rates, {int((mu <= 0).sum())} not positive.", "check the predictions.",
        )  # fmt: skip
    log = np.log(np.divide(y, mu, out=np.ones_like(y), where=y > 0))
    return float(2 * np.mean(y * log - y + mu))
