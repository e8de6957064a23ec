"""Poisson deviance equals scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import mean_poisson_deviance

import grnformer_sc as grs


def test_equal_to_sklearn_with_zeros():
    rng = np.random.default_rng(0)
    counts, rate = rng.poisson(0.4, (30, 20)).astype(np.float32), rng.gamma(1, 0.4, (30, 20)) + 1e-6
    want = mean_poisson_deviance(counts.ravel(), rate.ravel())
    assert grs.metrics.poisson_deviance(counts, rate) == pytest.approx(want, rel=1e-10)


def test_zero_for_the_counts_themselves_and_smallest_at_their_mean():
    counts = np.array([1.0, 2.0, 6.0])
    assert grs.metrics.poisson_deviance(counts, counts) == pytest.approx(0, abs=1e-12)
    at = {m: grs.metrics.poisson_deviance(counts, np.full(3, m)) for m in (2.5, 3.0, 3.5)}
    assert min(at, key=at.get) == 3.0


@pytest.mark.parametrize(
    ("counts", "rate", "text"),
    [
        ([1.0], [1.0, 2.0], "same shape"),
        ([1.0], [0.0], "rates above 0"),
        ([-1.0], [1.0], "at least 0"),
        ([1.0], [np.nan], "above 0"),
    ],
)
def test_bad_input_is_named(counts, rate, text):
    with pytest.raises(ValueError, match=text):
        grs.metrics.poisson_deviance(np.array(counts), np.array(rate))
