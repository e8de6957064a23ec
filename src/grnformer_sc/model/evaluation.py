"""Held-out error of masked counts, beside two baselines that know no network."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..metrics._counts import deviance_of


class DevianceSum:
    """Mean deviance of several predictors over the same masked counts, added up batch by batch."""

    def __init__(self) -> None:
        self.total: dict[str, float] = {}
        self.n_counts = 0

    def add(self, counts: np.ndarray, expected: dict[str, np.ndarray]) -> None:
        """Add the masked counts of a batch and what each predictor expected."""
        self.n_counts += counts.size
        for name, value in expected.items():
            deviance = deviance_of(counts.astype(np.float64), value.astype(np.float64)).sum()
            self.total[name] = self.total.get(name, 0.0) + float(deviance)

    def table(self) -> pd.DataFrame:
        """One row per predictor: `deviance` (mean per masked count) and `n_counts`."""
        mean = np.array(list(self.total.values())) / max(self.n_counts, 1)
        return pd.DataFrame({"deviance": mean, "n_counts": self.n_counts}, index=pd.Index(self.total, name="predictor"))
