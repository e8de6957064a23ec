"""Rows of the regressions: how many, which cells, and whose neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grnformer_sc.grn.pooling import RowPlan, cells_by_seed, neighbour_pools, plan_rows, sample_cells


@pytest.mark.parametrize(
    ("n_cells", "depth", "expected"),
    [
        (400, 500.0, RowPlan(400, 1, 0)), (50_000, 500.0, RowPlan(3000, 1, 0)), (400, 499.0, RowPlan(400, 20, 400)),
        (2000, 90.0, RowPlan(1000, 44, 2000)), (10**6, 90.0, RowPlan(1000, 100, 5000)), (60, 0.0, RowPlan(60, 100, 60)),
    ],
)  # fmt: skip
def test_deep_cells_stay_single_and_shallow_ones_are_pooled(n_cells, depth, expected):
    assert plan_rows(n_cells, depth) == expected


@given(st.lists(st.integers(1, 60), min_size=1, max_size=5), st.integers(1, 80), st.integers(0, 99))
def test_every_group_is_drawn_from_by_its_size(sizes, n, seed):
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    share = np.array(sizes) / sum(sizes) * max(n, len(sizes))
    for drawn in (sample_cells(codes, n, rng), cells_by_seed(codes, n, seeds_of(codes.size, rng))):
        assert (np.diff(drawn) > 0).all()
        found = np.bincount(codes[drawn], minlength=len(sizes))
        assert (found >= np.minimum(np.maximum(np.floor(share - 1e-9), 1), sizes)).all()
        assert (found <= np.maximum(np.ceil(share + 1e-9), 1)).all()


def seeds_of(n_cells, rng):
    return rng.integers(2**64, size=n_cells, dtype=np.uint64)


@given(st.integers(1, 80), st.integers(0, 99))
def test_seeds_draw_the_same_cells_in_any_order_and_keep_them_when_others_leave(n, seed):
    rng = np.random.default_rng(seed)
    codes, seeds, order = np.zeros(60, dtype=np.int64), seeds_of(60, rng), rng.permutation(60)
    drawn = cells_by_seed(codes, n, seeds)
    assert set(order[cells_by_seed(codes, n, seeds[order])]) == set(drawn)
    stay = np.sort(order[:45])
    of_fewer = stay[cells_by_seed(codes[stay], n, seeds[stay])]
    assert set(drawn) & set(stay) <= set(of_fewer)


@pytest.mark.parametrize("k", [1, 4, 50])
def test_a_pool_holds_the_nearest_cells_of_its_group(k):
    rng = np.random.default_rng(0)
    embedding, codes = rng.normal(size=(60, 3)), rng.integers(0, 3, 60)
    centres = np.sort(rng.permutation(60)[:20])
    found = neighbour_pools(embedding, codes, centres, k).toarray()
    distance = np.linalg.norm(embedding[centres][:, None] - embedding[None], axis=2)
    distance[codes[centres][:, None] != codes[None]] = np.inf
    for row in range(20):
        size = min(k, int(np.isfinite(distance[row]).sum()))
        assert set(np.flatnonzero(found[row])) == set(np.argsort(distance[row])[:size])
        assert found[row, centres[row]] == 1
