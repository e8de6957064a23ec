"""Cells compared by their networks: a sparse neighbour graph of the Jaccard overlap of active edge sets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int

CHUNK = 1024
N_NEIGHBORS = 15  # inside the group
ACROSS = 2  # links per cell to cells of other groups
REPRESENTATIVES = 256  # codes per group that stand for it in links across groups


@dataclass(frozen=True, slots=True)
class OverlapGraph:
    """Symmetric neighbour graph; cells without an active edge have no neighbours."""

    connectivities: sp.csr_matrix
    distances: sp.csr_matrix
    n_empty: int


def overlap_graph(
    active: Bool[np.ndarray, "cells eregulons"],
    codes: Int[np.ndarray, " cells"],
    edge_counts: Float[np.ndarray, "groups groups eregulons"],
    *,
    n_neighbors: int = N_NEIGHBORS,
) -> OverlapGraph:
    """Connect every cell to the cells with the most similar active edges.

    The Jaccard overlap of two edge sets is exact: an eRegulon that is active in both cells shares the edges that hold in
    both groups. Identical codes are searched once, then spread over their cells; neighbours come from the cell's own
    group, plus two links per cell to the closest codes that stand for the other groups.

    Parameters
    ----------
    active
        Bits of the cells.
    codes
        Group of every cell.
    edge_counts
        Number of edges of each eRegulon that hold in both of two groups (diagonal: in one group).
    n_neighbors
        Neighbours per cell inside its group.
    """
    table = np.column_stack([codes.astype(np.int64), np.packbits(active, axis=1).astype(np.int64)])
    _, first, code_of = np.unique(table, axis=0, return_index=True, return_inverse=True)
    bits, group = active[first].astype(np.float64), codes[first]
    code_of = code_of.ravel()
    cells_of = _cells_by_code(code_of, first.size)
    size = np.einsum("cr,cr->c", bits, edge_counts[group, group])
    parts: tuple[list[np.ndarray], ...] = ([], [], [])  # rows, columns, values
    for own in map(int, np.unique(group)):
        inside = np.flatnonzero((group == own) & (size > 0))
        found = _nearest(bits, size, inside, inside, edge_counts[own, own], n_neighbors)
        for part, new in zip(parts, _spread(*found, cells_of, n_neighbors), strict=True):
            part.append(new)
        across = _across(bits, size, group, own, edge_counts, np.bincount(code_of, minlength=first.size))
        for part, new in zip(parts, _spread(*across, cells_of, ACROSS), strict=True):
            part.append(new)
    shape = active.shape[0], active.shape[0]
    graph = sp.csr_matrix(
        (np.concatenate(parts[2]), (np.concatenate(parts[0]), np.concatenate(parts[1]))), shape, dtype=np.float32
    )
    graph.setdiag(0)
    graph.eliminate_zeros()
    graph = graph.maximum(graph.T).tocsr()
    distances = graph.copy()
    distances.data = np.maximum(1 - graph.data, np.float32(1e-6))  # explicit zeros would be read as "no link"
    return OverlapGraph(graph, distances, int((size[code_of] == 0).sum()))


def _cells_by_code(code_of: np.ndarray, n_codes: int) -> sp.csr_matrix:
    order = np.argsort(code_of, kind="stable")
    indptr = np.r_[0, np.cumsum(np.bincount(code_of, minlength=n_codes))]
    return sp.csr_matrix((np.ones(code_of.size), order, indptr), (n_codes, code_of.size))


def _jaccard(bits: np.ndarray, size: np.ndarray, left: np.ndarray, right: np.ndarray, shared: np.ndarray) -> np.ndarray:
    common = (bits[left] * shared) @ bits[right].T
    return common / np.maximum(size[left][:, None] + size[right][None, :] - common, 1e-12)


def _nearest(
    bits: np.ndarray, size: np.ndarray, left: np.ndarray, right: np.ndarray, shared: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The k codes of `right` with the largest overlap for each code of `left`: (left, right, overlap)."""
    if not left.size or not right.size:
        return np.empty(0, int), np.empty(0, int), np.empty(0)
    k = min(k, right.size)
    best, overlap = np.empty((left.size, k), dtype=int), np.empty((left.size, k))
    for a in range(0, left.size, CHUNK):
        block = _jaccard(bits, size, left[a : a + CHUNK], right, shared)
        top = np.argsort(-block, axis=1, kind="stable")[:, :k]
        best[a : a + CHUNK] = right[top]
        overlap[a : a + CHUNK] = np.take_along_axis(block, top, axis=1)
    return np.repeat(left, k), best.ravel(), overlap.ravel()


def _across(
    bits: np.ndarray, size: np.ndarray, group: np.ndarray, own: int, edge_counts: np.ndarray, n_cells: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two closest representatives of other groups for each code of one group."""
    inside = np.flatnonzero((group == own) & (size > 0))
    found = []
    for other in np.unique(group):
        stand = np.flatnonzero((group == other) & (size > 0))
        if other == own or not stand.size:
            continue
        common = stand[np.argsort(-n_cells[stand], kind="stable")[:REPRESENTATIVES]]
        found.append(_nearest(bits, size, inside, common, edge_counts[own, other], ACROSS))
    if not found:
        return np.empty(0, int), np.empty(0, int), np.empty(0)
    left, right, overlap = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.lexsort((right, -overlap, left))
    left, right, overlap = left[order], right[order], overlap[order]
    start = np.flatnonzero(np.r_[True, left[1:] != left[:-1]]) if left.size else np.empty(0, int)
    place = np.arange(left.size) - np.repeat(start, np.diff(np.r_[start, left.size]))
    keep = (place < ACROSS) & (overlap > 0)
    return left[keep], right[keep], overlap[keep]


def _spread(
    left: np.ndarray, right: np.ndarray, overlap: np.ndarray, cells_of: sp.csr_matrix, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """From links between codes to links between cells: every cell of `left` gets at most k cells, closest codes first.

    Cells that share a code take different members of the right code (a rotation), so that no cell becomes a hub.
    """
    count = np.diff(cells_of.indptr)
    order = np.lexsort((right, -overlap, left))
    left, right, overlap = left[order], right[order], overlap[order]
    before = np.cumsum(count[right]) - count[right]
    start = np.flatnonzero(np.r_[True, left[1:] != left[:-1]]) if left.size else np.empty(0, int)
    n_of = np.diff(np.r_[start, left.size])
    before -= np.repeat(before[start] if left.size else before, n_of)
    take = np.clip(k + 1 - before, 0, count[right])  # one more, as a cell may meet itself
    link = np.repeat(np.arange(left.size), take * count[left])
    within = np.arange(link.size) - np.repeat(np.cumsum(take * count[left]) - take * count[left], take * count[left])
    member, step = np.divmod(within, take[link])
    row = cells_of.indices[cells_of.indptr[left[link]] + member]
    col = cells_of.indices[cells_of.indptr[right[link]] + (member + step) % count[right[link]]]
    return row, col, overlap[link]
