"""Cells compared by their networks: a sparse neighbour graph of the Jaccard overlap of active edge sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import isqrt

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

from ._kernels.overlap import keep_best

N_NEIGHBORS = 15  # inside the group
ACROSS = 2  # links per cell to cells of other groups
REPRESENTATIVES = 256  # codes per group that stand for it in links across groups
COMPARED = 32_768  # larger groups are searched list by list, until a code has met so many others
BLOCK = 4096  # codes on either side of one product
TRAINED = 64  # codes per list from which the mean codes of the lists are found
ROUNDS = 8
LEVELS = 256  # steps of a mean code: products of whole numbers are exact, so no cut and no thread changes a list
EXACT_FLOAT32 = 2**24  # sums of whole numbers below this are exact in float32

Links = tuple[np.ndarray, np.ndarray, np.ndarray]  # left, right, overlap
NO_LINKS: Links = (np.empty(0, int), np.empty(0, int), np.empty(0))


@dataclass(frozen=True, slots=True)
class OverlapGraph:
    """Symmetric neighbour graph; cells without an active edge have no neighbours."""

    connectivities: sp.csr_matrix
    distances: sp.csr_matrix
    n_empty: int


@dataclass(frozen=True, slots=True)
class Codes:
    """Different bits of cells, their number of edges, and their places: of equal neighbours the first place wins."""

    bits: Bool[np.ndarray, "codes eregulons"]
    size: Float[np.ndarray, " codes"]
    place: Int[np.ndarray, " codes"]

    def __len__(self) -> int:
        return self.place.size

    def take(self, which: Int[np.ndarray, " some"]) -> Codes:
        """Some of the codes, in a given order."""
        return Codes(self.bits[which], self.size[which], self.place[which])


Pieces = Callable[[Codes], Iterator[tuple[slice, Bool[np.ndarray, " rows"] | slice]]]  # who is compared with whom


def overlap_graph(
    active: Bool[np.ndarray, "cells eregulons"],
    codes: Int[np.ndarray, " cells"],
    edge_counts: Float[np.ndarray, "groups groups eregulons"],
    *,
    n_neighbors: int = N_NEIGHBORS,
    n_jobs: int = 1,
) -> OverlapGraph:
    """Connect every cell to the cells with the most similar active edges.

    The Jaccard overlap of two edge sets is exact: an eRegulon that is active in both cells shares the edges that hold in
    both groups. Identical codes are searched once, then spread over their cells; neighbours come from the cell's own
    group, plus two links per cell to the closest codes that stand for the other groups. Groups of more than 32,768
    different codes are split into lists of similar codes, and a code is compared with those of the closest lists, at
    least 32,768: nearly exact where cells fall into states, less so where their bits are noise.

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
    n_jobs
        Threads; the graph is the same for any number.
    """
    first, code_of = _distinct(active, codes)
    cells_of = _members(code_of, first.size)
    n_cells = np.diff(cells_of.indptr)
    groups = _groups(active[first], codes[first], edge_counts)
    stand = {group: _representatives(found, n_cells) for group, found in groups.items()}
    parts: list[Links] = []
    with threadpool_limits(1), Parallel(n_jobs=n_jobs, require="sharedmem") as pool:
        for own, inside in groups.items():
            links = _inside(inside, edge_counts[own, own], n_neighbors + 1, pool)  # a code finds itself, too
            parts.append(_spread(*links, cells_of, n_neighbors))
            others = [(stand[group], edge_counts[own, group]) for group in groups if group != own]
            parts.append(_spread(*_across(inside, others, pool), cells_of, ACROSS))
    n_linked = sum(int(n_cells[found.place].sum()) for found in groups.values())
    return _graph(parts, active.shape[0], active.shape[0] - n_linked)


def _graph(parts: list[Links], n_cells: int, n_empty: int) -> OverlapGraph:
    row, col, overlap = (np.concatenate(part) for part in zip(NO_LINKS, *parts, strict=True))
    keep = (row != col) & (overlap > 0)
    graph = sp.csr_matrix((overlap[keep], (row[keep], col[keep])), (n_cells, n_cells), dtype=np.float32)
    graph = graph.maximum(graph.T).tocsr()
    distances = graph.copy()
    distances.data = np.maximum(1 - graph.data, np.float32(1e-6))  # explicit zeros would be read as "no link"
    return OverlapGraph(graph, distances, n_empty)


def _distinct(active: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First cell of every different (group, bits), sorted by both, and the place of each cell among them."""
    table = np.column_stack([codes.astype(">i8")[:, None].view(np.uint8), np.packbits(active, axis=1)])
    rows = np.ascontiguousarray(table).view(f"S{table.shape[1]}").ravel()  # compared byte by byte
    _, first, code_of = np.unique(rows, return_index=True, return_inverse=True)
    return first, code_of.ravel()


