"""Motif scan of random regions of 500 bp with all vertebrate motifs of JASPAR2024, beside MOODS where it is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from race import run

WIDTH = 500
BACKGROUND = np.array([0.275, 0.225, 0.225, 0.275])
PVALUE = 5e-5


def motifs() -> tuple[list[np.ndarray], np.ndarray]:
    from grnformer_sc.grn.motifs import log_odds, score_threshold
    from grnformer_sc.priors import read_motifs

    scores = [log_odds(motif.counts, BACKGROUND) for motif in read_motifs("JASPAR2024")]
    return scores, np.array([max(score_threshold(score, BACKGROUND, PVALUE), 0.01) for score in scores])


def letters(n_regions: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.concatenate(
        [rng.choice(4, 1000 * WIDTH, p=BACKGROUND).astype(np.uint8) for _ in range(-(-n_regions // 1000))]
    )[: n_regions * WIDTH]


def ours(n_regions: int) -> Callable[[], sp.csr_matrix]:
    from grnformer_sc.grn.motifs import index_motifs, scan_sequences

    codes, start = letters(n_regions), np.arange(n_regions + 1) * WIDTH
    index = index_motifs(*motifs())

    def call() -> sp.csr_matrix:
        return scan_sequences(codes, start, index, n_jobs=1)

    scan_sequences(codes[: 5 * WIDTH], start[:6], index, n_jobs=1)
    return call


def moods(n_regions: int) -> Callable[[], sp.csr_matrix]:
    from MOODS.scan import Scanner

    text = "".join("ACGT"[code] for code in letters(n_regions))
    scores, cut = motifs()
    scanner = Scanner(7)
    both = [m.T.tolist() for score in scores for m in (score, score[::-1, ::-1])]
    scanner.set_motifs(both, BACKGROUND.tolist(), np.repeat(cut, 2).tolist())

    def call() -> sp.csr_matrix:
        best: list[dict[int, float]] = []
        for region in range(n_regions):
            found: dict[int, float] = {}
            for number, hits in enumerate(scanner.scan(text[region * WIDTH : (region + 1) * WIDTH])):
                for hit in hits:
                    found[number // 2] = max(found.get(number // 2, 0), hit.score)
            best.append(found)
        rows = np.repeat(np.arange(n_regions), [len(found) for found in best])
        columns = [number for found in best for number in found]
        return sp.csr_matrix(([v for found in best for v in found.values()], (rows, columns)), (n_regions, len(scores)))

    return call


def figures(lap: Any, n_regions: int) -> dict[str, float]:
    return {**lap.row(), "cpu_ms_per_region": lap.cpu_s / n_regions * 1e3, "hits": float(lap.result.nnz)}


@pytest.mark.skipif(importlib.util.find_spec("MOODS") is None, reason="MOODS is not installed")
def bench_moods(record: Callable[..., None]) -> None:
    n = 2000
    first, second = run(ours, n), run(moods, n, repeats=2)
    record(f"{n} regions, 879 motifs, p 5e-5", "MOODS 1.9.4.1", **figures(second, n))
    record(
        f"{n} regions, 879 motifs, p 5e-5",
        "grnformer_sc",
        **figures(first, n),
        times_less_cpu=second.cpu_s / first.cpu_s,
    )
    np.testing.assert_allclose(first.result.toarray(), second.result.toarray(), rtol=1e-5)
    assert first.cpu_s < second.cpu_s


@pytest.mark.parametrize("n", [20_000, 100_000])
def bench_many(record: Callable[..., None], n: int) -> None:
    lap = run(ours, n, repeats=1)
    record(f"{n} regions, 879 motifs, p 5e-5", "grnformer_sc", **figures(lap, n))
    if n == 100_000:
        assert lap.cpu_s < 180
