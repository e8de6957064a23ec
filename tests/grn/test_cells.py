"""What cell types keep, pooled accessibility, and the graph of cells."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.spatial.distance import jensenshannon

from grnformer_sc.grn.groups import group_means, group_shares, group_table, open_regions, specificity
from grnformer_sc.grn.overlap import overlap_graph
from grnformer_sc.grn.pooling import FRAGMENTS, MOST_NEIGHBOURS, pooling_matrix

RNG = np.random.default_rng(0)


def test_specificity_equals_one_minus_the_jensen_shannon_distance():
    auc, codes = RNG.random((40, 5)), RNG.integers(0, 3, 40)
    found = specificity(auc, codes, 3)
    for group in range(3):
        member = (codes == group) / (codes == group).sum()
        for r in range(5):
            expected = 1 - jensenshannon(auc[:, r] / auc[:, r].sum(), member, base=2)
            assert found[group, r] == pytest.approx(expected, abs=1e-9)


def test_an_eregulon_that_marks_a_group_is_most_specific_there():
    codes = np.repeat([0, 1], 20)
    auc = np.where(codes == 1, 0.5, 0.0)[:, None] + 1e-6
    assert specificity(auc, codes, 2)[:, 0].argmax() == 1
    assert specificity(np.zeros((40, 1)), codes, 2).max() == 0


def test_group_shares_are_means_of_the_bits():
    bits, codes = RNG.random((50, 6)) < 0.3, RNG.integers(0, 4, 50)
    expected = np.stack([bits[codes == g].mean(axis=0) for g in range(4)])
    np.testing.assert_allclose(group_means(bits, codes, 4), expected)
    np.testing.assert_allclose(group_shares(sp.csr_matrix(bits * 3.0), codes, 4), expected)


def test_a_group_keeps_what_is_active_and_whose_tf_is_detected():
    codes = np.repeat([0, 1], 50)
    above = np.zeros((100, 3), dtype=bool)
    above[:5, 0] = True  # 10 % of group 0
    above[:4, 1] = True  # 8 %
    above[:, 2] = True
    detected = np.array([[0.05, 1, 0.049], [1, 1, 1]])
    table = group_table(above.astype(np.float32), above, detected, codes, ["a", "b"], ["r0", "r1", "r2"])
    assert table["kept"].tolist() == [True, False, False, False, False, True]
    assert table["active_fraction"].iloc[0] == pytest.approx(0.1)


def test_a_region_is_open_in_three_cells_or_one_percent():
    codes = np.repeat([0, 1], [50, 1000])
    counts = np.zeros((1050, 3), dtype=np.float32)
    counts[:3, 0] = 1
    counts[50:59, 1] = 1
    counts[50:60, 2] = 2
    found = open_regions(sp.csr_matrix(counts), codes, 2)
    assert found.tolist() == [[True, False, False], [False, False, True]]


def test_pools_start_with_the_cell_and_stop_when_deep_enough():
    depth = RNG.integers(20, 400, 300).astype(float)
    pools, size = pooling_matrix(depth, RNG.normal(size=(300, 4)), n_jobs=1)
    assert (pools.diagonal() == 1).all()
    np.testing.assert_array_equal(np.diff(pools.indptr), size)
    total = pools @ depth
    full = size == MOST_NEIGHBOURS
    assert (total[~full] >= FRAGMENTS).all()
    nearest_last = np.array([depth[pools.indices[pools.indptr[i + 1] - 1]] for i in range(300)])
    assert (total - nearest_last)[~full].max() < FRAGMENTS


def test_identical_cells_are_pooled_with_themselves():
    pools, size = pooling_matrix(np.full(250, 5.0), np.zeros((250, 2)), n_jobs=1)
    assert (pools.diagonal() == 1).all()
    assert (size == MOST_NEIGHBOURS).all()


def edge_sets(active: np.ndarray, codes: np.ndarray, holds: np.ndarray, owner: np.ndarray) -> list[set[int]]:
    return [set(np.flatnonzero(active[i][owner] & holds[:, codes[i]])) for i in range(codes.size)]


@pytest.fixture(scope="module")
def cells() -> dict:
    rng = np.random.default_rng(3)
    owner = rng.integers(0, 8, 120)
    holds = rng.random((120, 3)) < 0.6
    active, codes = rng.random((90, 8)) < 0.4, np.sort(rng.integers(0, 3, 90))
    active[:4] = False
    counts = np.stack(
        [[np.bincount(owner[holds[:, a] & holds[:, b]], minlength=8) for b in range(3)] for a in range(3)]
    )
    return {
        "active": active,
        "codes": codes,
        "counts": counts.astype(float),
        "sets": edge_sets(active, codes, holds, owner),
    }


def test_overlap_is_the_jaccard_index_of_the_edge_sets(cells):
    graph = overlap_graph(cells["active"], cells["codes"], cells["counts"], n_neighbors=5)
    rows, cols = graph.connectivities.nonzero()
    sets = cells["sets"]
    for i, j in zip(rows, cols, strict=True):
        expected = len(sets[i] & sets[j]) / len(sets[i] | sets[j])
        assert graph.connectivities[i, j] == pytest.approx(expected, abs=1e-6)
        assert graph.distances[i, j] == pytest.approx(max(1 - expected, 1e-6), abs=1e-6)


def test_every_cell_with_edges_finds_its_best_neighbour_in_its_group(cells):
    graph = overlap_graph(cells["active"], cells["codes"], cells["counts"], n_neighbors=5).connectivities
    sets, codes = cells["sets"], cells["codes"]
    for i in np.flatnonzero([bool(s) for s in sets]):
        others = [j for j in np.flatnonzero(codes == codes[i]) if j != i and sets[j]]
        best = max(len(sets[i] & sets[j]) / len(sets[i] | sets[j]) for j in others)
        same = graph[[i]].toarray().ravel()[codes == codes[i]]
        assert same.max() == pytest.approx(best, abs=1e-6)


def test_cells_without_edges_have_no_neighbours_and_are_counted(cells):
    graph = overlap_graph(cells["active"], cells["codes"], cells["counts"])
    empty = np.array([not s for s in cells["sets"]])
    assert graph.n_empty == empty.sum() >= 4
    assert (np.diff(graph.connectivities.indptr)[empty] == 0).all()
    assert (abs(graph.connectivities - graph.connectivities.T)).max() == 0


def test_groups_are_linked_across(cells):
    graph = overlap_graph(cells["active"], cells["codes"], cells["counts"]).connectivities.tocoo()
    assert (cells["codes"][graph.row] != cells["codes"][graph.col]).any()


def test_many_cells_of_one_code_share_their_links():
    active = np.ones((400, 3), dtype=bool)
    graph = overlap_graph(active, np.zeros(400, dtype=int), np.ones((1, 1, 3)), n_neighbors=10).connectivities
    degree = np.diff(graph.indptr)
    assert degree.min() >= 10
    assert degree.max() <= 30
