"""Metacells are balanced, stay inside their group, and keep every count."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from grnformer_sc.grn.metacells import assign_metacells, median_depth, metacell_count, pool


@pytest.mark.parametrize(
    ("n_cells", "depth", "expected"),
    [
        (60, 9, 60),
        (2142, 83, 214),
        (2142, 900, 2142),
        (5000, 83, 500),
        (8000, 9000, 500),
        (20_000, 1, 1000),
        (10**6, 1, 1500),
    ],
)
def test_number_of_metacells_follows_the_rule(n_cells, depth, expected):
    assert metacell_count(n_cells, float(depth)) == expected


def test_depth_is_that_of_the_sparser_modality():
    deep, shallow = np.full(3, 20.0), np.ones(3)
    assert median_depth(deep, None) == 20
    assert median_depth(deep, shallow) == 1


@settings(max_examples=25, deadline=None)
@given(n_cells=st.integers(5, 200), n_groups=st.integers(1, 4), n_metacells=st.integers(4, 40), seed=st.integers(0, 99))
def test_groups_are_not_mixed_and_sizes_are_balanced(n_cells, n_groups, n_metacells, seed):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, n_groups, n_cells)
    assigned = assign_metacells(rng.normal(size=(n_cells, 3)), codes, n_metacells=n_metacells)
    assert np.array_equal(np.unique(assigned), np.arange(assigned.max() + 1))
    for metacell in range(assigned.max() + 1):
        assert np.unique(codes[assigned == metacell]).size == 1
    for group in np.unique(codes):
        size = np.unique(assigned[codes == group], return_counts=True)[1]
        assert size.max() - size.min() <= np.ceil(np.log2(size.size + 1))


def test_similar_cells_are_pooled():
    rng = np.random.default_rng(0)
    place = np.repeat(np.array([[0.0, 0], [10, 0], [0, 10], [10, 10]]), 25, axis=0)
    assigned = assign_metacells(place + rng.normal(0, 0.1, (100, 2)), np.zeros(100, dtype=np.int64), n_metacells=4)
    for cluster in range(4):
        assert np.unique(assigned[25 * cluster : 25 * cluster + 25]).size == 1


def test_pooling_sums_the_counts():
    x = sp.random(30, 8, 0.3, format="csr", random_state=0, dtype=np.float32)
    assigned = np.arange(30) % 4
    expected = np.stack([x.toarray()[assigned == m].sum(axis=0) for m in range(4)])
    np.testing.assert_allclose(pool(x, assigned).toarray(), expected, rtol=1e-6)
