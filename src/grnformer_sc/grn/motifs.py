"""Motif hits in sequences: log-odds, thresholds from p-values, and a scan of both strands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int, UInt8
from joblib import Parallel, delayed

from ._kernels.motif_scan import scan_regions, table_words

WORD = 8  # letters of an index word
RESOLUTION = 0.002  # bits: scores are rounded to it where their distribution is computed
BLOCK_LETTERS = 500_000  # scanned by one thread at once
PSEUDOCOUNT = 1.0
NEVER = 1e30


def log_odds(
    counts: Float[np.ndarray, "bases length"],
    background: Float[np.ndarray, " bases"],
    pseudocount: float = PSEUDOCOUNT,
) -> Float[np.ndarray, "length bases"]:
    """Log2 of the probability of each letter over that of the background, with pseudocounts shared out like it."""
    padded = counts + pseudocount * background[:, None]
    return np.log2(padded / padded.sum(axis=0) / background[:, None]).T


def score_threshold(
    score: Float[np.ndarray, "length bases"], background: Float[np.ndarray, " bases"], pvalue: float
) -> float:
    """Smallest score that random sequence reaches with at most this probability; infinity where no score is so rare.

    The distribution of the sum over columns is computed exactly for scores rounded to .002 bits; half of the resolution
    per column is added, so that the probability of a score above the threshold never exceeds `pvalue`.
    """
    points = np.rint(score / RESOLUTION).astype(np.int64)
    low = points.min(axis=1)
    density = np.ones(1)
    for position, smallest in zip(points, low, strict=True):
        shift = position - smallest
        grown = np.zeros(density.size + int(shift.max()))
        for step, share in zip(shift, background, strict=True):
            grown[step : step + density.size] += density * share
        density = grown
    tail = np.cumsum(density[::-1])[::-1]
    rare = np.flatnonzero(tail <= pvalue * (1 + 1e-9))
    if not rare.size:
        return float("inf")
    return float((rare[0] + low.sum() + 0.5 * len(score)) * RESOLUTION)


@dataclass(frozen=True, slots=True)
class MotifIndex:
    """Both strands of all motifs, and for every word of eight letters the motifs that can reach their threshold with it.

    The columns outside of the word's window are looked at in order of their range, with the best that can still come.
    """

    score: Float[np.ndarray, "columns bases"]
    start: Int[np.ndarray, " strands"]
    length: Int[np.ndarray, " strands"]
    offset: Int[np.ndarray, " strands"]
    order: Int[np.ndarray, " rest"]
    order_rest: Float[np.ndarray, " rest"]
    order_start: Int[np.ndarray, " strands_and_1"]
    threshold: Float[np.ndarray, " strands"]
    owner: Int[np.ndarray, " strands"]
    first: Int[np.ndarray, " words_and_1"]
    motifs: Int[np.ndarray, " entries"]
    partial: Float[np.ndarray, " entries"]
    n_motifs: int


def index_motifs(scores: Sequence[Float[np.ndarray, "..."]], thresholds: Float[np.ndarray, " motifs"]) -> MotifIndex:
    """Lay out the motifs (length x ACGT each) for a scan; those that cannot be reached are left out."""
    strands, owner, cut = [], [], []
    for number, (score, threshold) in enumerate(zip(scores, thresholds, strict=True)):
        if not np.isfinite(threshold):
            continue
        reverse = np.ascontiguousarray(score[::-1, ::-1])
        both = [score] if np.array_equal(score, reverse) else [score, reverse]
        strands += both
        owner += [number] * len(both)
        cut += [threshold] * len(both)
    length = np.array([len(s) for s in strands], dtype=np.int64)
    start = np.cumsum(np.r_[0, length])[:-1].astype(np.int64)
    offset, rest, order, order_rest = [], [], [], []
    for score in strands:
        spread = score.max(axis=1) - score.min(axis=1)
        windows = [spread[i : i + WORD].sum() for i in range(max(1, len(score) - WORD + 1))]
        at = int(np.argmax(windows))
        outside = np.setdiff1d(np.arange(len(score)), np.arange(at, at + WORD))
        outside = outside[np.argsort(-spread[outside], kind="stable")]
        best = score.max(axis=1)[outside]
        offset.append(at)
        rest.append(best.sum())
        order.append(outside)
        order_rest.append(np.cumsum(best[::-1])[::-1])
    columns = np.concatenate([np.empty((0, 4)), *strands])
    layout = (
        columns, start, length, np.array(offset, dtype=np.int64), np.array(rest, dtype=np.float64),
        np.array(cut, dtype=np.float64),
    )  # fmt: skip
    counts = np.zeros(4**WORD, dtype=np.int64)
    table_words(*layout, counts, np.empty(0, np.int64), np.empty(0))
    first = np.r_[0, np.cumsum(counts)]
    motifs, partial = np.empty(first[-1], dtype=np.int64), np.empty(first[-1], dtype=np.float64)
    if first[-1]:
        table_words(*layout, first[:-1].copy(), motifs, partial)
    return MotifIndex(
        score=columns, start=start, length=length, offset=layout[3],
        order=np.concatenate([np.empty(0, np.int64), *order]),
        order_rest=np.concatenate([np.empty(0), *order_rest]),
        order_start=np.cumsum([0, *(len(o) for o in order)]).astype(np.int64),
        threshold=layout[5], owner=np.array(owner, dtype=np.int64), first=first, motifs=motifs, partial=partial,
        n_motifs=len(scores),
    )  # fmt: skip


def scan_sequences(
    codes: UInt8[np.ndarray, " letters"], start: Int[np.ndarray, " regions_and_1"], index: MotifIndex, *, n_jobs: int
) -> sp.csr_matrix:
    """Best log-odds (bits) of every motif in every region on either strand, where it reaches its threshold.

    `codes` are the letters of all regions one after the other (0 to 3 for ACGT, 4 for any other, which breaks a hit).
    Blocks of regions go to threads; memory beyond letters and hits is that of a block.
    """
    block = (start[:-1] - start[0]) // BLOCK_LETTERS
    edges = np.r_[np.flatnonzero(np.r_[True, block[1:] != block[:-1]]), block.size] if block.size else np.zeros(1, int)

    def one(low: int, high: int) -> sp.csr_matrix:
        best = np.full((high - low, index.n_motifs), -NEVER)
        scan_regions(
            codes, start[low : high + 1], index.score, index.start, index.length, index.offset, index.order,
            index.order_rest, index.order_start, index.threshold, index.owner, index.first, index.motifs, index.partial,
            best,
        )  # fmt: skip
        return sp.csr_matrix(np.where(best > -NEVER, best, 0).astype(np.float32))

    parts = Parallel(n_jobs=n_jobs, require="sharedmem")(delayed(one)(a, b) for a, b in pairwise(edges.tolist()))
    return sp.vstack([sp.csr_matrix((0, index.n_motifs), dtype=np.float32), *parts], "csr")


def best_of_tfs(
    hits: sp.csr_matrix, motif: Int[np.ndarray, " pairs"], tf: Int[np.ndarray, " pairs"], n_tfs: int
) -> sp.csr_matrix:
    """Regions x TFs: the best hit of any motif of the TF; pairs say which motif belongs to which TF."""
    table = hits.tocsc()
    columns = []
    for number in range(n_tfs):
        own = table[:, motif[tf == number]]
        columns.append(own if own.shape[1] == 1 else own.max(axis=1).tocsc())
    return sp.csr_matrix(sp.hstack(columns, "csr"), dtype=np.float32)