def _members(group: np.ndarray, n_groups: int) -> sp.csr_matrix:
    """Ones where a row (a code, a list) has a member; the members are in order."""
    order = np.argsort(group, kind="stable")
    indptr = np.r_[0, np.cumsum(np.bincount(group, minlength=n_groups))]
    return sp.csr_matrix((np.ones(group.size), order, indptr), (n_groups, group.size))


def _groups(bits: np.ndarray, group: np.ndarray, edge_counts: np.ndarray) -> dict[int, Codes]:
    """The codes with at least one edge, by group."""
    out = {}
    for own in map(int, np.unique(group)):
        place = np.flatnonzero(group == own)
        size = np.concatenate([bits[place[rows]] @ edge_counts[own, own] for rows in _blocks(place.size)])
        out[own] = Codes(bits[place], size, place).take(np.flatnonzero(size > 0))
    return {own: found for own, found in out.items() if len(found)}


def _representatives(codes: Codes, n_cells: np.ndarray) -> Codes:
    return codes.take(np.argsort(-n_cells[codes.place], kind="stable")[:REPRESENTATIVES])


def _inside(codes: Codes, shared: np.ndarray, k: int, pool: Parallel) -> Links:
    """The k codes with the largest overlap for each code of one group, itself included."""
    k = min(k, len(codes))
    if len(codes) <= COMPARED:
        return _nearest(codes, codes, shared, k, _all_pieces(len(codes)), pool)
    codes, pieces = _lists(codes, shared, max(k, COMPARED), pool)
    return _nearest(codes, codes, shared, k, pieces, pool)


def _all_pieces(n: int) -> Pieces:
    """Everyone is compared with everyone."""

    def pieces(query: Codes) -> Iterator[tuple[slice, slice]]:
        return ((slice(a, a + BLOCK), slice(None)) for a in range(0, n, BLOCK))

    return pieces


def _lists(codes: Codes, shared: np.ndarray, enough: int, pool: Parallel) -> tuple[Codes, Pieces]:
    """The codes sorted into lists around mean codes; a code asks the closest lists until it has met `enough` codes."""
    means = _mean_codes(codes, shared)
    blocks = (codes.take(rows) for rows in _blocks(len(codes)))
    list_of = np.concatenate(pool(delayed(_closest_mean)(block, means, shared) for block in blocks))
    length = np.bincount(list_of, minlength=means.shape[0])
    start = np.r_[0, np.cumsum(length)]

    def pieces(query: Codes) -> Iterator[tuple[slice, np.ndarray]]:
        closest = np.argsort(-_closeness(query, means, shared), axis=1, kind="stable")
        met = np.cumsum(length[closest], axis=1) - length[closest]
        asks = np.empty(closest.shape, dtype=bool)
        np.put_along_axis(asks, closest, met < enough, axis=1)
        for one in np.flatnonzero(asks.any(axis=0) & (length > 0)):
            for a in range(start[one], start[one + 1], BLOCK):
                yield slice(a, min(a + BLOCK, start[one + 1])), asks[:, one]

    return codes.take(np.argsort(list_of, kind="stable")), pieces


