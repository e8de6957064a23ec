"""Motif enrichment by rankings: the published formulas, planted sets, chance, order."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from grnformer_sc.grn.cistarget import Cutoffs, best_ranks, recover
from grnformer_sc.grn.cistromes import max_product, strongest


def rankings(rng, n_motifs, n_regions):
    """One permutation of 0 .. n_regions - 1 per motif."""
    return np.argsort(rng.random((n_motifs, n_regions)), axis=1).astype(np.int32)


def stored(ranks, cutoffs, step=7):
    """Ranks handed over in blocks of motifs and of regions."""
    shape = ranks.shape
    blocks = (
        (slice(a, min(a + step, shape[0])), np.arange(b, min(b + 11, shape[1])), ranks[a : a + step, b : b + 11])
        for a in range(0, shape[0], step)
        for b in range(0, shape[1], 11)
    )
    return best_ranks(blocks, shape, cutoffs).tocsr()


def plain_cistarget(ranks, members, n_regions, auc_threshold, rank_threshold, min_nes):
    """The formulas, one motif and one rank at a time."""
    n_motifs, last = len(ranks), int(rank_threshold * n_regions + 1e-9)
    rcc = np.array([[np.sum(ranks[m, members] <= k) for k in range(last + 1)] for m in range(n_motifs)], dtype=float)
    K = round(auc_threshold * n_regions) - 1
    auc = np.array([sum(rcc[m, k] for k in range(K)) / ((K + 1) * len(members)) for m in range(n_motifs)])
    nes = (auc - np.mean(auc)) / np.std(auc)
    usual = np.array([np.mean(rcc[:, k]) + 2 * np.std(rcc[:, k]) for k in range(last + 1)])
    edges = {
        m: {x for x in range(len(members)) if ranks[m, members[x]] <= np.argmax(rcc[m] - usual)}
        for m in range(n_motifs)
        if nes[m] >= min_nes
    }
    return auc, nes, edges


@pytest.mark.parametrize(("seed", "size"), [(0, 30), (1, 3), (2, 200), (3, 1)])
def test_equal_to_the_published_formulas(seed, size):
    rng = np.random.default_rng(seed)
    ranks = rankings(rng, 40, 1000)
    members = np.sort(rng.choice(1000, size, replace=False))
    for m in (5, 6):  # planted, so that there is a leading edge
        order = np.argsort(~np.isin(np.arange(1000), members) + 0.4 * rng.random(1000))
        ranks[m, order] = np.arange(1000)
    auc, nes, edges = plain_cistarget(ranks, members, 1000, 0.02, 0.15, 1.0)
    cutoffs = Cutoffs.of(1000, 0.02, 0.15)
    found = recover(stored(ranks, cutoffs)[:, members], cutoffs, min_nes=1.0)
    np.testing.assert_allclose(found.auc, auc, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.nes, nes, rtol=0, atol=1e-12)
    assert found.enriched.tolist() == sorted(edges)
    for row, m in enumerate(found.enriched):
        assert set(found.hits[[row]].indices.tolist()) == edges[m]


def test_a_motif_whose_best_regions_are_the_set_is_found_with_all_of_them():
    rng = np.random.default_rng(0)
    ranks = rankings(rng, 300, 20_000)
    members = np.sort(rng.choice(20_000, 80, replace=False))
    others = np.setdiff1d(np.arange(20_000), members)
    ranks[17, members], ranks[17, others] = rng.permutation(80), 80 + rng.permutation(others.size)
    cutoffs = Cutoffs.of(20_000, 0.005, 0.05)
    found = recover(stored(ranks, cutoffs, 100)[:, members], cutoffs, min_nes=3.0)
    assert 17 in found.enriched
    assert found.nes[17] > 10
    assert found.hits[[found.enriched.tolist().index(17)]].nnz == members.size


def test_random_sets_are_rarely_enriched():
    """A NES of 3 is passed by 0.13 % of normal values; areas are skewed, so that some more do."""
    rng = np.random.default_rng(1)
    ranks = rankings(rng, 200, 20_000)
    cutoffs = Cutoffs.of(20_000, 0.005, 0.05)
    kept = stored(ranks, cutoffs, 100)
    passed = [
        recover(kept[:, rng.choice(20_000, 400, replace=False)], cutoffs, min_nes=3.0).enriched.size for _ in range(30)
    ]
    assert np.mean(passed) / 200 < 0.02


def test_the_order_of_motifs_and_regions_does_not_matter():
    rng = np.random.default_rng(2)
    ranks = rankings(rng, 50, 2000)
    members = rng.choice(2000, 60, replace=False)
    cutoffs = Cutoffs.of(2000, 0.01, 0.1)
    motif, region = rng.permutation(50), rng.permutation(2000)
    one = recover(stored(ranks, cutoffs)[:, members], cutoffs, min_nes=1.0)
    place = np.argsort(region)
    two = recover(stored(ranks[motif][:, region], cutoffs)[:, place[members]], cutoffs, min_nes=1.0)
    np.testing.assert_array_equal(one.nes[motif], two.nes)
    assert sorted(motif[two.enriched].tolist()) == one.enriched.tolist()
    by_motif = {motif[m]: sorted(two.hits[[row]].indices) for row, m in enumerate(two.enriched)}
    assert by_motif == {m: sorted(one.hits[[row]].indices) for row, m in enumerate(one.enriched)}


def test_motifs_that_are_all_alike_are_not_enriched():
    ranks = np.tile(np.arange(1000, dtype=np.int32), (5, 1))
    cutoffs = Cutoffs.of(1000, 0.01, 0.1)
    found = recover(stored(ranks, cutoffs)[:, :20], cutoffs, min_nes=3.0)
    assert found.nes.tolist() == [0.0] * 5
    assert found.hits.shape == (0, 20)


def test_a_database_too_small_for_the_threshold_is_an_error():
    with pytest.raises(ValueError, match=r"auc_threshold >= 0\.025"):
        Cutoffs.of(100, 0.005, 0.05)


def test_the_largest_product_equals_a_dense_loop():
    rng = np.random.default_rng(0)
    a, b = (sp.random(*shape, 0.2, format="csr", rng=rng, dtype=np.float32) for shape in ((9, 14), (14, 6)))
    slow = (a.toarray()[:, :, None] * b.toarray()[None]).max(axis=1)
    np.testing.assert_allclose(max_product(a, b).toarray(), slow, rtol=1e-6)
    empty = max_product(sp.csr_matrix((9, 14), dtype=np.float32), b)
    assert empty.shape == (9, 6)
    assert empty.nnz == 0


def test_the_strongest_of_several_values_is_kept():
    made = strongest(np.array([1, 0, 1]), np.array([2, 0, 2]), np.array([0.5, 1.0, 3.0]), (2, 3))
    assert made.toarray().tolist() == [[1, 0, 0], [0, 0, 3]]
