"""Held-out perturbations: planted truth is found, controls run, nothing leaks, what cannot be done is named."""

from __future__ import annotations

import logging

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import grnformer_sc as grs


def with_truth(cells):
    """The planted links as a stored network."""
    links = cells.uns["truth"].drop_duplicates(["tf", "gene"])[["tf", "gene", "sign"]]
    grs.pp.add_network(cells, links.rename(columns={"sign": "weight"}))
    return cells


@pytest.fixture(scope="module")
def screen():
    """16 TFs, 6 pairs, in folds; never change it."""
    cells = grs.datasets.simulate_perturbations(50, n_genes=120, n_tfs=16, n_doubles=6, rng=1)
    grs.pp.perturbation_setup(cells)
    grs.pp.split_perturbations(cells, strategy="folds", n_folds=3)
    return with_truth(cells)


def score(predicted):
    found = grs.metrics.delta_correlation(
        np.asarray(predicted.layers["delta"], dtype=float), np.asarray(predicted.layers["observed"], dtype=float)
    )
    return np.nan_to_num(found)


def test_the_planted_network_foretells_knock_outs(screen):
    """Own network above none and above every trivial baseline; propagation along it above no network."""
    own, none = (score(grs.tl.perturb(screen, key=key)).mean() for key in ("grn", None))
    best = max(
        score(grs.tl.perturb(screen, method=name)).mean() for name in ("mean", "matching_mean", "additive", "ridge")
    )
    assert own > none + 0.02 > best + 0.05
    linear = [score(grs.tl.perturb(screen, method="grn_linear", key=key)).mean() for key in ("grn", None)]
    assert linear[0] > linear[1] + 0.05


def test_what_is_used_is_said(screen, caplog):
    with caplog.at_level(logging.INFO):
        predicted = grs.tl.perturb(screen)
    told = predicted.uns["perturb"]
    assert told["choices"]["uses_network"].mean() > 0.5
    assert set(told["steps"]["step"]) >= {"ridge without network", "pattern with network"}
    taken = told["steps"][told["steps"]["taken"]]
    assert (taken["gain"] > taken["error"]).all()
    assert "use the network" in caplog.text
    assert not grs.tl.perturb(screen, key=None).uns["perturb"]["choices"]["uses_network"].any()


def test_nothing_of_the_held_out_cells_reaches_a_prediction(screen):
    """Other counts in the cells of one perturbation leave its own prediction as it was, to the bit."""
    changed = screen.copy()
    own = (changed.obs["perturbed"] == "TF03").to_numpy()
    x = changed.X.toarray()
    x[own] = np.random.default_rng(0).poisson(3, x[own].shape)
    changed.X = sp.csr_matrix(x)
    for method in ("grnformer", "additive", "ridge"):
        before, after = (grs.tl.perturb(cells, method=method) for cells in (screen, changed))
        np.testing.assert_array_equal(before["TF03"].layers["delta"], after["TF03"].layers["delta"])
        assert not np.array_equal(before["TF03"].layers["observed"], after["TF03"].layers["observed"])
        part = before.obs["split"]["TF03"]
        others = before.obs_names[before.obs["split"] != part]
        assert not np.array_equal(before[others].layers["delta"], after[others].layers["delta"])


def test_same_seed_same_bits_in_any_order_of_genes_and_cells(screen):
    shuffled = screen[np.random.default_rng(1).permutation(screen.n_obs)]
    shuffled = shuffled[:, np.random.default_rng(2).permutation(screen.n_vars)].copy()
    wanted = {"perturbations": ["TF03", "TF05"], "rng": 5}
    first, again, other = (grs.tl.perturb(cells, **wanted) for cells in (screen, screen, shuffled))
    for name in ("delta", "ci_low", "train_mean"):
        np.testing.assert_array_equal(first.layers[name], again.layers[name])
        np.testing.assert_allclose(other[:, first.var_names].layers[name], first.layers[name], atol=2e-5)


def test_counts_logs_dense_and_layers_say_the_same(screen):
    logs = screen.copy()
    total = np.asarray(screen.X.sum(axis=1))
    logs.layers["log"] = np.log1p(screen.X.toarray() / total * 1e4)
    for method in ("additive", "grn_linear"):
        from_counts, from_logs = grs.tl.perturb(screen, method=method), grs.tl.perturb(logs, method=method, layer="log")
        np.testing.assert_allclose(from_counts.layers["delta"], from_logs.layers["delta"], atol=2e-4)
    logs.layers["log"] = logs.layers["log"] * 50 + 0.5
    with pytest.raises(ValueError, match="raw counts or log-normalised"):
        grs.tl.perturb(logs, layer="log")


