"""Reference cells on a line: three of type 0 at 0 and three of type 1 at 10; counts and bits known by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from grnformer_sc.grn import mapping
from grnformer_sc.grn.mapping import Atlas, MapRules, shares, surprise

SCORES = np.array([[-0.1], [0.0], [0.1], [9.9], [10.0], [10.1]], dtype=np.float32)
COUNTS = sp.csr_matrix(np.array([[8, 2, 0]] * 3 + [[2, 8, 0]] * 3, dtype=np.float32))
BITS = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0], [0, 1, 1], [0, 0, 1], [0, 1, 1]], dtype=bool)
KEPT = np.array([[1, 1, 0], [0, 1, 1]], dtype=bool)
CODES = np.array([0, 0, 0, 1, 1, 1])
NEIGHBOUR, TYPE, NONE = 0, 1, 2
LIKE_THE_FIRST, UNLIKE_ALL = [8, 2, 0], [0, 1, 9]


def atlas(**rules):
    return Atlas.fit(COUNTS, SCORES, sp.csr_matrix(BITS), CODES, KEPT, MapRules(**{"k": 2, "cut": 1.0, **rules}))


def mapped(place, counts=LIKE_THE_FIRST, known=-1, **rules):
    cell = sp.csr_matrix(np.array([counts], dtype=np.float32))
    return atlas(**rules).map(cell, np.array([[place]], dtype=np.float32), np.array([known]))


def test_surprise_is_the_mean_of_minus_log_p_over_molecules():
    rates = np.array([0.5, 0.4, 0.1])
    cell = sp.csr_matrix(np.array([[3, 0, 1]], dtype=np.float32))
    p = (np.array([0.8, 0.2, 0]) + np.array([0.2, 0.8, 0]) + rates) / 3
    expected = -(3 * np.log(p[0]) + np.log(p[2])) / 4
    assert surprise(cell, np.array([[0, 5]]), shares(COUNTS), rates)[0] == pytest.approx(expected)


def test_the_cut_is_what_reference_cells_surprise_each_other(monkeypatch):
    found = atlas()
    rates = np.array([30, 30, 0.5]) / 60.5
    p = (2 * np.array([0.8, 0.2, 0]) + rates) / 3
    assert found.cut == pytest.approx(-(0.8 * np.log(p[0]) + 0.2 * np.log(p[1])))
    monkeypatch.setattr(mapping, "CUT_CELLS", 2)  # every third cell: one of each type
    assert atlas().cut == pytest.approx(found.cut)


def test_near_cells_get_the_bits_of_most_neighbours():
    out = mapped(0.02, k=3)
    assert (out.codes[0], out.origin[0], out.agreement[0]) == (0, NEIGHBOUR, 1)
    np.testing.assert_array_equal(out.bits.toarray()[0], [True, False, False])
    assert out.unanimity[0] == 0.5  # all agree on the first eRegulon, two of three on the second


def test_half_of_the_neighbours_is_not_most():
    out = mapped(9.94, [2, 8, 0])
    np.testing.assert_array_equal(out.bits.toarray()[0], [False, False, True])  # 1 and 2 votes of 2


def test_far_cells_get_the_network_of_their_type():
    out = mapped(0.0, UNLIKE_ALL)
    assert (out.codes[0], out.origin[0]) == (0, TYPE)
    np.testing.assert_array_equal(out.bits.toarray()[0], KEPT[0])
    assert out.distance[0] > 1


def test_far_cells_whose_type_is_not_clear_get_nothing():
    out = mapped(5.0, UNLIKE_ALL, k=6, min_agreement=0.6)
    assert (out.codes[0], out.origin[0], out.agreement[0]) == (-1, NONE, 0.5)
    assert out.bits.nnz == 0


def test_without_a_cut_no_cell_is_far():
    out = mapped(5.0, UNLIKE_ALL, cut=None, k=1)
    assert out.origin[0] == NEIGHBOUR
    assert out.distance[0] > 1


def test_a_known_type_is_believed():
    far = mapped(5.0, UNLIKE_ALL, known=1, k=6, min_agreement=1.0)
    assert (far.codes[0], far.origin[0], far.agreement[0]) == (1, TYPE, 0.5)
    contradicted = mapped(0.02, known=1)  # near, but none of the neighbours is of that type
    assert (contradicted.codes[0], contradicted.origin[0], contradicted.agreement[0]) == (1, TYPE, 0)
    np.testing.assert_array_equal(contradicted.bits.toarray()[0], KEPT[1])


@pytest.mark.parametrize("rules", [{"k": 0}, {"cut": 1.2}, {"cut": float("nan")}, {"min_agreement": -0.1}])
def test_rules_out_of_range_are_named(rules):
    with pytest.raises(ValueError, match=f"^{next(iter(rules))} must"):
        MapRules(**rules)
