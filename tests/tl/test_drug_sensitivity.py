"""Sensitivity of cells from bulk labels: planted truth found, nothing found where nothing is, checks that name the trouble."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

import grnformer_sc as grs
from grnformer_sc._core.rows import Rows
from grnformer_sc.model.sensitivity_features import SharedGenes, _dense_ranks, _sparse_ranks, expression_features

FAST = {"n_seeds": 2}


@pytest.fixture(scope="module")
def planted():
    """Cells, with a network, and lines; never change them."""
    cells, lines = grs.datasets.simulate_drug_lines(200, 300, n_genes=160, n_tfs=12, rng=0)
    grs.tl.build_grn(cells, method="ridge", groupby="cell_type", tfs="is_tf")
    grs.tl.cell_grn(cells, key_added="grn_ridge", thresholds="fit", groupby="cell_type")
    return cells, lines


def auc(cells, drug="drug1", key=None):
    return grs.metrics.roc_auc(cells.obs[drug], cells.obs[key or f"sens_{drug}"])


@pytest.mark.parametrize(
    ("method", "use_rep"),
    [
        ("logistic", None),
        ("rank_ridge", None),
        ("adversarial", None),
        ("logistic", "regulons"),
        ("rank_ridge", "regulons"),
    ],
)
def test_planted_sensitivity_is_found(planted, method, use_rep):
    cells, lines = planted
    weight = {"lambda_domain": 0.1} if method == "adversarial" else {}
    out = grs.tl.drug_sensitivity(
        cells, lines, drug="drug1", method=method, use_rep=use_rep, key="grn_ridge", copy=True, **FAST, **weight
    )
    assert auc(out) > 0.8 if use_rep is None else auc(out) > 0.7
    stored = out.uns["sens_drug1"]
    assert stored["source_auc_low"] < stored["source_auc"] < stored["source_auc_high"]
    assert stored["source_auc"] > 0.75
    assert stored["calibration"]["brier"] < stored["calibration"]["brier_prior"]
    assert out.obs["sens_drug1"].between(0, 1).all()
    assert (out.obs["sens_drug1_sd"] > 0).all()
    assert "sens_drug1" not in cells.obs


@pytest.mark.parametrize(("method", "n"), [("logistic", 12), ("rank_ridge", 12), ("adversarial", 3)])
def test_permuted_labels_of_lines_find_nothing(planted, method, n):
    """A single permutation scores as whatever in the cells it happens to resemble; their mean is chance."""
    cells, lines = planted
    weight = {"lambda_domain": 0.1} if method == "adversarial" else {}
    out = grs.tl.drug_sensitivity(cells, lines, drug="drug1", method=method, n_seeds=1, copy=True, **weight)
    table = grs.tl.evaluate_drug_sensitivity(out, "drug1", reference=lines, n_permuted=n, n_draws=2).set_index("kind")
    assert 0.4 <= table.loc["control", "auc"] <= 0.6
    assert table.loc["ours", "auc"] > table.loc["control", "high"]


def test_without_a_planted_response_nothing_is_found():
    cells, lines = grs.datasets.simulate_drug_lines(200, 400, n_genes=100, n_tfs=10, planted=False, rng=0)
    grs.tl.drug_sensitivity(cells, lines, drug="drug1", **FAST)
    assert 0.4 <= auc(cells) <= 0.6
    assert 0.35 <= cells.uns["sens_drug1"]["source_auc"] <= 0.65
    assert cells.obs["sens_drug1"].between(0.3, 0.7).all()  # no signal: the share of the class


def test_flipped_labels_of_cells_give_one_minus_the_area(planted):
    cells = grs.tl.drug_sensitivity(*planted, drug="drug1", copy=True, **FAST)
    cells.obs["flipped"] = 1 - cells.obs["drug1"]
    one, two = (
        grs.tl.evaluate_drug_sensitivity(cells, {"drug1": column}, n_draws=20).set_index("score")["auc"]
        for column in ("drug1", "flipped")
    )
    assert abs(one["sens_drug1"] + two["sens_drug1"] - 1) < 1e-12
    assert abs(one["library size"] + two["library size"] - 1) < 1e-12
    assert one["first component"] == two["first component"] >= 0.5  # an oracle turns round with the labels
    assert one["class prior"] == 0.5


@pytest.mark.parametrize(("method", "more"), [("logistic", {}), ("adversarial", {"lambda_domain": 0.3})])
def test_same_seed_same_bits_with_any_number_of_threads(method, more):
    cells, lines = grs.datasets.simulate_drug_lines(60, 80, n_genes=60, n_tfs=8, rng=0)
    options = {"drug": "drug2", "method": method, "n_seeds": 1, "copy": True, **more}
    runs, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            runs.append(grs.tl.drug_sensitivity(cells, lines, rng=4, **options).obs["sens_drug2"].to_numpy())
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(*runs)
    assert (runs[0] != grs.tl.drug_sensitivity(cells, lines, rng=5, **options).obs["sens_drug2"]).any()


@pytest.mark.parametrize("method", ["logistic", "rank_ridge"])
def test_storage_chunks_and_order_of_genes_change_nothing(planted, method, tmp_path):
    cells, lines = planted
    plain = grs.tl.drug_sensitivity(cells, lines, drug="drug1", method=method, copy=True, **FAST).obs["sens_drug1"]
    bare = cells[:, ::-1].copy()
    bare.X = sp.csc_matrix(bare.X)
    bare.uns.clear()
    with grs.settings.override(chunk_cells=37):
        grs.tl.drug_sensitivity(bare, lines[:, ::-1].copy(), drug="drug1", method=method, **FAST)
    np.testing.assert_allclose(bare.obs["sens_drug1"], plain, atol=1e-5)


def test_labels_of_cells_change_nothing(planted):
    cells, lines = planted
    other = cells.copy()
    other.obs["drug1"] = 1 - other.obs["drug1"]
    found = [
        grs.tl.drug_sensitivity(part, lines, drug="drug1", label_key="drug1", batch_key="batch", copy=True, **FAST)
        for part in (cells, other)
    ]
    np.testing.assert_array_equal(found[0].obs["sens_drug1"], found[1].obs["sens_drug1"])
    batch = [part.uns["sens_drug1"]["batch"] for part in found]
    assert batch[0]["within_auc"] == pytest.approx(1 - batch[1]["within_auc"])


def test_a_platform_factor_of_every_gene_changes_nothing(planted):
    """Lines are scaled by their own mean and spread."""
    cells, lines = planted
    moved = lines.copy()
    rng = np.random.default_rng(0)
    moved.X = (moved.X * rng.uniform(0.5, 2, lines.n_vars) + rng.normal(0, 3, lines.n_vars)).astype(np.float32)
    one, two = (grs.tl.drug_sensitivity(cells, part, drug="drug1", copy=True, **FAST) for part in (lines, moved))
    np.testing.assert_allclose(one.obs["sens_drug1"], two.obs["sens_drug1"], atol=1e-3)


def test_ranks_of_sparse_rows_are_those_of_dense_ones():
    x = sp.random(30, 40, 0.3, "csr", np.float32, random_state=0)
    x.data = np.round(x.data * 5) + 1
    kept = np.array([0, 3, 17, 39])
    np.testing.assert_allclose(_sparse_ranks(x, kept), _dense_ranks(x.toarray().astype(float))[:, kept], atol=1e-6)


def test_features_have_unit_spread_in_both_domains():
    cells, lines = grs.datasets.simulate_drug_lines(60, 100, n_genes=60, n_tfs=8, rng=0)
    every = np.arange(60)
    found = expression_features(
        np.asarray(lines.X), Rows(sp.csr_matrix(cells.X)), SharedGenes(cells.var_names, every, every), "log"
    )
    for side in (found.lines, np.concatenate([block for _, block in found.blocks()])):
        assert np.abs(side.mean(axis=0)).max() < 0.2
        assert 0.8 < side.std(axis=0).mean() < 1.05


def test_embeddings_of_both_are_used_and_tables_are_matched_by_column(planted):
    cells, lines = planted[0].copy(), planted[1].copy()
    rng = np.random.default_rng(0)
    y = np.nan_to_num(lines.obs["drug1"].to_numpy())
    for side, of in ((cells, cells.obs["drug1"].to_numpy()), (lines, y)):
        side.obsm["X_both"] = pd.DataFrame({"a": rng.normal(of), "b": rng.normal(size=of.size)}, index=side.obs_names)
    cells.obsm["X_both"] = cells.obsm["X_both"][["b", "a"]]
    grs.tl.drug_sensitivity(cells, lines, drug="drug1", use_rep="X_both", **FAST)
    assert auc(cells) > 0.7
    cells.obsm["X_other"], lines.obsm["X_other"] = np.zeros((cells.n_obs, 2)), np.zeros((lines.n_obs, 3))
    with pytest.raises(ValueError, match="same columns"):
        grs.tl.drug_sensitivity(cells, lines, drug="drug1", use_rep="X_other")


def test_the_weight_of_the_domain_is_chosen_on_lines():
    cells, lines = grs.datasets.simulate_drug_lines(60, 80, n_genes=60, n_tfs=8, rng=0)
    grs.tl.drug_sensitivity(cells, lines, drug="drug1", method="adversarial", n_seeds=1)
    search, params = cells.uns["sens_drug1"]["search"], cells.uns["sens_drug1"]["params"]
    enough = search[search["auc"] >= search.loc[search["auc"].idxmax(), "low"]]
    assert params["lambda_domain"] == enough["lambda_domain"].max()
    assert params["lambda_chosen_by"] == "source_val"


def test_controls_and_baselines_stand_beside_ours(planted):
    cells = grs.tl.drug_sensitivity(*planted, drug="drug1", method="rank_ridge", n_seeds=1, copy=True)
    targets = cells.uns["drugs"].query("drug == 'drug1'")["tf"].tolist()
    table = grs.tl.evaluate_drug_sensitivity(
        cells,
        "drug1",
        reference=planted[1],
        target_genes={"drug1": targets},
        batch_key="batch",
        n_permuted=6,
        n_draws=50,
    )
    rows = table.set_index("score")
    assert list(rows.index[:5]) == ["sens_drug1", "class prior", "library size", "number of genes", "first component"]
    assert rows.loc["first component", "oracle"]
    assert rows["kind"].tolist() == ["ours", *["baseline"] * 5, "control"]
    assert rows.loc["sens_drug1", "auc"] == pytest.approx(auc(cells))
    assert 0.4 <= rows.loc["labels of lines permuted (6 times)", "auc"] <= 0.6
    assert rows.loc["sens_drug1", "batch_auc"] < 0.6


def test_results_under_other_names_are_judged_as_well(planted):
    cells, lines = planted
    out = grs.tl.drug_sensitivity(cells, lines, drug="drug1", n_seeds=1, copy=True)
    grs.tl.drug_sensitivity(out, lines, drug="drug1", method="rank_ridge", n_seeds=1, key_added="sens_ranks")
    table = grs.tl.evaluate_drug_sensitivity(
        out, {"drug1": "drug1", "ranks": "drug1"}, reference=lines, n_permuted=2, n_draws=5
    )
    ours = table[table["kind"] == "ours"].set_index("score")["auc"]
    assert ours["sens_ranks"] == auc(out, key="sens_ranks") != ours["sens_drug1"] == auc(out)
    assert (table["kind"] == "control").sum() == 2


def test_folds_are_scored_apart(planted):
    cells = grs.tl.drug_sensitivity(*planted, drug="drug1", n_seeds=1, copy=True)
    cells.obs["fold"] = np.arange(cells.n_obs) % 3
    ours = grs.tl.evaluate_drug_sensitivity(cells, "drug1", fold_key="fold", n_draws=20).iloc[0]
    by_hand = [auc(cells[cells.obs["fold"] == k]) for k in range(3)]
    assert ours["fold_mean"] == pytest.approx(np.mean(by_hand))
    assert ours["fold_sd"] == pytest.approx(np.std(by_hand))


def test_complementary_labels_of_two_drugs_are_named(planted):
    cells = planted[0].copy()
    cells.obs["sens_A"] = cells.obs["sens_B"] = np.linspace(0, 1, cells.n_obs)
    cells.obs["B"] = 1 - cells.obs["drug1"]
    with pytest.warns(
        grs.metrics.InvertedLabelsWarning, match=r"Same cells, inverted labels.*'(A|B)' and '(A|B)' agree in 0\.0%"
    ):
        table = grs.tl.evaluate_drug_sensitivity(cells, {"A": "drug1", "B": "B"}, n_draws=10)
    ours = table[table["kind"] == "ours"]["auc"].to_numpy()
    assert abs(ours.sum() - 1) < 1e-12


def test_labels_that_are_the_batch_are_named():
    cells, lines = grs.datasets.simulate_drug_lines(80, 120, n_genes=60, n_tfs=8, confounding=1, rng=0)
    with pytest.warns(grs.metrics.ConfoundedLabelsWarning, match="collinear"):
        grs.tl.drug_sensitivity(cells, lines, drug="drug1", n_seeds=1, batch_key="batch", label_key="drug1")
    assert np.isnan(cells.uns["sens_drug1"]["batch"]["within_auc"])
    with pytest.warns(grs.metrics.ConfoundedLabelsWarning, match="day|batch"):
        grs.tl.evaluate_drug_sensitivity(cells, "drug1", batch_key="batch", n_draws=10)


def test_one_class_and_missing_labels_of_cells_are_named(planted):
    cells = planted[0].copy()
    cells.obs["sens_A"], cells.obs["A"] = 0.5, 1
    with pytest.warns(grs.metrics.OneClassWarning, match="both classes"):
        assert grs.tl.evaluate_drug_sensitivity(cells, "A", n_draws=10)["auc"].isna().all()
    cells.obs["A"] = np.where(np.arange(cells.n_obs) < 5, np.nan, cells.obs["drug1"])
    with pytest.warns(grs.metrics.MissingLabelsWarning, match="5 of 300 without"):
        assert (grs.tl.evaluate_drug_sensitivity(cells, "A", n_draws=10)["n"] == 295).all()


def small(n_lines=40, **obs):
    cells, lines = grs.datasets.simulate_drug_lines(n_lines, 60, n_genes=40, n_tfs=6, missing=0, rng=0)
    for name, values in obs.items():
        lines.obs[name] = values
    return cells, lines


@pytest.mark.filterwarnings("ignore::grnformer_sc._core.warnings.FewLinesWarning")
@pytest.mark.parametrize(
    ("change", "options", "error", "match"),
    [
        ({}, {"drug": "Drug1"}, KeyError, r"did you mean \[drug1"),
        ({"x": 1}, {"drug": "x"}, ValueError, "both classes"),
        ({"x": [1] * 3 + [0] * 37}, {"drug": "x"}, ValueError, "folds needs a line"),
        ({"x": np.linspace(0, 1, 40)}, {"drug": "x"}, ValueError, "binarise"),
        ({}, {"drug": "drug1", "method": "forest"}, ValueError, "method must be one of"),
        ({}, {"drug": "drug1", "lambda_domain": 0.5}, ValueError, "lambda_domain is for"),
        ({}, {"drug": "drug1", "use_rep": "X_grnformer"}, KeyError, "X_grnformer"),
        ({}, {"drug": "drug1", "use_rep": "regulons"}, KeyError, "build_grn"),
        ({}, {"drug": "drug1", "batch_key": "plate"}, KeyError, "plate"),
        ({}, {"drug": "drug1", "key_added": "batch"}, ValueError, "must be free"),
    ],
)
def test_bad_input_is_named_and_writes_nothing(change, options, error, match):
    cells, lines = small(**change)
    before = set(cells.obs), set(cells.uns)
    with pytest.raises(error, match=match):
        grs.tl.drug_sensitivity(cells, lines, **options)
    assert (set(cells.obs), set(cells.uns)) == before


def test_missing_values_of_lines_are_named():
    cells, lines = small()
    lines.X[3, 5] = np.nan
    with pytest.raises(ValueError, match=r"1 missing or infinite values in 1 lines and 1 genes"):
        grs.tl.drug_sensitivity(cells, lines, drug="drug1")


def test_few_cells_are_named():
    cells, lines = small()
    with pytest.raises(ValueError, match=r"told apart from at least 10 cells\. Found: 3 cells"):
        grs.tl.drug_sensitivity(cells[:3].copy(), lines, drug="drug1")


def test_other_gene_names_are_named_with_the_nearest():
    cells, lines = small()
    lines.var_names = [name.lower() for name in lines.var_names]
    with pytest.raises(ValueError, match=r"nearest names .*g0001 ~ G0001"):
        grs.tl.drug_sensitivity(cells, lines, drug="drug1")
    lines.var_names = [*cells.var_names[:15], *lines.var_names[15:]]
    with pytest.warns(grs.metrics.LostGenesWarning, match=r"15 of 40"):
        grs.tl.drug_sensitivity(cells, lines, drug="drug1", n_seeds=1)
    assert cells.uns["sens_drug1"]["params"]["dropped"]["genes_of_lines"] == 25


def test_few_lines_are_named():
    cells, lines = small(x=[1] * 8 + [0] * 32)
    with pytest.warns(grs.metrics.FewLinesWarning, match="8 sensitive and 32 resistant"):
        grs.tl.drug_sensitivity(cells, lines, drug="x", n_seeds=1)


def test_words_and_counts_are_read_as_labels_and_expression(caplog):
    cells, lines = small()
    words = lines.copy()
    words.obs["drug1"] = pd.Categorical(np.where(lines.obs["drug1"] == 1, "Sensitive", "resistant"))
    for part in (lines, words):
        grs.tl.drug_sensitivity(cells, part, drug="drug1", n_seeds=1, key_added=f"sens_{part is words}")
    np.testing.assert_array_equal(cells.obs["sens_True"], cells.obs["sens_False"])
    lines.X = np.rint(np.exp2(lines.X) - 1)
    with caplog.at_level(logging.INFO):
        grs.tl.drug_sensitivity(cells, lines, drug="drug1", n_seeds=1)
    assert "the lines hold counts" in caplog.text


def test_results_are_read_as_tables(planted):
    cells = planted[0].copy()
    for drug in ("drug1", "drug2"):
        grs.tl.drug_sensitivity(cells, planted[1], drug=drug, method="rank_ridge", n_seeds=1)
    assert grs.get.drug_sensitivity(cells).columns.tolist() == ["drug1", "drug2"]
    models = grs.get.drug_sensitivity(cells, kind="models")
    assert models.index.tolist() == ["drug1", "drug2"]
    assert models["n_lines"].tolist() == [180, 180]
    with pytest.raises(KeyError, match=r"sensitivity of the cells to 'drug3'.*drug1, drug2"):
        grs.get.drug_sensitivity(cells, "drug3")


def test_names_with_a_slash_make_slots_without_one(planted):
    lines = planted[1].copy()
    lines.obs["a/b"] = lines.obs["drug1"]
    cells = grs.tl.drug_sensitivity(planted[0], lines, drug="a/b", n_seeds=1, copy=True)
    assert "sens_a_b" in cells.obs
    assert len(grs.get.drug_sensitivity(cells, "a/b")) == cells.n_obs
