"""AUC thresholds against those of pySCENIC, where they are deterministic.

Its dip test is not Hartigan's (own p-values, another statistic), and its mixtures start at random, so modes and mixtures
may differ; mean + 2 sd (tests/grn/test_thresholds.py) and the trough between given means may not.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import gaussian_kde
from sklearn.mixture import GaussianMixture

from grnformer_sc.grn.thresholds import troughs

SETS = (("cortex", "05"), ("papalexi", "05"))


def load(golden: Path, name: str, top: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """AUC, thresholds, and whether the threshold is that of one mode."""
    stored = np.load(golden / "aucell" / f"{name}.npz")
    one_mode = next(key for key in stored if "unimodal" in key and key.endswith(top))
    auc = stored[f"pyscenic_thr{top}_seeds"][0].astype(np.float64)
    return auc, stored[f"pyscenic_binarize_threshold_thr{top}"], stored[one_mode].astype(bool)


@pytest.mark.golden
@pytest.mark.parametrize(("name", "top"), SETS)
def test_the_trough_between_given_means_is_equal_or_deeper(golden_dir: Path, name: str, top: str) -> None:
    auc, expected, one_mode = load(golden_dir, name, top)
    x, expected = auc[:, ~one_mode], expected[~one_mode]
    fits = [GaussianMixture(2, random_state=123).fit(column[:, None]).means_.ravel() for column in x.T]
    found = troughs(x, np.sort(np.array(fits).T, axis=0))
    equal = np.abs(found - expected) < 1e-3
    assert equal.mean() > 0.8
    for column in np.flatnonzero(~equal):  # a minimiser that stops at a local minimum
        density = gaussian_kde(x[:, column])
        assert density(found[column]) <= density(expected[column])
