from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from grnformer_sc.grn import neighbours
from grnformer_sc.grn.neighbours import bit_shares, group_votes, nearest


@pytest.fixture
def points():
    rng = np.random.default_rng(0)
    return rng.normal(3, 1, (40, 5)).astype(np.float32), rng.normal(3, 1, (90, 5)).astype(np.float32)


def test_neighbours_equal_a_brute_force_search(points):
    query, reference = points
    index, distance = nearest(query, reference, 7)
    slow = np.linalg.norm(query[:, None].astype(float) - reference[None].astype(float), axis=2)
    np.testing.assert_array_equal(index, np.argsort(slow, axis=1)[:, :7])
    np.testing.assert_allclose(distance, np.sort(slow, axis=1)[:, :7])


def test_a_row_does_not_find_itself_where_it_may_not(points):
    reference = points[1]
    itself = np.arange(90)
    assert (nearest(reference, reference, 1)[0].ravel() == itself).all()
    found = nearest(reference, reference, 89, itself=itself)[0]
    assert not (found == itself[:, None]).any()
    itself[5:] = -1
    mixed = nearest(reference, reference, 1, itself=itself)[0].ravel()
    assert (mixed[5:] == np.arange(5, 90)).all()
    assert (mixed[:5] != np.arange(5)).all()


def test_of_equals_the_first_row_is_taken():
    reference = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    index, distance = nearest(np.eye(3, dtype=np.float32), reference, 3)
    np.testing.assert_array_equal(index, [[0, 1, 2], [4, 5, 6], [8, 9, 10]])
    assert (distance == 0).all()


@pytest.mark.parametrize("block", [1, 500, 2**20])
def test_a_row_finds_the_same_in_any_block(points, block, monkeypatch):
    whole = nearest(*points, 7)
    monkeypatch.setattr(neighbours, "BLOCK", block)
    parts = nearest(*points, 7)
    assert whole[0].tobytes() == parts[0].tobytes()
    assert whole[1].tobytes() == parts[1].tobytes()


@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_shares_and_votes_equal_a_loop(k, seed):
    rng = np.random.default_rng(seed)
    bits = rng.random((12, 4)) < 0.4
    found, codes = rng.integers(0, 12, (9, k)), rng.integers(-1, 3, 12)
    shares, votes = bit_shares(found, sp.csr_matrix(bits)), group_votes(found, codes, 3)
    for cell, rows in enumerate(found):
        np.testing.assert_allclose(shares[cell], bits[rows].mean(axis=0), rtol=1e-6)
        np.testing.assert_array_equal(votes[cell], [(codes[rows] == group).sum() for group in range(3)])
