"""Differential motifs: equal to scipy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import false_discovery_control, mannwhitneyu, ranksums
from sklearn.metrics import roc_curve

from grnformer_sc.grn.dem import RankSum, best_threshold, compare, hit_shares


@pytest.fixture
def scores():
    return np.random.default_rng(0).gamma(1.0, 2.0, (12, 90)).astype(np.float32)


def reader(scores, step=5, width=13):
    """Hand out regions in blocks of motifs and regions."""

    def read(regions):
        for a in range(0, len(scores), step):
            for b in range(0, regions.size, width):
                part = np.arange(b, min(b + width, regions.size))
                yield slice(a, min(a + step, len(scores))), part, scores[a : a + step][:, regions[part]]

    return read


def test_equal_to_the_rank_sum_test_of_scipy(scores):
    ours, theirs = np.arange(40), np.arange(40, 90)
    found = compare(reader(scores), scores[:, theirs], ours)
    slow = [ranksums(row[ours], row[theirs]).pvalue for row in scores.astype(float)]
    np.testing.assert_allclose(found.pvalue, slow, rtol=1e-12)
    u = [
        mannwhitneyu(r[ours], r[theirs], method="asymptotic", use_continuity=False).pvalue for r in scores.astype(float)
    ]
    np.testing.assert_allclose(found.pvalue, u, rtol=1e-9)
    np.testing.assert_allclose(found.fdr, false_discovery_control(slow), rtol=1e-12)
    means = scores.astype(float)[:, ours].mean(1), scores.astype(float)[:, theirs].mean(1)
    np.testing.assert_allclose(found.log2fc, np.log2((means[0] + 1e-12) / (means[1] + 1e-12)), rtol=1e-6)


def test_ties_count_half_as_in_scipy(scores):
    rounded = np.round(scores)
    test = RankSum.against(rounded[:, 40:])
    test.add(rounded[:, :40], slice(0, 12))
    slow = [mannwhitneyu(row[:40], row[40:]).statistic for row in rounded]
    np.testing.assert_array_equal(test.wins, slow)


def test_youden_separates_as_well_as_the_best_roc_point():
    rng = np.random.default_rng(1)
    for shift in (0.0, 0.5, 2.0):
        ours, theirs = rng.gamma(2.0, 1.0, 60) + shift, rng.gamma(2.0, 1.0, 80)
        at = best_threshold(ours, theirs)
        fpr, tpr, _ = roc_curve(np.repeat([1, 0], [60, 80]), np.concatenate([ours, theirs]), drop_intermediate=False)
        assert (ours > at).mean() - (theirs > at).mean() == pytest.approx(np.max(tpr - fpr), abs=1e-12)


def test_scores_of_zero_take_no_part_in_the_threshold():
    ours, theirs = np.array([0.0, 0.0, 5.0, 6.0]), np.array([0.0, 1.0, 2.0])
    assert best_threshold(ours, theirs) == 2.0
    assert best_threshold(np.zeros(3), theirs) == 0.0


def test_hits_hold_the_share_of_the_background_that_scores_as_high():
    ours, theirs = np.array([[1.0, 4.0, 9.0]]), np.array([[2.0, 4.0, 5.0, 0.0]])
    hits = hit_shares(ours, theirs, 3.0)
    np.testing.assert_allclose(hits.toarray(), [[0, 2.5 / 5, 0.5 / 5]])
    assert hit_shares(np.empty((0, 3)), np.empty((0, 4)), 3.0).shape == (0, 3)