def test_the_result_holds_together(screen):
    predicted = grs.tl.perturb(screen, method="additive")
    control = screen[screen.obs["perturbed"] == "control"]
    logs = np.log1p(control.X.toarray() / np.asarray(control.X.sum(axis=1)) * 1e4).mean(axis=0)
    np.testing.assert_allclose(predicted.X - predicted.layers["delta"], np.tile(logs, (22, 1)), atol=1e-4)
    assert (predicted.layers["ci_low"] <= predicted.layers["delta"]).all()
    inside = (predicted.layers["ci_low"] <= predicted.layers["observed"]) & (
        predicted.layers["observed"] <= predicted.layers["ci_high"]
    )
    assert inside.mean() > 0.85
    assert predicted.obs["in_grn"].dtype == bool
    assert list(predicted.obs.columns) == ["perturbation", "context", "split", "n_cells", "seen", "measured", "in_grn"]


def test_new_perturbations_in_any_spelling(screen):
    predicted = grs.tl.perturb(screen, perturbations=["TF05+TF01", "G0100"], method="additive", split_key=None)
    assert predicted.obs_names.tolist() == ["TF01+TF05", "G0100"]
    assert predicted.obs["split"].tolist() == ["new", "new"]
    assert np.isnan(predicted.layers["observed"]).all()
    singles = grs.tl.perturb(screen, perturbations=["TF01", "TF05"], method="additive", split_key=None)
    np.testing.assert_allclose(predicted.layers["delta"][0], singles.layers["observed"].sum(axis=0), atol=1e-5)


def test_a_gene_outside_the_network_is_flagged_not_dropped(screen, caplog):
    lonely = screen.copy()
    edges = lonely.uns["grn"]["edges"]
    keep = (edges["tf"].astype(str) != "TF02").to_numpy()
    lonely.uns["grn"] = {
        **lonely.uns["grn"], "edges": edges[keep], "edge_groups": sp.csr_matrix(lonely.uns["grn"]["edge_groups"])[keep],
    }  # fmt: skip
    with caplog.at_level(logging.WARNING):
        predicted = grs.tl.perturb(lonely, perturbations=["TF01+TF02", "TF01", "TF02"], method="grn_linear")
    assert predicted.obs["in_grn"].tolist() == [False, True, False]
    assert "not in the network 'grn': [TF02]" in caplog.text
    own = predicted["TF02"].layers["delta"][0]
    assert np.flatnonzero(own).tolist() == [lonely.var_names.get_loc("TF02")]  # nothing but the gene itself


def test_a_model_counts_only_with_the_network_it_was_fitted_with(screen):
    cells = screen.copy()
    cells.varm["grnformer"] = np.random.default_rng(0).normal(size=(cells.n_vars, 4))
    cells.uns["grnformer"] = {"params": {"inputs": {"network": "other"}}}

    def used(**options):
        return str(grs.tl.perturb(cells, perturbations="TF03", **options).uns["perturb"]["params"]["model"])

    assert used() == ""
    cells.uns["grnformer"] = {"params": {"inputs": {"network": "grn"}}}
    assert used() == "grnformer"
    assert used(model_key=None) == ""


def test_contexts_are_carried_over():
    cells = grs.datasets.simulate_perturbations(60, n_genes=100, n_tfs=10, n_types=2, rng=2)
    grs.pp.perturbation_setup(cells, covariate_keys=["cell_type"])
    grs.pp.split_perturbations(cells, strategy="covariate", fractions=(0.7, 0.0))
    predicted = {name: grs.tl.perturb(cells, method=name, key=None) for name in ("mean", "additive", "grnformer")}
    scores = {name: score(one).mean() for name, one in predicted.items()}
    assert scores["additive"] > scores["mean"] + 0.1
    assert scores["grnformer"] > scores["additive"] - 0.05
    row = predicted["additive"].obs.iloc[0]
    other = "type2" if row["context"] == "type1" else "type1"
    assert predicted["additive"].obs_names[0] == f"{row['perturbation']} in {row['context']}"
    logs = np.log1p(cells.X.toarray() / np.asarray(cells.X.sum(axis=1)) * 1e4)
    there = cells.obs["cell_type"] == other
    expected = logs[there & (cells.obs["perturbed"] == row["perturbation"])].mean(axis=0) - logs[
        there & (cells.obs["perturbed"] == "control")
    ].mean(axis=0)
    np.testing.assert_allclose(predicted["additive"].layers["delta"][0], expected, atol=1e-4)


