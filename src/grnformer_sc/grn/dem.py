"""Motifs that score higher in some regions than in others: rank-sum test, fold change, hit thresholds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int, Shaped
from scipy.stats import false_discovery_control, norm

from ._kernels.rank_sum import add_wins
from .cistarget import Block

Reader = Callable[[np.ndarray], Iterable[Block]]  # values of some regions, block by block
SMALLEST = 1e-12  # added to means before their ratio is taken


@dataclass(slots=True)
class RankSum:
    """Rank-sum test of many motifs, foreground regions added block by block against a background held in memory.

    The wins of the foreground (a tie is half a win) are the Mann-Whitney U; they come from binary searches in the sorted
    background, so that a foreground of any size takes the memory of one block.
    """

    background: Float[np.ndarray, "motifs background"]
    wins: Float[np.ndarray, " motifs"]
    total: Float[np.ndarray, " motifs"]

    @classmethod
    def against(cls, background: Shaped[np.ndarray, "motifs background"]) -> RankSum:
        """Start without foreground."""
        n_motifs = background.shape[0]
        return cls(np.sort(background.astype(np.float32), axis=1), np.zeros(n_motifs), np.zeros(n_motifs))

    def add(self, block: Shaped[np.ndarray, "some_motifs regions"], motifs: slice) -> None:
        """Count a block of foreground scores."""
        scores = np.ascontiguousarray(block, dtype=np.float32)
        add_wins(self.background[motifs], scores, self.wins[motifs], self.total[motifs])

    def result(self, n_foreground: int) -> Differential:
        """Statistics of all motifs, once the foreground is complete."""
        n_background = self.background.shape[1]
        pairs = n_foreground * n_background
        z = (self.wins - pairs / 2) / np.sqrt(pairs * (n_foreground + n_background + 1) / 12)
        means = self.total / n_foreground, self.background.mean(axis=1, dtype=np.float64)
        fold = np.log2((means[0] + SMALLEST) / (means[1] + SMALLEST))
        pvalue = 2 * norm.sf(np.abs(z))
        return Differential(fold, pvalue, false_discovery_control(pvalue, method="bh"))


@dataclass(frozen=True, slots=True)
class Differential:
    """Foreground against background, by motif."""

    log2fc: Float[np.ndarray, " motifs"]
    pvalue: Float[np.ndarray, " motifs"]
    fdr: Float[np.ndarray, " motifs"]


def read_dense(read: Reader, regions: Int[np.ndarray, " regions"], motifs: Int[np.ndarray, " motifs"]) -> np.ndarray:
    """Scores of some (ascending) motifs in some regions as one float32 matrix."""
    out = np.zeros((motifs.size, regions.size), np.float32)
    for rows, columns, values in read(regions):
        inside = np.flatnonzero((motifs >= rows.start) & (motifs < rows.stop))
        out[np.ix_(inside, columns)] = values[motifs[inside] - rows.start]
    return out


def compare(
    read: Reader, background: Shaped[np.ndarray, "motifs background"], foreground: Int[np.ndarray, " regions"]
) -> Differential:
    """Test every motif in the foreground regions, streamed, against scores of the background."""
    test = RankSum.against(background)
    for motifs, _, values in read(foreground):
        test.add(values, motifs)
    return test.result(foreground.size)


def hit_shares(
    ours: Shaped[np.ndarray, "motifs regions"],
    theirs: Shaped[np.ndarray, "motifs background"],
    threshold: float | None,
) -> sp.csr_matrix:
    """Hits of motifs (score above a threshold; by default each motif's own best one) in foreground regions.

    Stored is the share of the background that scores as high, (n + 0.5) / (size + 1), which is never 0 or 1.
    """
    rows = []
    for score, other in zip(ours, theirs, strict=True):
        at = best_threshold(score, other) if threshold is None else threshold
        column = np.flatnonzero(score > at)
        above = other.size - np.searchsorted(np.sort(other), score[column], side="left")
        share = (above + 0.5) / (other.size + 1)
        rows.append(sp.csr_matrix((share, column, [0, column.size]), (1, score.size)))
    return sp.csr_matrix(sp.vstack(rows)) if rows else sp.csr_matrix(ours.shape)


def best_threshold(foreground: Float[np.ndarray, " regions"], background: Float[np.ndarray, " others"]) -> float:
    """Score t for which the shares of scores above t differ most between foreground and background (Youden's index).

    Only scores above 0 take part, as regions without any site tell nothing about where a site begins. Of equally good
    thresholds the lowest is taken; without such scores in both it is 0.
    """
    ours, theirs = (np.sort(scores[scores > 0]) for scores in (foreground, background))
    if not ours.size or not theirs.size:
        return 0.0
    at = np.unique(np.concatenate([[0.0], ours, theirs]))
    index = np.searchsorted(theirs, at, side="right") / theirs.size - np.searchsorted(ours, at, "right") / ours.size
    return float(at[np.argmax(index)])
