"""Enrichment of motifs in sets of regions by their rankings: recovery curves, AUC, NES, leading edge."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from .._core.checks import fail

Block = tuple[slice, np.ndarray, np.ndarray]  # motifs, positions of regions, values (motifs x regions)
MOTIFS_AT_ONCE = 64  # recovery curves held at one time


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """How far down a ranking of `n_regions` regions is looked at.

    Attributes
    ----------
    n_regions
        Regions of the whole database.
    area
        Ranks under the curve: K = round(auc_threshold * n_regions) - 1.
    last
        Last rank of the recovery curves, floor(rank_threshold * n_regions).
    """

    n_regions: int
    area: int
    last: int

    @classmethod
    def of(cls, n_regions: int, auc_threshold: float, rank_threshold: float) -> Cutoffs:
        """Turn shares of the database into ranks; a share without a whole rank is an error."""
        area = round(auc_threshold * n_regions) - 1
        last = min(int(rank_threshold * n_regions + 1e-9), n_regions - 1)
        if area < 1 or last < area:
            raise fail(
                ValueError, "auc_threshold needs at least 1 rank, and rank_threshold as many.",
                f"{area} and {last} ranks of {n_regions} regions.",
                f"use auc_threshold >= {min(1, 2.5 / n_regions):.2g} and a larger rank_threshold.",
            )  # fmt: skip
        return cls(n_regions, area, last)


def best_ranks(blocks: Iterable[Block], shape: tuple[int, int], cutoffs: Cutoffs) -> sp.csc_matrix:
    """Keep rank + 1 of motifs x regions where the rank counts: a twentieth of them by default."""
    parts: list[tuple[np.ndarray, ...]] = [(np.empty(0, np.int32),) * 3]
    for motifs, regions, values in blocks:
        row, column = np.nonzero(values <= cutoffs.last)
        found = row + motifs.start, regions[column], values[row, column] + 1
        parts.append(tuple(part.astype(np.int32) for part in found))
    row, column, rank = (np.concatenate(part) for part in zip(*parts, strict=True))
    return sp.csc_matrix((rank, (row, column)), shape)


@dataclass(frozen=True, slots=True)
class Recovered:
    """Enrichment of every motif in one set of regions, and the regions behind it."""

    auc: Float[np.ndarray, " motifs"]
    nes: Float[np.ndarray, " motifs"]
    enriched: Int[np.ndarray, " enriched"]
    hits: sp.csr_matrix  # enriched x regions of the set, bool: the leading edges


def recover(ranks: sp.csr_matrix, cutoffs: Cutoffs, *, min_nes: float) -> Recovered:
    """Find the motifs whose best regions hold more of the set than those of other motifs do.

    With the rank r_m(x) of region x for motif m, RCC_m(k) = number of regions of the set with r_m(x) <= k, K = `area`:

        AUC_m = sum_{k<K} RCC_m(k) / ((K+1) |S|),   NES_m = (AUC_m - mean AUC) / sd AUC

    and the leading edge of an enriched motif holds the regions up to the rank where RCC_m is furthest above
    mean + 2 sd of all motifs. Sums over motifs are taken at the ranks where a curve steps, so that no motifs x ranks
    matrix is ever made: time and memory follow the number of stored ranks.

    Parameters
    ----------
    ranks
        Motifs x regions of the set, CSR of rank + 1 (best region 1) for all ranks up to `cutoffs.last`; larger ranks are
        left out.
    cutoffs
        How far rankings are looked at.
    min_nes
        Least NES of an enriched motif.
    """
    n_motifs, size = ranks.shape
    row, rank = _steps(ranks)
    area = np.bincount(row, np.maximum(cutoffs.area - rank, 0), minlength=n_motifs)
    auc = area / ((cutoffs.area + 1) * max(size, 1))
    spread = area.std()  # of whole numbers: exactly 0 where all are equal
    nes = (area - area.mean()) / spread if spread > 0 else np.zeros(n_motifs)
    enriched = np.flatnonzero(nes >= min_nes)
    peaks = _peaks(row, rank, _usual(row, rank, n_motifs, cutoffs.last), enriched)
    hits = ranks[enriched].copy()
    hits.data = hits.data - 1 <= np.repeat(peaks, np.diff(hits.indptr))
    hits.eliminate_zeros()
    return Recovered(auc, nes, enriched, hits)


def _steps(ranks: sp.csr_matrix) -> tuple[Int[np.ndarray, " steps"], Int[np.ndarray, " steps"]]:
    """Motif and rank of every step of the recovery curves, sorted by both."""
    row = np.repeat(np.arange(ranks.shape[0]), np.diff(ranks.indptr))
    rank = ranks.data.astype(np.int64) - 1
    order = np.lexsort((rank, row))
    return row[order], rank[order]


def _usual(
    row: Int[np.ndarray, " steps"], rank: Int[np.ndarray, " steps"], n_motifs: int, last: int
) -> Float[np.ndarray, " ranks"]:
    """Mean + 2 sd over all motifs of the recovery curves at every rank.

    A step of a curve from c - 1 to c adds 1 to the sum and 2c - 1 to the sum of squares, from its rank on.
    """
    height = np.arange(1, row.size + 1) - np.searchsorted(row, row, side="left")
    total = np.cumsum(np.bincount(rank, minlength=last + 1).astype(np.float64))
    squares = np.cumsum(np.bincount(rank, 2.0 * height - 1, minlength=last + 1))
    variance = np.maximum(n_motifs * squares - total**2, 0) / n_motifs**2
    return total / n_motifs + 2 * np.sqrt(variance)


def _peaks(
    row: Int[np.ndarray, " steps"],
    rank: Int[np.ndarray, " steps"],
    usual: Float[np.ndarray, " ranks"],
    motifs: Int[np.ndarray, " enriched"],
) -> Int[np.ndarray, " enriched"]:
    """First rank at which each curve is furthest above the usual one."""
    out = np.empty(motifs.size, np.int64)
    for a in range(0, motifs.size, MOTIFS_AT_ONCE):
        part = motifs[a : a + MOTIFS_AT_ONCE]
        place = np.searchsorted(part, row)
        known = np.flatnonzero((place < part.size) & (part[np.minimum(place, part.size - 1)] == row))
        cells = place[known] * usual.size + rank[known]
        curves = np.cumsum(np.bincount(cells, minlength=part.size * usual.size).reshape(part.size, -1), axis=1)
        out[a : a + part.size] = np.argmax(curves - usual, axis=1)
    return out
