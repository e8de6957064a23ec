"""Strength of links: how closely a target follows the rest of its regulon, in every sample, from one pass over cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float, Int

from .._core.checks import need_nonempty_rows
from .._core.rows import Rows
from .._core.settings import settings
from ._kernels.edge_sums import add_edge_sums
from .aucell import TOP, cutoff_of
from .embedding import log_normalise
from .links import STRONGEST_RHO

FEWEST_DETECTED = 5  # cells of a sample that must have the target
ROUNDING = 1e-9  # share of a sum of squares that is no variance


@dataclass(frozen=True, slots=True)
class Members:
    """Links between regulons and genes: row and column of each, in the order of genes."""

    regulon: Int[np.ndarray, " links"]
    gene: Int[np.ndarray, " links"]
    n_regulons: int
    n_genes: int

    @classmethod
    def of(cls, members: sp.csr_matrix) -> Members:
        """Links of a boolean matrix regulons x genes."""
        by_gene = sp.csr_matrix(members.T)
        by_gene.sort_indices()
        gene = np.repeat(np.arange(by_gene.shape[0]), np.diff(by_gene.indptr))
        return cls(by_gene.indices.astype(np.int64), gene, members.shape[0], members.shape[1])


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over the cells of every unit, as `add_edge_sums` describes them; `cells` holds n, sum of d, sum of d^2."""

    cells: Float[np.ndarray, "units 3"]
    genes: Float[np.ndarray, "units targets 6"]
    regulons: Float[np.ndarray, "units regulons 3"]
    edges: Float[np.ndarray, "units links 2"]


def collect_sums(
    x: Rows,
    names: pd.Index,
    rows: Int[np.ndarray, " some"],
    units: Int[np.ndarray, " some"],
    n_units: int,
    members: Members,
) -> Sums:
    """Read the cells `rows` (ascending) in blocks and add them to their units; a cell without counts is an error."""
    targets, place = np.unique(members.gene, return_inverse=True)
    target = np.full(members.n_genes, -1, np.int64)
    target[targets] = np.arange(targets.size)
    start = np.searchsorted(place, np.arange(targets.size + 1)).astype(np.int64)
    out = Sums(
        np.zeros((n_units, 3)), np.zeros((n_units, targets.size, 6)), np.zeros((n_units, members.n_regulons, 3)),
        np.zeros((n_units, members.gene.size, 2)),
    )  # fmt: skip
    cutoff = cutoff_of(members.n_genes, TOP, "decoupler")
    for first in range(0, rows.size, settings.chunk_cells):
        block = slice(first, first + settings.chunk_cells)
        part = x.take(rows[block])
        total = np.asarray(part.sum(axis=1), dtype=np.float64).ravel()
        need_nonempty_rows(total, names[rows[block]], what="RNA")
        depth = np.log(total)
        np.add.at(out.cells, units[block], np.column_stack([np.ones(depth.size), depth, depth**2]))
        add_edge_sums(
            part.data, log_normalise(part, size=total).data.astype(np.float64), part.indices, part.indptr,
            members.n_genes, target, start, members.regulon, cutoff, depth, units[block], out.genes, out.regulons, out.edges,
        )  # fmt: skip
    return out


def link_strength(sums: Sums, members: Members) -> Float[np.ndarray, "units links"]:
    """Fisher's z of the partial correlation, given depth, of every target with the rest of its regulon.

    NaN where fewer than five cells have the target, or target or regulon do not vary.
    """
    place = np.unique(members.gene, return_inverse=True)[1]
    n = np.maximum(sums.cells[:, 0], 1)
    d, dd = sums.cells[:, 1] / n, sums.cells[:, 2] / n
    dd -= d**2
    out = np.empty((n.size, members.gene.size))
    for unit in range(n.size):  # a unit at a time: sums of links are the largest arrays
        gene, regulon, edge = sums.genes[unit] / n[unit], sums.regulons[unit] / n[unit], sums.edges[unit] / n[unit]
        g, r = gene[place], regulon[members.regulon]
        x, a = g[:, 1], r[:, 0] - g[:, 4]
        square_x, square_a = g[:, 2], r[:, 1] + edge[:, 1]
        xd, ad = g[:, 3] - x * d[unit], r[:, 2] - g[:, 5] - a * d[unit]
        slope = 1 / dd[unit] if dd[unit] > ROUNDING else 0.0
        xx, aa = square_x - x**2 - xd**2 * slope, square_a - a**2 - ad**2 * slope
        xa = edge[:, 0] - x * a - xd * ad * slope
        known = (
            (sums.genes[unit][place, 0] >= FEWEST_DETECTED) & (xx > ROUNDING * square_x) & (aa > ROUNDING * square_a)
        )
        rho = np.divide(xa, np.sqrt(np.where(known, xx * aa, 1.0)), out=np.full(xa.size, np.nan), where=known)
        out[unit] = np.arctanh(np.clip(rho, -STRONGEST_RHO, STRONGEST_RHO))
    return out
