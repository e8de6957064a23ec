"""Random networks keep what they promise to keep, and change the rest."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import grnformer_sc as grs


def network(seed: int, n_tfs: int, n_genes: int, share: float, *, loops: bool = False) -> pd.DataFrame:
    """Distinct random links of hubs and others; TFs are genes as well."""
    rng = np.random.default_rng(seed)
    reach = rng.beta(0.5, 2, n_tfs)[:, None] * share * 4
    tf, gene = np.nonzero(rng.random((n_tfs, n_genes)) < reach)
    keep = np.ones(tf.size, bool) if loops else tf != gene
    links = pd.DataFrame({"tf": [f"n{i}" for i in tf[keep]], "gene": [f"n{i}" for i in gene[keep]]})
    return links.assign(score=rng.random(len(links)))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(5, 60), st.floats(0.05, 0.6), st.booleans())
def test_rewired_links_keep_every_degree_and_make_no_double_link(seed, n_tfs, n_genes, share, loops):
    links = network(seed, n_tfs, n_genes, share, loops=loops)
    other = grs.metrics.rewired_links(links, rng=seed)
    pd.testing.assert_frame_equal(other[["tf", "score"]], links[["tf", "score"]])
    assert sorted(other["gene"]) == sorted(links["gene"])
    assert not other.duplicated(["tf", "gene"]).any()
    if not (links["tf"] == links["gene"]).any():
        assert not (other["tf"] == other["gene"]).any()


def test_rewired_links_are_like_draws_of_all_networks_with_these_degrees():
    links = pd.DataFrame({"tf": list("AABC"), "gene": list("wxyz")})
    drawn = [grs.metrics.rewired_links(links, rng=seed) for seed in range(600)]
    of_b = pd.Series([table["gene"].iloc[2] for table in drawn]).value_counts(normalize=True)
    # B's target is one of four genes; each is as likely by symmetry
    assert of_b.index.sort_values().tolist() == list("wxyz")
    assert (of_b - 0.25).abs().max() < 0.08


def test_rewired_links_forget_where_they_were():
    rng = np.random.default_rng(1)
    links = pd.DataFrame(
        {
            "tf": [f"t{i}" for i in range(20) for _ in range(20)],
            "gene": [f"g{g}" for _ in range(20) for g in rng.choice(200, 20, replace=False)],
        }
    )
    other = grs.metrics.rewired_links(links, rng=1)
    chance = 20 / 200
    kept = pd.MultiIndex.from_frame(other[["tf", "gene"]]).isin(pd.MultiIndex.from_frame(links[["tf", "gene"]])).mean()
    assert kept < 2 * chance


def test_a_double_link_is_an_error():
    links = pd.DataFrame({"tf": ["A", "A"], "gene": ["x", "x"]})
    with pytest.raises(ValueError, match=r"links must be distinct in 'tf' and 'gene'.*drop_duplicates"):
        grs.metrics.rewired_links(links)


def test_expression_matched_targets_have_like_expression_and_keep_shared_targets():
    rng = np.random.default_rng(0)
    genes = [f"g{i}" for i in range(200)]
    level = pd.Series(np.sort(rng.random(200)), index=genes).sample(frac=1, random_state=0)
    links = pd.DataFrame({"tf": rng.choice(list("ABCD"), 150), "gene": rng.choice(genes, 150)}).drop_duplicates()
    other = grs.metrics.expression_matched_links(links, level, rng=3)
    rank = level.rank()
    far = np.abs(rank[links["gene"]].to_numpy() - rank[other["gene"]].to_numpy())
    assert far.max() < 20
    assert other.groupby("gene").size().sort_values().tolist() == links.groupby("gene").size().sort_values().tolist()
    renamed = dict(zip(links["gene"], other["gene"], strict=True))
    assert other["gene"].tolist() == [renamed[gene] for gene in links["gene"]]  # one gene, one new name
    assert (other["gene"].to_numpy() != links["gene"].to_numpy()).mean() > 0.8
    again = grs.metrics.expression_matched_links(links, level.sort_index(ascending=False), rng=3)
    pd.testing.assert_frame_equal(again, other)  # the order of genes plays no part


def test_expression_of_every_target_is_needed():
    with pytest.raises(KeyError, match=r"every target needs its mean expression.*\[y\]"):
        grs.metrics.expression_matched_links(pd.DataFrame({"tf": ["A"], "gene": ["y"]}), {"x": 1.0})


def measure_against(truth: pd.DataFrame, n_tfs: int, n_genes: int):
    return lambda links: grs.metrics.link_recovery(links, truth, universe=n_tfs * n_genes)


def test_a_network_that_knows_only_hubs_is_no_better_than_its_null():
    tfs, genes = [f"t{i}" for i in range(20)], [f"g{i}" for i in range(200)]
    z, ratios = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        hub = rng.permutation(np.r_[np.full(20, 0.5), np.full(180, 0.02)])
        at = [np.nonzero(rng.random((20, 200)) < hub) for _ in range(2)]
        truth, hubs = (pd.DataFrame({"tf": np.take(tfs, tf), "gene": np.take(genes, gene)}) for tf, gene in at)
        judged = grs.metrics.against_nulls(measure_against(truth, 20, 200), hubs.assign(score=1.0), n_nulls=20)
        value, mean, low, high = judged.loc["precision", ["value", "degree_mean", "degree_low", "degree_high"]]
        ratios.append(judged.loc["aupr_ratio", "value"])
        z.append((value - mean) / ((high - low) / 3.92))
    assert np.mean(ratios) > 1.8  # looks good ...
    assert abs(np.mean(z)) < 3 / np.sqrt(12)  # ... and is what its degrees alone give


def test_a_right_network_is_above_its_nulls():
    truth = network(3, 20, 200, 0.2)
    right = truth.sample(frac=0.5, random_state=0).assign(score=1.0)
    level = pd.Series(1.0, index=[f"n{i}" for i in range(200)])
    judged = grs.metrics.against_nulls(measure_against(truth, 20, 200), right, n_nulls=20, expression=level)
    assert judged.loc["precision", "value"] == 1
    assert judged.loc["precision", "value"] > judged.loc["precision", ["degree_high", "expression_high"]].max()


def test_bootstrap_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for trial in range(200):
        found = grs.metrics.bootstrap_mean(rng.exponential(size=60), n_draws=300, rng=trial)
        inside += found["low"] <= 1 <= found["high"]
    assert 0.88 <= inside / 200 <= 0.99
    one = grs.metrics.bootstrap_mean(np.array([2.0, np.nan]))
    assert one["mean"] == 2
    assert one["n"] == 1
    assert np.isnan(one["low"])
    with pytest.raises(ValueError, match="a mean needs at least one number"):
        grs.metrics.bootstrap_mean(np.array([np.nan]))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_overlap_equals_sets(seed):
    tables = {name: network(seed + i, 4, 10, 0.2) for i, name in enumerate("abc")}
    sets = {name: set(table[["tf", "gene"]].itertuples(index=False, name=None)) for name, table in tables.items()}
    if not all(sets.values()):
        return
    jaccard = grs.metrics.link_overlap(tables)
    smaller = grs.metrics.link_overlap(tables, kind="smaller")
    for a, one in sets.items():
        for b, other in sets.items():
            assert jaccard.loc[a, b] == pytest.approx(len(one & other) / len(one | other))
            assert smaller.loc[a, b] == pytest.approx(len(one & other) / min(len(one), len(other)))


def test_overlap_of_the_best_links():
    one = pd.DataFrame({"tf": list("AAB"), "gene": list("xyx"), "score": [3.0, 2.0, 1.0]})
    other = one.assign(score=[3.0, 1.0, 2.0])
    assert grs.metrics.link_overlap({"one": one, "other": other}).loc["one", "other"] == 1
    assert grs.metrics.link_overlap({"one": one, "other": other}, top=2).loc["one", "other"] == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="at least two networks with links"):
        grs.metrics.link_overlap({"one": one, "none": one.head(0)})
