"""Log-odds, thresholds and the scan against enumeration, brute force and MOODS."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from grnformer_sc.grn.motifs import best_of_tfs, index_motifs, log_odds, scan_sequences, score_threshold

UNIFORM = np.full(4, 0.25)
GC = np.array([0.3, 0.2, 0.2, 0.3])


def random_motif(rng: np.random.Generator, length: int) -> np.ndarray:
    return log_odds(rng.dirichlet(np.full(4, 0.3), length).T * 50, GC)


def brute(codes: np.ndarray, start: np.ndarray, scores: list[np.ndarray], cut: np.ndarray) -> np.ndarray:
    """Best score of either strand at every place, one letter after the other."""
    out = np.zeros((start.size - 1, len(scores)))
    for region, m in itertools.product(range(start.size - 1), range(len(scores))):
        letters, found = codes[start[region] : start[region + 1]], []
        for score in (scores[m], scores[m][::-1, ::-1]):
            for at in range(letters.size - len(score) + 1):
                word = letters[at : at + len(score)]
                if (word < 4).all():
                    found.append(score[np.arange(len(score)), word].sum())
        good = [value for value in found if value >= cut[m] - 1e-9]
        out[region, m] = max(good, default=0)
    return out


@given(st.integers(0, 10_000), st.lists(st.integers(3, 22), min_size=1, max_size=4))
@settings(max_examples=25, deadline=None)
def test_hits_equal_brute_force(seed, lengths):
    """Short and long motifs, regions of any length (some shorter than a motif), letters that are none of ACGT."""
    rng = np.random.default_rng(seed)
    scores = [random_motif(rng, length) for length in lengths]
    cut = np.array([max(0.5, score.max(axis=1).sum() * rng.uniform(0.2, 0.7)) for score in scores])
    start = np.cumsum(np.r_[0, rng.integers(1, 80, 6)])
    codes = rng.choice(5, start[-1], p=[0.24, 0.24, 0.24, 0.24, 0.04]).astype(np.uint8)
    found = scan_sequences(codes, start, index_motifs(scores, cut), n_jobs=1)
    np.testing.assert_allclose(found.toarray(), brute(codes, start, scores, cut), rtol=1e-5)


def test_hits_equal_those_of_moods():
    scan = pytest.importorskip("MOODS.scan", reason="MOODS is not installed")
    rng = np.random.default_rng(1)
    scores = [random_motif(rng, length) for length in rng.integers(6, 21, 40)]
    cut = np.array([max(score_threshold(score, GC, 1e-3), 0.01) for score in scores])
    codes = rng.choice(4, 60 * 300, p=GC).astype(np.uint8)
    start = np.arange(61) * 300
    scanner = scan.Scanner(7)
    both = [m for score in scores for m in (score.T.tolist(), score[::-1, ::-1].T.tolist())]
    scanner.set_motifs(both, GC.tolist(), np.repeat(cut, 2).tolist())
    expected = np.zeros((60, 40))
    for region in range(60):
        text = "".join("ACGT"[c] for c in codes[start[region] : start[region + 1]])
        for number, hits in enumerate(scanner.scan(text)):
            expected[region, number // 2] = max([expected[region, number // 2], *(hit.score for hit in hits)])
    found = scan_sequences(codes, start, index_motifs(scores, cut), n_jobs=2).toarray()
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert (found > 0).sum() > 500


@given(st.integers(0, 10_000), st.integers(2, 6), st.sampled_from([0.2, 0.01, 0.002]))
@settings(max_examples=30)
def test_a_threshold_is_the_lowest_with_this_chance(seed, length, pvalue):
    """All words are counted with their probability: the threshold keeps to the p-value, .01 bits below it does not."""
    score = random_motif(np.random.default_rng(seed), length)
    words = np.array(list(itertools.product(range(4), repeat=length)))
    value = score[np.arange(length), words].sum(axis=1)
    chance = GC[words].prod(axis=1)
    cut = score_threshold(score, GC, pvalue)
    assert chance[value >= cut].sum() <= pvalue * (1 + 1e-9)
    higher = value[value < cut - 0.02]
    if higher.size:
        assert chance[value >= higher.max()].sum() > pvalue * (1 - 1e-9)


def test_a_motif_that_no_sequence_is_rare_for_has_no_hits():
    score = log_odds(np.full((4, 3), 5.0), UNIFORM)
    assert score_threshold(score, UNIFORM, 1e-4) == float("inf")
    index = index_motifs([score], np.array([np.inf]))
    assert scan_sequences(np.zeros(20, np.uint8), np.array([0, 20]), index, n_jobs=1).nnz == 0


def test_threads_and_blocks_play_no_part(monkeypatch):
    rng = np.random.default_rng(2)
    scores = [random_motif(rng, 9) for _ in range(5)]
    index = index_motifs(scores, np.array([score_threshold(score, GC, 1e-2) for score in scores]))
    codes, start = rng.integers(0, 4, 5000).astype(np.uint8), np.arange(51) * 100
    whole = scan_sequences(codes, start, index, n_jobs=1)
    monkeypatch.setattr("grnformer_sc.grn.motifs.BLOCK_LETTERS", 700)
    cut = scan_sequences(codes, start, index, n_jobs=2)
    assert (whole != cut).nnz == 0


def test_the_best_motif_of_a_tf_counts():
    hits = sp.csr_matrix([[3.0, 5, 0], [0, 2, 7]])
    found = best_of_tfs(hits, np.array([0, 1, 2]), np.array([0, 0, 1]), 2)
    np.testing.assert_array_equal(found.toarray(), [[5, 0], [2, 7]])
