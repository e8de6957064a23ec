"""Held-out error of masked counts, beside two baselines that know no network."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float


def poisson_deviance(
    counts: Float[np.ndarray, " entries"], expected: Float[np.ndarray, " entries"]
) -> Float[np.ndarray, " entries"]:
    """Poisson deviance of each count: 2 (y log(y / mu) - (y - mu)), with y log y = 0 at y = 0."""
    log_ratio = np.log(np.where(counts > 0, counts, 1.0)) - np.log(expected)
    return 2 * (np.where(counts > 0, counts * log_ratio, 0.0) - (counts - expected))


class DevianceSum:
    """Mean deviance of several predictors over the same masked counts, added up batch by batch."""

    def __init__(self) -> None:
        self.total: dict[str, float] = {}
        self.n_counts = 0

    def add(self, counts: np.ndarray, expected: dict[str, np.ndarray]) -> None:
        """Add the masked counts of a batch and what each predictor expected."""
        self.n_counts += counts.size
        for name, value in expected.items():
            deviance = poisson_deviance(counts.astype(np.float64), value.astype(np.float64)).sum()
            self.total[name] = self.total.get(name, 0.0) + float(deviance)

    def table(self) -> pd.DataFrame:
        """One row per predictor: `deviance` (mean per masked count) and `n_counts`."""
        mean = np.array(list(self.total.values())) / max(self.n_counts, 1)
        return pd.DataFrame({"deviance": mean, "n_counts": self.n_counts}, index=pd.Index(self.total, name="predictor"))
