"""Boosting as SCENIC+ (region -> gene) and GRNBoost2 (TF -> gene) do it, on the scikit-learn of our own environment."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.ensemble import GradientBoostingRegressor

SCENICPLUS = {"learning_rate": 0.01, "n_estimators": 500, "max_features": 0.1}
GRNBOOST2 = {"learning_rate": 0.01, "n_estimators": 5000, "max_features": 0.1, "subsample": 0.9}
STOP_WINDOW = 25


class EarlyStop:
    """Stop when the mean out-of-bag improvement of the last 25 trees is negative (as arboreto does)."""

    def __call__(self, i: int, model: GradientBoostingRegressor, _: Any) -> bool:
        if i < STOP_WINDOW - 1:
            return False
        return bool(np.mean(model.oob_improvement_[i - STOP_WINDOW + 1 : i + 1]) < 0)


def region_gene(x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    """Importances of the regions of one gene."""
    return GradientBoostingRegressor(**SCENICPLUS, random_state=seed).fit(x, y).feature_importances_


def tf_gene(x: np.ndarray, y: np.ndarray, seed: int) -> tuple[np.ndarray, int]:
    """Importances of the TFs of one gene, and the number of trees."""
    model = GradientBoostingRegressor(**GRNBOOST2, random_state=seed).fit(x, y, monitor=EarlyStop())
    return model.feature_importances_ * model.n_estimators_, model.n_estimators_
