"""Gates: which eRegulons are on in a cell while some of its genes are masked.

`"region"` reads accessibility and `"neighbour"` reads other cells; neither can see a masked count. `"gene"` are the
cell's own bits (the paper's choice): they are computed from the counts that the model has to predict, so they leak.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Bool, Float32, Int64

from .._core.checks import fail, need_one_of
from ..grn.embedding import log_normalise, pca_scores, project
from ..grn.neighbours import bit_shares, group_votes, nearest
from .fields import CellData
from .visible import VisibleCounts

logger = logging.getLogger(__name__)

GateName = Literal["auto", "region", "neighbour", "gene"]
N_NEIGHBOURS = 15
N_COMPONENTS = 30
MAX_REFERENCE = 20_000  # cells that are searched; more cost time and change the majority of 15 little


def choose_gate(gate: GateName, cells: CellData) -> Literal["region", "neighbour", "gene"]:
    """Choose the gate: region bits where they exist, else neighbours; bits that a gate lacks are an error."""
    need_one_of(gate, ("auto", "region", "neighbour", "gene"), name="gate")
    if gate == "auto":
        gate = "neighbour" if cells.region_bits is None else "region"
    wanted = cells.region_bits if gate == "region" else cells.gene_bits
    if wanted is None:
        raise missing_bits(gate)
    return gate


def resolve_gate(gate: GateName, cells: CellData) -> Literal["region", "neighbour", "gene"]:
    """Choose the gate and log the choice."""
    chosen = choose_gate(gate, cells)
    if chosen == "gene":
        logger.warning("gate='gene': the bits are computed from the masked counts themselves; the loss is flattered")
    elif gate == "auto":
        logger.info("gate='auto': %s bits", chosen)
    return chosen


def missing_bits(gate: str) -> Exception:
    """Say which bits a gate needs and how to make them."""
    made = "region bits (paired ATAC)" if gate == "region" else "gene bits"
    return fail(
        KeyError, f"gate={gate!r} needs {made} of the cells.", "none in adata.obsm.",
        "run grs.tl.build_grn (training cells), grs.tl.cell_grn or grs.pp.map_reference (new cells), or choose another "
        "gate.",
    )  # fmt: skip


class Gate(Protocol):
    """Bits of the cells of a batch, before the rule of their group is applied."""

    def bits(self, visible: VisibleCounts, index: Int64[np.ndarray, " cells"]) -> Bool[np.ndarray, "cells eregulons"]:
        """Bits of the cells whose visible counts are given; `index` are their rows in the data."""
        ...


@dataclass(frozen=True, slots=True)
class StoredGate:
    """Bits that were computed before: from accessibility, or (leaking) from the cell's own expression."""

    stored: sp.csr_matrix

    def bits(self, visible: VisibleCounts, index: Int64[np.ndarray, " cells"]) -> Bool[np.ndarray, "cells eregulons"]:
        """Look the bits up."""
        return self.stored[index].toarray()


@dataclass(frozen=True, slots=True)
class Reference:
    """Training cells among which neighbours are found: fixed loadings, scores, gene bits, groups and names."""

    loadings: Float32[np.ndarray, "comps genes"]
    mean: Float32[np.ndarray, " genes"]
    scores: Float32[np.ndarray, "reference comps"]
    stored: sp.csr_matrix
    codes: Int64[np.ndarray, " reference"]
    cells: pd.Index

    @classmethod
    def fit(cls, cells: CellData, *, seed: int) -> Reference:
        """Fit loadings to training cells."""
        scores, loadings, mean = pca_scores(cells.counts, n_comps=N_COMPONENTS, seed=seed % 2**32)
        rows = np.arange(cells.n_cells)
        if rows.size > MAX_REFERENCE:
            rows = np.sort(np.random.default_rng(seed).choice(rows.size, MAX_REFERENCE, replace=False))
            logger.info("neighbours are searched among %d of %d training cells", rows.size, cells.n_cells)
        bits = sp.csr_matrix((cells.n_cells, 0), dtype=bool) if cells.gene_bits is None else cells.gene_bits
        return cls(loadings, mean, scores[rows], bits[rows], cells.codes[rows], cells.cells[rows])

    def find(
        self, visible: VisibleCounts, self_row: Int64[np.ndarray, " cells"], k: int = N_NEIGHBOURS
    ) -> Int64[np.ndarray, "cells neighbours"]:
        """Nearest reference cells by what is visible; masked genes count as their mean, the cell itself is left out."""
        x = log_normalise(visible.counts, size=visible.size)
        query = project(x, self.loadings, np.where(visible.hidden, np.float32(0), self.mean))
        return nearest(query, self.scores, min(k, self.scores.shape[0] - 1), itself=self_row)[0]

    def vote(self, neighbours: Int64[np.ndarray, "cells neighbours"]) -> Bool[np.ndarray, "cells eregulons"]:
        """Bits that are on in more than half of the neighbours."""
        return bit_shares(neighbours, self.stored) > 0.5

    def groups(self, neighbours: Int64[np.ndarray, "cells neighbours"]) -> Int64[np.ndarray, " cells"]:
        """Most frequent group among the neighbours (the first of equals)."""
        return group_votes(neighbours, self.codes, int(self.codes.max(initial=0)) + 1).argmax(axis=1)


@dataclass(frozen=True, slots=True)
class NeighbourGate:
    """Bits by the majority of the nearest training cells, the cell itself (found by its name) left out."""

    reference: Reference
    self_row: Int64[np.ndarray, " cells"]

    @classmethod
    def of(cls, reference: Reference, cells: pd.Index) -> NeighbourGate:
        """Gate for the cells of one data set."""
        return cls(reference, reference.cells.get_indexer(cells).astype(np.int64))

    def bits(self, visible: VisibleCounts, index: Int64[np.ndarray, " cells"]) -> Bool[np.ndarray, "cells eregulons"]:
        """Find the neighbours by the visible counts and let them vote."""
        return self.reference.vote(self.reference.find(visible, self.self_row[index]))


def build_gate(name: Literal["region", "neighbour", "gene"], cells: CellData, reference: Reference) -> Gate:
    """Gate of a data set for a gate chosen in training.

    Cells without accessibility get the bits of their nearest training cells, as safe from masked counts as region bits.
    Other missing bits are an error.
    """
    stored = {"region": cells.region_bits, "gene": cells.gene_bits}.get(name)
    if stored is not None:
        return StoredGate(stored)
    if name == "gene" or (name == "region" and not reference.stored.shape[1]):
        raise missing_bits(name)
    if name == "region":
        logger.info("no region bits (RNA only): bits of the nearest training cells are used")
    return NeighbourGate.of(reference, cells.cells)