def test_wrong_input_is_named(screen):
    with pytest.raises(KeyError, match=r"unknown \[TF011\].*did you mean \[TF01, .*TF11"):
        grs.tl.perturb(screen, perturbations="TF011")
    with pytest.raises(ValueError, match="method must be one of"):
        grs.tl.perturb(screen, method="gears")
    with pytest.raises(KeyError, match=r"needs 'grn2'.*build_grn"):
        grs.tl.perturb(screen, key="grn2")
    with pytest.raises(ValueError, match="what to predict must be said"):
        grs.tl.perturb(screen, split_key=None)
    with pytest.raises(KeyError, match="split_perturbations"):
        grs.tl.perturb(screen, split_key="other")
    with pytest.raises(KeyError, match="perturbation_setup"):
        grs.tl.perturb(ad.AnnData(np.ones((3, 2), dtype=np.float32)))
    with pytest.raises(ValueError, match=r"every context needs control cells.*none in \[all\]"):
        grs.tl.perturb(screen[screen.obs["perturbed"] != "control"].copy())
    with pytest.raises(ValueError, match="control cells only"):
        grs.tl.perturb(screen[screen.obs["perturbed"] == "control"].copy())
    missing = screen.copy()
    missing.X = missing.X.copy()
    missing.X.data[3] = np.nan
    with pytest.raises(ValueError, match="must be finite"):
        grs.tl.perturb(missing)
    two = screen.copy()
    two.obs["mine"] = "train"
    two.obs.loc[two.obs["perturbed"] == "TF01", "mine"] = "test"
    two.obs.loc[two.obs_names[-1], "mine"] = "test"
    with pytest.raises(ValueError, match="a condition must be in one part of a split"):
        grs.tl.perturb(two, split_key="mine", method="mean")


def test_training_parts_alone_are_learnt_from(screen):
    cells = screen.copy()
    grs.pp.split_perturbations(cells, strategy="unseen_single", key_added="parts")
    predicted = grs.tl.perturb(cells, method="mean", split_key="parts")
    table = grs.get.split(cells, key="parts")
    assert set(predicted.obs_names) == set(table.loc[table["split"] != "train", "perturbation"])
    every = grs.tl.perturb(cells, method="mean", perturbations=list(table["perturbation"]))
    train = every[table.loc[table["split"] == "train", "perturbation"]].layers["observed"]
    np.testing.assert_allclose(predicted.layers["delta"][0], train.mean(axis=0), atol=1e-5)


@pytest.fixture(scope="module")
def norman(data_dir):
    cells = ad.read_h5ad(data_dir / "perturb_devel" / "devel.h5ad")
    cells = cells[cells.obs["dataset"] == "norman19"].copy()
    grs.pp.perturbation_setup(cells, condition_key="condition")
    grs.pp.split_perturbations(cells, strategy="leave_one_out")
    return cells


@pytest.mark.realdata
def test_baselines_of_norman_are_those_of_the_reference(norman):
    expected = {
        "no_change": (np.nan, np.nan, 0.061), "mean": (0.317, 0.332, 0.061), "matching_mean": (0.472, 0.495, 0.054),
        "additive": (0.472, 0.495, 0.052),
    }  # fmt: skip
    names = ["pearson_delta", "pearson_delta20", "rmse"]
    predicted = {name: grs.tl.perturb(norman, method=name) for name in expected}
    table = grs.tl.evaluate_perturbation(predicted, norman, metrics=names, summary=True, n_draws=1)
    table = table.pivot_table(index="method", columns="metric", values="mean", dropna=False)
    for name, values in expected.items():
        np.testing.assert_allclose(table.loc[name, names].to_numpy(dtype=float), values, atol=1e-3)
    np.testing.assert_allclose(
        table.loc["split-half ceiling", names].to_numpy(dtype=float), (0.808, 0.877, 0.024), atol=0.06
    )
    doubles = [name for name in predicted["mean"].obs_names if "+" in name]
    assert len(doubles) == 15
    assert score(predicted["additive"][doubles]).mean() == pytest.approx(0.598, abs=1e-3)
    assert score(predicted["mean"][doubles]).mean() == pytest.approx(0.257, abs=1e-3)


@pytest.mark.realdata
def test_ours_is_above_the_best_baseline_on_norman(norman):
    cells = norman.copy()
    grs.pp.split_perturbations(cells, strategy="folds")
    ours, best = grs.tl.perturb(cells, key=None), grs.tl.perturb(cells, method="additive")
    gain = pd.Series(score(ours) - score(best))
    assert gain.mean() > 0
