from __future__ import annotations

import numpy as np
import pytest

from grnformer_sc.metrics._counts import deviance_of
from grnformer_sc.model.evaluation import DevianceSum


def test_deviance_equals_scikit_learns():
    from sklearn.metrics import mean_poisson_deviance

    rng = np.random.default_rng(0)
    mu = rng.gamma(1, 1, 500)
    y = rng.poisson(mu).astype(float)
    assert deviance_of(y, mu).mean() == pytest.approx(mean_poisson_deviance(y, mu))


def test_batches_add_up_to_the_mean_over_all_counts():
    rng = np.random.default_rng(0)
    y, a, b = rng.poisson(1.0, 50).astype(float), rng.gamma(2, 1, 50), np.ones(50)
    total = DevianceSum()
    for part in (slice(0, 8), slice(8, 50)):
        total.add(y[part], {"a": a[part], "b": b[part]})
    table = total.table()
    assert table.loc["a", "deviance"] == pytest.approx(deviance_of(y, a).mean())
    assert table.loc["b", "deviance"] == pytest.approx(deviance_of(y, b).mean())
    assert (table["n_counts"] == 50).all()
