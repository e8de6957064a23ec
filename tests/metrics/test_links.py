"""Link recovery equals scikit-learn on the dense matrix of all pairs, ties included."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

import grnformer_sc as grs


def dense_case(seed: int, levels: int, share: float):
    """Random truth and scores on 6 TFs x 9 genes; a share of the pairs is not predicted."""
    rng = np.random.default_rng(seed)
    pairs = pd.MultiIndex.from_product([list("ABCDEF"), [f"g{i}" for i in range(9)]], names=["tf", "gene"]).to_frame(
        index=False
    )
    truth = rng.random(len(pairs)) < 0.2
    truth[0] = True
    score = rng.integers(1, levels + 1, len(pairs)).astype(float)
    shown = rng.random(len(pairs)) < share
    return pairs, truth, score, shown


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([2, 5, 10_000]), st.sampled_from([0.0, 0.5, 1.0]))
def test_equal_to_sklearn_on_all_pairs(seed, levels, share):
    pairs, truth, score, shown = dense_case(seed, levels, share)
    got = grs.metrics.link_recovery(pairs[shown].assign(score=score[shown]), pairs[truth], universe=pairs)
    dense = np.where(shown, score, -1.0)
    assert got["aupr"] == pytest.approx(average_precision_score(truth, dense), abs=1e-12)
    assert got["auroc"] == pytest.approx(roc_auc_score(truth, dense), abs=1e-12)
    assert got["random"] == truth.mean()
    by_number = grs.metrics.link_recovery(pairs[shown].assign(score=score[shown]), pairs[truth], universe=len(pairs))
    pd.testing.assert_series_equal(by_number, got)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([2, 5, 10_000]))
def test_average_precision_equals_sklearn(seed, levels):
    _, truth, score, _ = dense_case(seed, levels, 1.0)
    assert grs.metrics.average_precision(truth, score) == pytest.approx(
        average_precision_score(truth, score), abs=1e-12
    )


def test_early_precision_is_the_mean_over_all_orders_of_ties():
    pairs, truth, score, shown = dense_case(3, 3, 0.6)
    got = grs.metrics.link_recovery(pairs[shown].assign(score=score[shown]), pairs[truth], universe=pairs)
    rng, k = np.random.default_rng(0), truth.sum()
    dense = np.where(shown, score, -1.0)
    draws = [truth[np.lexsort((rng.random(truth.size), -dense))[:k]].mean() for _ in range(4000)]
    assert got["early_precision"] == pytest.approx(np.mean(draws), abs=0.01)
    assert got["early_precision_ratio"] == pytest.approx(got["early_precision"] / truth.mean())


def test_random_scores_reach_the_share_of_true_links():
    rng = np.random.default_rng(0)
    pairs = pd.DataFrame({"tf": np.repeat(np.arange(50), 400), "gene": np.tile(np.arange(400), 50)})
    truth = pairs.sample(1000, random_state=0)
    got = grs.metrics.link_recovery(pairs.assign(score=rng.random(len(pairs))), truth)
    assert got["aupr"] == pytest.approx(got["random"], rel=0.1)
    assert got["early_precision_ratio"] == pytest.approx(1, abs=0.3)
    assert got["auroc"] == pytest.approx(0.5, abs=0.02)


def test_repeated_links_count_once_and_order_plays_no_part():
    pairs, truth, score, _ = dense_case(5, 4, 1.0)
    table = pairs.assign(score=score)
    worse = pd.concat([table, table.assign(score=0.5)]).sample(frac=1, random_state=0)
    want = grs.metrics.link_recovery(table, pairs[truth])
    pd.testing.assert_series_equal(grs.metrics.link_recovery(worse, pd.concat([pairs[truth]] * 2)), want)


def test_links_outside_the_universe_are_left_out_and_categories_are_fine():
    pairs, truth, score, _ = dense_case(7, 9, 1.0)
    stray = pd.DataFrame({"tf": ["Z"], "gene": ["g0"], "score": [99.0]})
    table = pd.concat([pairs.assign(score=score), stray]).astype({"tf": "category"})
    got = grs.metrics.link_recovery(table, pairs[truth], universe=pairs)
    assert got["n_universe"] == len(pairs)
    assert got["aupr"] == pytest.approx(average_precision_score(truth, score))


def test_perfect_scores_reach_one_even_without_false_links():
    pairs = pd.DataFrame({"tf": ["A", "B"], "gene": ["x", "x"], "score": [1.0, 2.0]})
    got = grs.metrics.link_recovery(pairs, pairs, universe=pairs)
    assert got["aupr"] == 1
    assert np.isnan(got["auroc"])
    assert np.isnan(grs.metrics.average_precision(np.array([False]), np.array([1.0])))


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"score": [np.nan, 1.0]}, ValueError, "finite"),
        ({"tf": None}, KeyError, "links need the columns"),
    ],
)
def test_bad_tables_are_named(change, error, text):
    table = pd.DataFrame({"tf": ["A", "B"], "gene": ["x", "y"], "score": [1.0, 2.0]})
    truth = table[["tf", "gene"]]
    bad = table.drop(columns="tf") if change.get("tf", "") is None else table.assign(**change)
    with pytest.raises(error, match=text):
        grs.metrics.link_recovery(bad, truth)


@pytest.mark.parametrize("universe", [1, pd.DataFrame({"tf": ["Q"], "gene": ["q"]})])
def test_a_universe_without_the_links_is_an_error(universe):
    table = pd.DataFrame({"tf": ["A", "B"], "gene": ["x", "y"], "score": [1.0, 2.0]})
    with pytest.raises(ValueError, match="universe must hold"):
        grs.metrics.link_recovery(table, table, universe=universe)


def test_precision_recall_and_f_of_the_set():
    truth = pd.DataFrame({"tf": list("AAB"), "gene": list("xyz"), "sign": [1, -1, 1]})
    predicted = pd.DataFrame(
        {"tf": list("AAAB"), "gene": list("xyzx"), "sign": [1, 1, 1, 1], "score": [0.1, 0.2, 3, 4]}
    )
    got = grs.metrics.link_recovery(predicted, truth)
    assert got["precision"] == 0.5
    assert got["recall"] == pytest.approx(2 / 3)
    assert got["f01"] == pytest.approx(1.01 * 0.5 * (2 / 3) / (0.01 * 0.5 + 2 / 3))
    assert got["signed_recall"] == pytest.approx(1 / 3)
    assert "signed_recall" not in grs.metrics.link_recovery(predicted.drop(columns="sign"), truth)


def test_the_sign_of_a_repeated_link_is_that_of_its_best_score():
    truth = pd.DataFrame({"tf": ["A"], "gene": ["x"], "sign": [-1]})
    twice = pd.DataFrame({"tf": ["A", "A"], "gene": ["x", "x"], "sign": [1, -1], "score": [1.0, 2.0]})
    assert grs.metrics.link_recovery(twice, truth)["signed_recall"] == 1
    assert grs.metrics.link_recovery(twice.assign(score=[2.0, 1.0]), truth)["signed_recall"] == 0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_figures_per_tf_are_those_of_its_own_pairs(seed, table):
    pairs, truth, score, shown = dense_case(seed, 5, 0.5)
    got = grs.metrics.recovery_per_tf(
        pairs[shown].assign(score=score[shown]), pairs[truth], universe=pairs if table else None
    )
    n_genes = pd.concat([pairs[shown], pairs[truth]])["gene"].nunique()
    for tf in got.index:
        own = (pairs["tf"] == tf).to_numpy()
        wanted = grs.metrics.link_recovery(
            pairs[shown & own].assign(score=score[shown & own]), pairs[truth & own], universe=9 if table else n_genes
        )
        pd.testing.assert_series_equal(got.loc[tf], wanted, check_names=False)
    assert sorted(got.index) == sorted(pairs["tf"][truth].unique())
