from __future__ import annotations

import numpy as np
import pytest

from grnformer_sc.model.enrichment import matched_enrichment, nearest_others, tf_enrichment


@pytest.fixture
def nodes():
    rng = np.random.default_rng(0)
    is_tf = np.arange(200) < 30
    degree = np.where(is_tf, rng.integers(20, 40, 200), rng.integers(1, 40, 200)).astype(float)
    return is_tf, degree, rng


def test_attention_that_follows_degree_is_explained_by_degree(nodes):
    is_tf, degree, rng = nodes
    mass = degree * rng.gamma(50, 1 / 50, 200)
    plain = tf_enrichment(mass, is_tf, np.random.default_rng(1))
    matched = matched_enrichment(mass, is_tf, degree, np.random.default_rng(1))
    assert plain.rho == pytest.approx(mass[:30].mean() / mass[30:].mean())
    assert plain.p_value < 0.05  # the published ratio is fooled
    assert matched.rho == pytest.approx(1, abs=0.05)
    assert matched.p_value > 0.05


def test_attention_beyond_degree_is_found(nodes):
    is_tf, degree, rng = nodes
    mass = degree * np.where(is_tf, 2.0, 1.0) * rng.gamma(50, 1 / 50, 200)
    matched = matched_enrichment(mass, is_tf, degree, np.random.default_rng(1))
    assert matched.rho == pytest.approx(2, abs=0.2)
    assert matched.p_value == pytest.approx(0.001)


def test_matches_are_the_nearest_other_genes(nodes):
    is_tf, degree, _ = nodes
    found = nearest_others(degree, is_tf)
    assert not is_tf[found].any()
    gap = np.abs(degree[found] - degree[:30, None]).max(axis=1)
    others = np.sort(np.abs(degree[30:][None, :] - degree[:30, None]), axis=1)[:, 9]
    np.testing.assert_array_equal(gap, others)


@pytest.mark.parametrize("is_tf", [np.zeros(5, bool), np.ones(5, bool)])
def test_without_two_kinds_of_nodes_there_is_no_ratio(is_tf):
    rng = np.random.default_rng(0)
    assert np.isnan(tf_enrichment(np.ones(5), is_tf, rng).rho)
    assert np.isnan(matched_enrichment(np.ones(5), is_tf, np.ones(5), rng).p_value)
