"""Triplet scores, ranks and frequencies against plain definitions."""

from __future__ import annotations

from math import comb

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from grnformer_sc._core.tables import edge_table
from grnformer_sc.grn.eregulons import Modules
from grnformer_sc.grn.layout import edge_frequency, rows_of, triplet_rank, triplet_scores, weight_matrix
from grnformer_sc.grn.links import Evidence, LinkScores
from grnformer_sc.grn.tf_gene import TfGeneLinks


def order_statistic(ratios: list[float]) -> float:
    """Joint probability of n uniform order statistics, as the recursion of Aerts et al. is written."""
    r = [0.0, *sorted(ratios)]
    n = len(ratios)
    w = [1.0]
    for k in range(1, n + 1):
        w.append(sum((-1) ** j * comb(k, j + 1) * r[n - k + 1] ** (j + 1) * w[k - j - 1] for j in range(k)))
    return w[n]


@given(arrays(float, (3, 12), elements=st.floats(0, 1, width=16), unique=True))
def test_triplets_are_ranked_by_the_order_statistic(parts):
    ratios = [np.argsort(np.argsort(-part)) + 1.0 for part in parts]
    q = np.array([order_statistic([r[i] / 12 for r in ratios]) for i in range(12)])
    rank = triplet_rank(list(parts))
    assert (np.diff(q[np.argsort(rank, kind="stable")]) >= -1e-12).all()


def test_three_parts_have_the_closed_form():
    """Q = 6 r1 r2 r3 - 3 r1 r2^2 - 3 r1^2 r3 + r1^3 for ascending ratios."""
    rng = np.random.default_rng(0)
    r1, r2, r3 = np.sort(rng.random((3, 50)), axis=0)
    closed = 6 * r1 * r2 * r3 - 3 * r1 * r2**2 - 3 * r1**2 * r3 + r1**3
    np.testing.assert_allclose([order_statistic(list(r)) for r in zip(r1, r2, r3, strict=True)], closed, atol=1e-12)


def test_the_best_in_every_part_is_first_and_equals_share_their_rank():
    parts = [np.array([3.0, 1, 1, 0]), np.array([9.0, 2, 2, 1])]
    np.testing.assert_array_equal(triplet_rank(parts), [1, 2.5, 2.5, 4])


def test_hits_are_ranked_within_their_tf():
    hits = sp.csr_matrix([[5.0, 0], [7, 20], [0, 10], [6, 10]])
    expected = [[1 / 3, 0], [1, 1], [0, 0.5], [2 / 3, 0.5]]
    np.testing.assert_allclose(Evidence(motifs=hits).ranks.toarray(), expected)


@pytest.fixture
def network():
    """Two triplets with a region and, without motifs, one link that has none."""
    one = np.ones(3, dtype=np.int64)
    modules = Modules(np.array([0, 0, 1]), np.array([0, 1, -1]), np.array([0, 1, 1]), one, one, np.array([2, 4, 3]))
    pairs = pd.DataFrame({"gene": [0, 1, 1], "region": [0, 1, 0], "score": [0.25, 0.04, 0.5]})
    quarter = np.full((2, 2), 0.25, np.float32)
    tf_gene = TfGeneLinks(importance=quarter, ridge=quarter, boosting=quarter, rho=quarter, vote=quarter)
    return modules, LinkScores(pairs, tf_gene)


def test_a_score_is_the_product_of_its_parts(network):
    modules, scores = network
    expected = [0.25 * 2 * 0.5, 0.25 * 4 * 0.2, 0.25 * 3 * 0.2]  # the last counts like the weakest region
    np.testing.assert_allclose(triplet_scores(modules, scores, Evidence(), 2), expected, rtol=1e-6)


def test_a_strong_motif_raises_a_score(network):
    modules, scores = network
    some = Modules(*(getattr(modules, name)[:2] for name in Modules.__dataclass_fields__))
    hits = sp.csr_matrix(np.array([[3.0, 0], [6, 0]]))
    plain = triplet_scores(some, scores, Evidence(), 2)
    np.testing.assert_allclose(triplet_scores(some, scores, Evidence(motifs=hits), 2), plain * [0.5, 1])


def test_extended_hits_join_direct_ones():
    direct, extended = sp.csr_matrix([[1.0, 0]]), sp.csr_matrix([[0, 2.0]])
    assert Evidence(motifs=direct).hits is direct
    np.testing.assert_array_equal(Evidence(motifs=direct, extended=extended).hits.toarray(), [[1, 2]])


def test_frequency_counts_the_networks_that_hold_a_link():
    def edges(rows):
        return edge_table(pd.DataFrame([{"tf": "T", "gene": g, "region": r, "eregulon": "T|act"} for g, r in rows]))

    first = edges([("a", "x"), ("b", "x"), ("b", "y")])
    others = [edges([("a", "x"), ("b", "y")]), edges([("b", "y"), ("c", "x")])]
    np.testing.assert_array_equal(edge_frequency(first, others), [0.5, 0, 1])
    assert np.isnan(edge_frequency(first, [])).all()


@given(
    known=st.sets(st.tuples(st.integers(0, 4), st.integers(0, 5)), max_size=20),
    asked=st.lists(st.tuples(st.integers(0, 4), st.integers(-1, 5)), max_size=20),
)
def test_the_row_of_a_triplet_is_where_its_pair_stands(known, asked):
    """Against a dictionary of the sorted pairs; no region, or no such pair, is -1."""
    links = pd.DataFrame(sorted(known), columns=["gene", "region"], dtype=np.int64)
    gene, region = np.array(asked, dtype=np.int64).reshape(-1, 2).T
    one = np.ones(gene.size, dtype=np.int64)
    at = {pair: row for row, pair in enumerate(sorted(known))}
    found = rows_of(Modules(one, region, gene, one, one, one), links, n_regions=6)
    assert found.tolist() == [at.get(pair, -1) for pair in asked]


def test_links_with_an_end_that_is_absent_have_no_place_in_the_matrix():
    edges = pd.DataFrame(
        {"tf": ["A", "X", "A"], "gene": ["B", "B", "Y"], "tf_gene_importance": 2.0, "sign": [-1, 1, 1]}
    )
    found = weight_matrix(edges, pd.Index(["A", "B"]))
    np.testing.assert_array_equal(found.toarray(), [[0, -2], [0, 0]])
