"""How sure a mean is."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float

from .._core.checks import fail, need_between
from .._core.rng import RngLike, as_root, generator


def bootstrap_mean(
    values: Float[np.ndarray, " items"] | pd.Series, *, n_draws: int = 1000, level: float = 0.95, rng: RngLike = 0
) -> pd.Series:
    """Mean of a figure over items (TFs, genes, donors), with the interval from drawing these items with replacement.

    Parameters
    ----------
    values
        One number per item; NaN are left out.
    n_draws
        Draws.
    level
        Share of the draws inside the interval.
    rng
        Seed or generator.

    Returns
    -------
    Series `mean`, `low`, `high`, `n` (items); the interval is NaN for fewer than two items.

    Raises
    ------
    ValueError
        There is no number, or `level` is not between 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> import grnformer_sc as grs
    >>> grs.metrics.bootstrap_mean(np.array([1.0, 1.0, 1.0])).tolist()
    [1.0, 1.0, 1.0, 3.0]
    """
    need_between(level, 0, 1, name="level")
    need_between(n_draws, 1, 10_000_000, name="n_draws")
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    if not known.size:
        raise fail(ValueError, "a mean needs at least one number.", "none.", "check which items could be judged.")
    low = high = float("nan")
    if known.size > 1:
        draws = generator(as_root(rng), "bootstrap").integers(known.size, size=(n_draws, known.size))
        low, high = np.quantile(known[draws].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return pd.Series({"mean": known.mean(), "low": low, "high": high, "n": float(known.size)})
