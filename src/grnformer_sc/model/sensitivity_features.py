"""Lines and cells as the same features: expression, ranks, regulon activities or an embedding, each scaled in its domain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata

from .._core.checks import fail, stored_values
from .._core.rows import Rows
from ..grn._kernels.spearman import shifted_ranks
from ..grn.aucell import aucell
from ..grn.embedding import log_normalise
from ..grn.network import Network

Scale = Literal["log", "ranks"]
Blocks: TypeAlias = Callable[[], Iterator[tuple[int, np.ndarray]]]

MOST_GENES = 2000  # those that vary most among the lines
DETECTED = 0.01  # share of the cells that a gene must be seen in
CLIP = 5.0  # standard deviations
REGULON_TOP, LEAST_TOP = 0.05, 50  # share of the genes that form the top of AUCell, and how many they are at least
LEAST_MEMBERS = 3  # shared genes of a regulon


@dataclass(frozen=True, slots=True)
class Features:
    """The same features of lines (an array) and of cells (blocks, read anew in every pass), in units of their domain's sd.

    Attributes
    ----------
    names
        Genes, regulons or dimensions.
    lines
        Lines x features, float32.
    blocks
        Call it for pairs of the number of the first cell and a block of cells x features, float32.
    n_cells
        Cells in all blocks.
    scale
        What the values are, in words.
    """

    names: pd.Index
    lines: np.ndarray
    blocks: Blocks
    n_cells: int
    scale: str

    def sample(self, rows: Int[np.ndarray, " chosen"]) -> Float[np.ndarray, "chosen features"]:
        """Features of some cells, in ascending order of their numbers."""
        parts = []
        for first, block in self.blocks():
            inside = rows[(rows >= first) & (rows < first + len(block))]
            if inside.size:
                parts.append(block[inside - first])
        return np.concatenate(parts)


@dataclass(frozen=True, slots=True)
class SharedGenes:
    """Genes of both sides: their names, and their columns in the lines and in the cells."""

    names: pd.Index
    of_lines: Int[np.ndarray, " shared"]
    of_cells: Int[np.ndarray, " shared"]


def expression_features(
    lines: Float[np.ndarray, "lines genes"], cells: Rows, shared: SharedGenes, scale: Scale
) -> Features:
    """Log expression, or ranks within the shared genes, of the genes that vary most among the lines."""
    counts, seen = _survey(cells, shared)
    values = lines[:, shared.of_lines].astype(np.float64)
    used = values if scale == "log" else _dense_ranks(values)
    spread = np.where(seen, used.std(axis=0), 0)
    order = np.argsort(-spread, kind="stable")[:MOST_GENES]
    kept = np.sort(order[spread[order] > 0])
    if not kept.size:
        raise fail(
            ValueError, f"some shared gene must vary among the lines and be seen in {DETECTED:.0%} of the cells.",
            f"none of {shared.names.size}.", "check that both hold expression of the same genes.",
        )  # fmt: skip

    def read() -> Iterator[tuple[int, np.ndarray]]:
        for first, block in cells.blocks():
            x = log_normalise(block) if counts and scale == "log" else block
            mine = sp.csr_matrix(x[:, shared.of_cells])
            yield first, mine[:, kept].toarray() if scale == "log" else _sparse_ranks(mine, kept)

    said = {"log": "log expression" if counts else "expression as given", "ranks": "ranks within the shared genes"}
    return _in_own_units(used[:, kept], read, cells.shape[0], shared.names[kept], said[scale])


def regulon_features(
    lines: Float[np.ndarray, "lines genes"], cells: Rows, shared: SharedGenes, network: Network
) -> Features:
    """AUCell of the regulons of a network among the shared genes: ranks alone, so bulk and cells are scored alike."""
    members = network.gene_members(shared.names)
    kept = np.flatnonzero(np.diff(members.indptr) >= LEAST_MEMBERS)
    names = pd.Index(network.eregulons["name"].astype(str))[kept]
    if not kept.size:
        raise fail(
            ValueError, f"some regulon needs {LEAST_MEMBERS} genes that lines and cells share.",
            f"{members.shape[0]} regulons, the largest with {int(np.diff(members.indptr).max(initial=0))} of "
            f"{shared.names.size} shared genes.", "use a network with the same gene names.",
        )  # fmt: skip
    members, n = members[kept], shared.names.size
    top = min(1.0, max(REGULON_TOP, LEAST_TOP / n))
    positive = sp.csr_matrix(_dense_ranks(lines[:, shared.of_lines].astype(np.float64)).astype(np.float32))
    of_lines = aucell(positive, members, top=top).astype(np.float64)

    def read() -> Iterator[tuple[int, np.ndarray]]:
        for first, block in cells.blocks():
            yield first, aucell(sp.csr_matrix(block[:, shared.of_cells]), members, top=top)

    return _in_own_units(of_lines, read, cells.shape[0], names, f"AUCell in the top {top:.3g}")


def array_features(
    lines: Float[np.ndarray, "lines dims"], cells: Float[np.ndarray, "cells dims"], names: pd.Index, size: int
) -> Features:
    """Embeddings that lines and cells have in common."""

    def read() -> Iterator[tuple[int, np.ndarray]]:
        for first in range(0, len(cells), size):
            yield first, np.asarray(cells[first : first + size], dtype=np.float32)

    return _in_own_units(np.asarray(lines, dtype=np.float64), read, len(cells), names, "embedding")


def _survey(cells: Rows, shared: SharedGenes) -> tuple[bool, Bool[np.ndarray, " shared"]]:
    """Whether the values are counts, and which shared genes enough cells express."""
    seen, counts = np.zeros(cells.shape[1], dtype=np.int64), True
    for _, block in cells.blocks():
        seen += np.bincount(block.indices, minlength=seen.size)
        values = stored_values(block)
        counts = counts and bool(np.array_equal(values, np.rint(values)))
    return counts, seen[shared.of_cells] >= DETECTED * cells.shape[0]


def _dense_ranks(x: Float[np.ndarray, "rows genes"]) -> Float[np.ndarray, "rows genes"]:
    """Ranks within each row as shares of the genes, ties by their mean."""
    ranks: np.ndarray = rankdata(x, axis=1) / x.shape[1]
    return ranks


def _sparse_ranks(x: sp.csr_matrix, kept: Int[np.ndarray, " kept"]) -> Float[np.ndarray, "rows kept"]:
    """The same of non-negative sparse rows, of some genes: zeros share a rank, so only the others are sorted."""
    n = x.shape[1]
    rank, _ = shifted_ranks(x.indptr, x.data, n)
    out = sp.csr_matrix((rank, x.indices, x.indptr), x.shape)[:, kept].toarray()
    n_zero = n - np.diff(x.indptr)
    return ((out + (n_zero[:, None] + 1) / 2) / n).astype(np.float32)


def _in_own_units(
    lines: Float[np.ndarray, "lines features"], read: Blocks, n_cells: int, names: pd.Index, scale: str
) -> Features:
    """Centre and scale every feature among the lines and among the cells, each by their own; constant ones become 0."""
    total, square = np.zeros(names.size), np.zeros(names.size)
    for _, block in read():
        wide = block.astype(np.float64)
        total += wide.sum(axis=0)
        square += (wide**2).sum(axis=0)
    mean = total / n_cells
    spread = np.sqrt(np.maximum(square / n_cells - mean**2, 0))
    of_lines = lines.mean(axis=0), lines.std(axis=0)

    def blocks() -> Iterator[tuple[int, np.ndarray]]:
        for first, block in read():
            yield first, _scaled(block, mean, spread)

    return Features(names, _scaled(lines, *of_lines), blocks, n_cells, scale)


def _scaled(
    x: Float[np.ndarray, "rows features"], mean: Float[np.ndarray, " features"], spread: Float[np.ndarray, " features"]
) -> Float[np.ndarray, "rows features"]:
    scaled = (x - mean) / np.where(spread > 1e-9, spread, np.inf)
    return np.clip(scaled, -CLIP, CLIP).astype(np.float32)
