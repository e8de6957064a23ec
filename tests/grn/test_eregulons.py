"""eRegulons: threshold rules, leading edges, and the modules of SCENIC+."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from grnformer_sc.grn._kernels.basc import step_threshold
from grnformer_sc.grn.eregulons import (
    EregulonSettings,
    Links,
    binarise,
    correlation_regulons,
    leading_edge_members,
    motif_eregulons,
    supported_links,
)


def slow_edge(weight: np.ndarray, member: np.ndarray, min_targets: int) -> np.ndarray:
    """Members up to the maximum of the running sum (weights in descending order)."""
    if member.sum() < min_targets:
        return np.zeros_like(member)
    hit = np.cumsum(weight * member) / (weight * member).sum()
    running = hit - np.cumsum(~member) / max(1, (~member).sum())
    if running.max() <= -running.min():
        return np.zeros_like(member)
    edge = member & (np.arange(member.size) <= running.argmax())
    return edge if edge.sum() >= min_targets else np.zeros_like(member)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0.05, 0.9))
def test_leading_edges_equal_the_running_sum(seed, share):
    rng = np.random.default_rng(seed)
    importance = rng.gamma(1, 1, (3, 60))
    allowed = rng.random((3, 60)) < 0.8
    members = sp.csr_matrix(rng.random((3, 60)) < share)
    got = leading_edge_members(members, importance, allowed, 4).toarray()
    for tf in range(3):
        order = np.argsort(-np.where(allowed[tf], importance[tf], -np.inf), kind="stable")[: allowed[tf].sum()]
        expected = np.zeros(60, dtype=bool)
        expected[order] = slow_edge(importance[tf, order], members.toarray()[tf, order], 4)
        np.testing.assert_array_equal(got[tf], expected)


def test_threshold_rules_equal_pandas_per_target():
    rng = np.random.default_rng(0)
    target = np.repeat(np.arange(20), rng.integers(1, 40, 20))
    links = Links(np.arange(target.size), target, rng.random(target.size))
    frame = pd.DataFrame({"target": target, "score": links.score})
    masks = list(binarise(links, EregulonSettings()))
    grouped = frame.groupby("target")["score"]
    for q, mask in zip((0.85, 0.9, 0.95), masks[:3], strict=True):
        np.testing.assert_array_equal(mask, frame["score"] > grouped.transform("quantile", q))
    for n, mask in zip((5, 10, 15), masks[3:], strict=True):
        np.testing.assert_array_equal(mask, grouped.rank(ascending=False) <= n)


def slow_basc(u: np.ndarray) -> float:
    """BASC A by trying every step function (the best of each number of breaks, found by enumeration)."""
    n = u.size
    error = [((u - (u[p] + u[p + 1]) / 2) ** 2).sum() for p in range(n - 1)]
    strongest = []
    for j in range(1, n - 1):
        cuts = list(combinations(range(n - 1), j))
        parts = [np.split(u, np.add(cut, 1)) for cut in cuts]
        best = int(np.argmin([sum(((p - p.mean()) ** 2).sum() for p in steps) for steps in parts]))
        jump = np.diff([p.mean() for p in parts[best]])
        strongest.append(cuts[best][int(np.argmax([h / error[p] for h, p in zip(jump, cuts[best], strict=True)]))])
    middle = int(np.median(strongest))
    return (u[middle] + u[middle + 1]) / 2


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(3, 9))
def test_basc_equals_an_exhaustive_search(seed, n):
    u = np.sort(np.random.default_rng(seed).gamma(1, 1, n))
    assert step_threshold(u) == pytest.approx(slow_basc(u), rel=1e-12)


def test_basc_finds_the_gap_and_keeps_one_or_two_links():
    score = np.r_[np.linspace(0, 0.1, 20), 0.8, 0.9, [0.5], [0.1, 0.9]]
    links = Links(np.arange(score.size), np.repeat([0, 1, 2], [22, 1, 2]), score)
    mask = next(iter(binarise(links, EregulonSettings(quantiles=(), top=(), basc=True))))
    assert np.flatnonzero(mask).tolist() == [20, 21, 22, 23, 24]


def test_basc_of_scenicplus_looks_at_the_weakest_hundred_only():
    score = np.r_[np.linspace(0, 0.1, 99), 1.0, np.linspace(5, 6, 10)]
    links = Links(np.arange(score.size), np.zeros(score.size, dtype=int), score)
    rules = {basc: EregulonSettings(quantiles=(), top=(), basc=basc) for basc in (True, "scenicplus")}
    kept = {basc: np.flatnonzero(next(iter(binarise(links, rule)))).tolist() for basc, rule in rules.items()}
    assert kept == {True: list(range(100, 110)), "scenicplus": [99]}


def test_support_counts_the_rules_that_agree():
    links = Links(np.arange(30), np.zeros(30, dtype=int), np.linspace(0, 1, 30))
    assert supported_links(links, EregulonSettings(min_support=6)).sum() == 2  # above the 95 % quantile
    assert supported_links(links, EregulonSettings(min_support=1)).sum() == 15  # the largest top-n rule


def test_every_triplet_has_its_motif_and_its_link():
    rng = np.random.default_rng(1)
    n_tfs, n_genes, n_regions = 4, 80, 200
    target = np.repeat(np.arange(n_genes), 6)
    region = rng.integers(0, n_regions, target.size)
    order = np.unique(np.column_stack([target, region]), axis=0)
    links = Links(order[:, 1], order[:, 0], rng.random(len(order)))
    motifs = sp.csr_matrix(rng.random((n_regions, n_tfs)) < 0.5)
    rho = rng.uniform(-1, 1, (n_tfs, n_genes))
    made = motif_eregulons(
        links, rng.uniform(-1, 1, len(order)), motifs, rng.random((n_tfs, n_genes)), rho,
        EregulonSettings(min_targets=3, min_support=1, closed=True),
    )  # fmt: skip
    assert made.tf.size > 50
    assert np.asarray(motifs[made.region, made.tf]).all()
    assert set(zip(made.gene, made.region, strict=True)) <= set(map(tuple, order))
    assert (np.sign(rho[made.tf, made.gene]) == made.sign).all()
    assert set(np.unique(made.region_sign)) == {-1, 1}
    assert made.support.max() <= 6


def test_correlation_regulons_keep_strong_tfs_of_each_gene_by_sign():
    rng = np.random.default_rng(2)
    importance, rho = rng.random((80, 100)), rng.uniform(-1, 1, (80, 100))
    made = correlation_regulons(importance, rho, EregulonSettings())
    assert (np.sign(rho[made.tf, made.gene]) == made.sign).all()
    assert (made.region == -1).all()
    assert (made.region_sign == 0).all()
    sizes = pd.Series(made.gene).groupby([made.tf, made.sign]).size()
    assert (sizes >= 10).all()
    assert importance[made.tf, made.gene].mean() > importance.mean() + 0.1


def test_no_links_give_no_triplets():
    made = correlation_regulons(np.zeros((3, 9)), np.zeros((3, 9)), EregulonSettings())
    assert made.tf.size == 0
