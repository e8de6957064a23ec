from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from grnformer_sc.grn.coexpression import coexpression_partners


@pytest.fixture
def values():
    rng = np.random.default_rng(0)
    factor = rng.random((90, 3))
    x = rng.poisson(factor @ rng.gamma(1, 1, (3, 40))).astype(np.float32)
    x[:, 11] = 0
    return np.log1p(x)


def test_partners_equal_numpys_correlations(values):
    codes = np.repeat([0, 1, 2], [40, 45, 5])
    tfs = np.array([3, 8, 11])
    table = coexpression_partners(sp.csr_matrix(values), codes, 3, tfs, top=6)
    for group, inside in enumerate([codes == 0, codes == 1, codes >= 0]):  # the third is too small: all cells
        with np.errstate(invalid="ignore", divide="ignore"):
            r = np.nan_to_num(np.corrcoef(values[inside].T))
        np.fill_diagonal(r, 0)
        for tf in (3, 8):
            rows = (table.group == group) & (table.tf == tf)
            assert list(table.gene[rows]) == list(np.argsort(-np.abs(r[tf]), kind="stable")[:6])
            np.testing.assert_allclose(table.r[rows], r[tf, table.gene[rows]], rtol=1e-5, atol=1e-6)
    assert 11 not in table.tf  # constant
    assert 11 not in table.gene


def test_no_tfs_no_partners(values):
    assert coexpression_partners(sp.csr_matrix(values), np.zeros(90, int), 1, np.empty(0, int)).tf.size == 0