def _mean_codes(codes: Codes, shared: np.ndarray) -> np.ndarray:
    """About sqrt(codes) mean codes by rounds of k-means on evenly spaced codes, in whole steps of 1/256."""
    n_lists = isqrt(len(codes))
    trained = codes.take(np.arange(0, len(codes), max(1, len(codes) // (TRAINED * n_lists))))
    means = LEVELS * trained.bits[:: len(trained) // n_lists].astype(np.float64)
    for _ in range(ROUNDS):
        list_of = _closest_mean(trained, means, shared)
        length = np.bincount(list_of, minlength=means.shape[0])
        total = _members(list_of, means.shape[0]) @ trained.bits.astype(np.float64)
        means = np.where(length[:, None] > 0, np.rint(LEVELS * total / np.maximum(length, 1)[:, None]), means)
    return means


def _closest_mean(codes: Codes, means: np.ndarray, shared: np.ndarray) -> np.ndarray:
    return _closeness(codes, means, shared).argmax(axis=1)


def _closeness(codes: Codes, means: np.ndarray, shared: np.ndarray) -> np.ndarray:
    """Overlap of codes with mean codes, with products in place of common parts (Tanimoto)."""
    common = LEVELS * ((codes.bits * shared) @ means.T)
    return common / (LEVELS**2 * codes.size[:, None] + means**2 @ shared - common)


def _blocks(n: int) -> Iterator[np.ndarray]:
    return (np.arange(a, min(a + BLOCK, n)) for a in range(0, n, BLOCK))


def _nearest(left: Codes, right: Codes, shared: np.ndarray, k: int, pieces: Pieces, pool: Parallel) -> Links:
    """The k codes of `right` with the largest overlap for each code of `left`, among those that `pieces` compares."""
    best = np.full((len(left), k), -1)
    overlap = np.full(best.shape, -1.0)
    whole = (shared == np.rint(shared)).all() and shared.sum() < EXACT_FLOAT32
    weight = shared.astype(np.float32 if whole else np.float64)

    def search(rows: np.ndarray) -> None:
        some = left.take(rows)
        query = some.bits * weight
        for part, asks in pieces(some):
            common = query[asks] @ right.bits[part].T.astype(weight.dtype)
            keep_best(common, rows[asks], left.size, right.size[part], right.place[part], best, overlap)

    pool(delayed(search)(rows) for rows in _blocks(len(left)))
    return np.repeat(left.place, k), best.ravel(), overlap.ravel()


def _across(codes: Codes, others: list[tuple[Codes, np.ndarray]], pool: Parallel) -> Links:
    """The two closest representatives of other groups for each code of one group."""
    found = [NO_LINKS]
    for other, shared in others:
        ranked = replace(other, place=np.arange(len(other)))
        k = min(ACROSS, len(other))
        left, right, overlap = _nearest(codes, ranked, shared, k, _all_pieces(len(other)), pool)
        found.append((left, other.place[right], overlap))
    left, right, overlap, first = _sorted(*(np.concatenate(part) for part in zip(*found, strict=True)))
    keep = (np.arange(left.size) - first < ACROSS) & (overlap > 0)
    return left[keep], right[keep], overlap[keep]


def _sorted(
    left: np.ndarray, right: np.ndarray, overlap: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Links by left code, closest first, and for each link the place of the first one of its left code."""
    order = np.lexsort((right, -overlap, left))
    left = left[order]
    return left, right[order], overlap[order], np.searchsorted(left, left)


def _spread(
    left: np.ndarray, right: np.ndarray, overlap: np.ndarray, cells_of: sp.csr_matrix, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """From links between codes to links between cells: every cell of `left` gets at most k cells, closest codes first.

    Cells that share a code take different members of the right code (a rotation), so that no cell becomes a hub.
    """
    count = np.diff(cells_of.indptr)
    left, right, overlap, first = _sorted(left, right, overlap)
    before = np.cumsum(count[right]) - count[right]
    before -= before[first]
    take = np.clip(k + 1 - before, 0, count[right])  # one more, as a cell may meet itself
    link = np.repeat(np.arange(left.size), take * count[left])
    within = np.arange(link.size) - np.repeat(np.cumsum(take * count[left]) - take * count[left], take * count[left])
    member, step = np.divmod(within, take[link])
    row = cells_of.indices[cells_of.indptr[left[link]] + member]
    col = cells_of.indices[cells_of.indptr[right[link]] + (member + step) % count[right[link]]]
    return row, col, overlap[link]
