"""eRegulons: threshold rules, leading edges, and the modules of SCENIC+."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

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


@pytest.mark.golden
def test_modules_equal_those_of_scenicplus_without_its_random_filter(golden_dir):
    """All triplets of the six rules that are not BASC, with their number of supporting rules."""
    folder = golden_dir / "scenicplus"
    planted = np.load(folder / "planted_input.npz")
    region_gene, tf_gene = np.load(folder / "planted_region_to_gene.npz"), np.load(folder / "planted_tf_to_gene.npz")
    genes, regions = pd.Index(planted["gene_names"]), pd.Index(planted["region_names"])
    n_tfs = int(planted["n_tf"])
    motifs = np.unpackbits(planted["motif"], axis=0, count=int(planted["motif_shape"][0])).astype(bool)
    gene = genes.get_indexer(region_gene["gene_names"][region_gene["gene"]])
    region = regions.get_indexer(region_gene["region_names"][region_gene["region"]])
    order = np.argsort(gene, kind="stable")
    importance, rho = np.zeros((n_tfs, genes.size)), np.zeros((n_tfs, genes.size))
    importance[tf_gene["tf"], tf_gene["gene"]] = tf_gene["importance"]
    rho[tf_gene["tf"], tf_gene["gene"]] = tf_gene["rho_pearson"]
    made = motif_eregulons(
        Links(region[order], gene[order], region_gene["importance"][order]), region_gene["rho_spearman"][order],
        sp.csr_matrix(motifs), importance, rho, EregulonSettings(min_support=1, closed=True),
    )  # fmt: skip
    word = {1: "+", -1: "-"}
    ours = {
        (genes[t], regions[r], genes[g], word[s], word[q]): n
        for t, r, g, s, q, n in zip(
            made.tf, made.region, made.gene, made.sign, made.region_sign, made.support, strict=True
        )
    }
    stored = pd.read_csv(folder / "planted_cli_nofilter_eregulons.csv.gz")
    rules = stored["thresholds"].str.split("|").map(lambda names: sum(not n.startswith("BASC") for n in names))
    theirs = dict(
        zip(
            stored[["TF", "region", "gene", "tf2g_sign", "r2g_sign"]].itertuples(index=False, name=None),
            rules,
            strict=True,
        )
    )
    theirs = {triplet: n for triplet, n in theirs.items() if n}
    assert set(ours) == set(theirs)
    differ = sum(ours[triplet] != n for triplet, n in theirs.items())
    assert differ <= 0.001 * len(theirs)  # links exactly on a quantile
