"""The search behind the graph of cells: exact where groups are small, list by list where they are large."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from grnformer_sc.grn import overlap
from grnformer_sc.grn.overlap import OverlapGraph, overlap_graph

K = 15


def cells_in_states(n_cells: int, n_groups: int, n_states: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Bits, groups and shared edges: every state has its own probability of each of 60 eRegulons."""
    rng = np.random.default_rng(seed)
    share = rng.uniform(0.02, 0.6, (n_states, 60)) ** 2
    active = rng.random((n_cells, 60)) < share[rng.integers(0, n_states, n_cells)]
    active[:, 0] = True  # no cell without edges
    own = rng.integers(10, 500, (n_groups, 60))
    counts = np.minimum(own[:, None], own[None]) - 5.0 * (1 - np.eye(n_groups)[:, :, None])
    return active, rng.integers(0, n_groups, n_cells), counts


def jaccard(active: np.ndarray, shared: np.ndarray) -> np.ndarray:
    """All overlaps inside one group, the slow way; a cell does not meet itself."""
    common = (active * shared) @ active.T.astype(float)
    size = common.diagonal()
    out = common / (size[:, None] + size - common)
    np.fill_diagonal(out, -1)
    return out


def recall(graph: OverlapGraph, active: np.ndarray, shared: np.ndarray, k: int) -> float:
    """Share of neighbours at least as close as the k-th closest cell."""
    exact = jaccard(active, shared)
    least = np.sort(exact, axis=1)[:, -k]
    found = graph.connectivities.tocoo()
    good = exact[found.row, found.col] >= least[found.row] - 1e-9
    return np.minimum(np.bincount(found.row[good], minlength=least.size), k).mean() / k


def assert_same(a: OverlapGraph, b: OverlapGraph) -> None:
    assert a.n_empty == b.n_empty
    for x, y in ((a.connectivities, b.connectivities), (a.distances, b.distances)):
        np.testing.assert_array_equal(x.indptr, y.indptr)
        np.testing.assert_array_equal(x.indices, y.indices)
        assert x.data.tobytes() == y.data.tobytes()


@pytest.fixture(params=["all", "lists"])
def regime(request, monkeypatch) -> str:
    """Both ways to search: everyone with everyone, or list by list."""
    if request.param == "lists":
        monkeypatch.setattr(overlap, "COMPARED", 150)
    return request.param


def test_small_groups_are_searched_in_full():
    active, codes, counts = cells_in_states(400, 2, 5)
    graph = overlap_graph(active, codes, counts, n_neighbors=K).connectivities
    for group in range(2):
        inside = np.flatnonzero(codes == group)
        exact = np.sort(jaccard(active[inside], counts[group, group]), axis=1)[:, ::-1]
        found = np.sort(graph[inside][:, inside].toarray(), axis=1)[:, ::-1]
        np.testing.assert_allclose(found[:, : K - 1], exact[:, : K - 1], rtol=1e-6)


def test_lists_find_nearly_all_neighbours_with_a_fifth_of_the_work(monkeypatch):
    monkeypatch.setattr(overlap, "COMPARED", 600)
    active, codes, counts = cells_in_states(3000, 1, 20)
    graph = overlap_graph(active, codes, counts, n_neighbors=K)
    assert recall(graph, active, counts[0, 0], K - 1) >= 0.9


def test_lists_that_are_all_asked_give_the_exact_graph(monkeypatch):
    data = cells_in_states(900, 1, 8)
    exact = overlap_graph(*data)
    monkeypatch.setattr(overlap, "COMPARED", np.unique(data[0], axis=0).shape[0] - 1)
    assert_same(exact, overlap_graph(*data))


@pytest.mark.usefixtures("regime")
def test_neither_threads_nor_the_cut_change_a_bit(monkeypatch):
    data = cells_in_states(900, 2, 8)
    first = overlap_graph(*data, n_jobs=1)
    assert_same(first, overlap_graph(*data, n_jobs=2))
    monkeypatch.setattr(overlap, "BLOCK", 61)
    assert_same(first, overlap_graph(*data, n_jobs=2))


@pytest.mark.usefixtures("regime")
def test_shuffled_cells_have_the_same_neighbours():
    active, codes, counts = cells_in_states(900, 2, 8)
    _, first = np.unique(np.column_stack([codes, active]), axis=0, return_index=True)  # cells of one code take turns
    active, codes = active[first], codes[first]
    order = np.random.default_rng(1).permutation(codes.size)
    graph = overlap_graph(active, codes, counts).connectivities
    shuffled = overlap_graph(active[order], codes[order], counts).connectivities
    assert (graph[order][:, order] != shuffled).nnz == 0


@pytest.mark.usefixtures("regime")
@pytest.mark.parametrize(
    "scale", [2.0**-7, 2.0**16]
)  # powers of two are exact: fractions, and sums too large for float32
def test_only_ratios_of_edge_counts_matter(scale):
    active, codes, counts = cells_in_states(700, 2, 8)
    assert_same(overlap_graph(active, codes, counts), overlap_graph(active, codes, counts * scale))


@pytest.mark.parametrize("n_groups", [2, 3])
def test_links_across_groups_are_the_closest_representatives(n_groups, monkeypatch):
    monkeypatch.setattr(overlap, "REPRESENTATIVES", 1000)  # all codes stand for their group
    active, codes, counts = cells_in_states(150, n_groups, 4)
    found = overlap_graph(active, codes, counts).connectivities.toarray()
    size = np.einsum("cr,cr->c", active, counts[codes, codes])
    common = np.einsum("ir,ijr,jr->ij", active, counts[codes[:, None], codes[None]], active, optimize=True)
    exact = common / (size[:, None] + size - common)
    other = codes[:, None] != codes[None]
    best = np.sort(np.where(other, exact, 0), axis=1)[:, -2:]
    np.testing.assert_allclose(np.sort(np.where(other, found, 0), axis=1)[:, -2:], best, rtol=1e-6)


def test_no_cell_with_edges_leaves_an_empty_graph():
    graph = overlap_graph(np.zeros((7, 3), dtype=bool), np.arange(7) % 2, np.ones((2, 2, 3)))
    assert isinstance(graph.connectivities, sp.csr_matrix)
    assert (graph.n_empty, graph.connectivities.nnz, graph.distances.nnz) == (7, 0, 0)
