"""Scores of predictions: the metrics of the core on the right conditions, with references and ceilings that do not leak."""

from __future__ import annotations

import logging

import numpy as np
import pytest

import grnformer_sc as grs


@pytest.fixture(scope="module")
def screen():
    cells = grs.datasets.simulate_perturbations(40, n_genes=80, n_tfs=10, n_doubles=4, rng=3)
    grs.pp.perturbation_setup(cells)
    grs.pp.split_perturbations(cells, strategy="folds", n_folds=3)
    return cells


@pytest.fixture(scope="module")
def predicted(screen):
    return {name: grs.tl.perturb(screen, method=name, key=None) for name in ("mean", "additive", "no_change")}


def wide(table):
    return table.pivot(index="method", columns="metric", values="mean")


def test_scores_are_those_of_the_metrics(screen, predicted):
    one = predicted["additive"]
    delta, truth = (np.asarray(one.layers[name], dtype=float) for name in ("delta", "observed"))
    table = grs.tl.evaluate_perturbation(one, screen, ceiling=False)
    assert set(table["method"]) == {"additive"}
    by = table.pivot(index="perturbation", columns="metric", values="value").loc[one.obs_names]
    np.testing.assert_allclose(by["pearson_delta"], grs.metrics.delta_correlation(delta, truth), atol=1e-4)
    np.testing.assert_allclose(by["mse20"], grs.metrics.delta_error(delta, truth, top=20), rtol=1e-3)
    np.testing.assert_allclose(by["rmse"] ** 2, by["mse"])
    np.testing.assert_allclose(by["spread"], delta.std(axis=1) / truth.std(axis=1), rtol=1e-3)
    own = np.flatnonzero(one.obs["split"] == "fold 1")
    np.testing.assert_allclose(
        by["centroid_accuracy"].iloc[own], grs.metrics.centroid_accuracy(delta[own], truth[own]), atol=1e-6
    )


def test_the_reference_is_made_of_training_perturbations(screen, predicted):
    """The mean of the training perturbations is its own reference: not defined, never -1."""
    table = grs.tl.evaluate_perturbation(predicted, screen, reference="train_perturbed", metrics=["pearson_delta"])
    of_mean = table[table["method"] == "mean"]
    assert of_mean["value"].isna().all()
    one = predicted["additive"]
    delta, truth, base = (np.asarray(one.layers[name], dtype=float) for name in ("delta", "observed", "train_mean"))
    expected = grs.metrics.delta_correlation(delta, truth, reference=base)
    found = table[table["method"] == "additive"].set_index("perturbation").loc[one.obs_names, "value"]
    known = np.isfinite(found.to_numpy())  # where no part was seen the sum is the mean itself
    np.testing.assert_allclose(found[known], expected[known], atol=1e-4)


def test_a_mean_is_chance_and_no_change_has_no_correlation(screen, predicted):
    scores = wide(grs.tl.evaluate_perturbation(predicted, screen, summary=True))
    for name in ("mean", "no_change"):
        assert scores.loc[name, "centroid_accuracy"] == pytest.approx(0.5, abs=1e-6)
        assert scores.loc[name, "rank"] == pytest.approx(0.5)
    assert np.isnan(scores.loc["no_change", "pearson_delta"])
    assert scores.loc["no_change", "spread"] == 0
    ceiling = scores.loc["split-half ceiling"]
    assert ceiling["pearson_delta"] > scores.loc["additive", "pearson_delta"]
    assert ceiling["centroid_accuracy"] > 0.9
    assert ceiling["energy_distance"] < scores.loc[["additive", "no_change"], "energy_distance"].min() / 2


def test_intervals_come_from_perturbations_and_the_seed(screen, predicted):
    table = grs.tl.evaluate_perturbation(predicted["additive"], screen, summary=True, n_draws=200, rng=4)
    again = grs.tl.evaluate_perturbation(predicted["additive"], screen, summary=True, n_draws=200, rng=4)
    assert table.equals(again)
    assert (table["low"] <= table["mean"]).all()
    assert (table["mean"] <= table["high"]).all()
    assert (table["n"] == 14).all()


def test_a_perturbation_per_fold_has_no_rank_and_one_cell_no_halves(screen, caplog):
    few = screen[(screen.obs["perturbed"] != "TF01") | ~screen.obs["perturbed"].duplicated()].copy()
    grs.pp.split_perturbations(few, strategy="leave_one_out")
    predicted = grs.tl.perturb(few, method="mean")
    with caplog.at_level(logging.INFO):
        table = grs.tl.evaluate_perturbation(predicted, few)
    assert table.loc[table["metric"] == "rank", "value"].isna().all()
    own = table[(table["perturbation"] == "TF01")].set_index(["method", "metric"])["value"]
    assert np.isnan(own["split-half ceiling", "mse"])
    assert np.isnan(own["mean", "energy_distance"])
    assert np.isfinite(own["mean", "pearson_delta"])
    assert "one cell only" in caplog.text
    assert "TF01" in caplog.text
    assert "not defined" in caplog.text
    one = grs.tl.evaluate_perturbation(predicted[:1], few, summary=True, ceiling=False).set_index("metric")
    assert one.loc["mse", ["low", "high"]].isna().all()


def test_wrong_input_is_named(screen, predicted):
    evaluate = grs.tl.evaluate_perturbation
    with pytest.raises(KeyError, match=r"what grs.tl.perturb returned"):
        evaluate(screen, screen)
    with pytest.raises(ValueError, match="metrics must be one of"):
        evaluate(predicted, screen, metrics=["auc"])
    with pytest.raises(ValueError, match="reference must be one of"):
        evaluate(predicted, screen, reference="all")
    with pytest.raises(ValueError, match="of the same conditions"):
        evaluate({"a": predicted["mean"], "b": predicted["mean"][:3]}, screen)
    with pytest.raises(ValueError, match="of the genes of adata"):
        evaluate(predicted, screen[:, :20].copy())
    new = grs.tl.perturb(screen, perturbations="TF01+TF09+TF10", method="mean", split_key=None)
    with pytest.raises(ValueError, match="some predicted condition must have cells"):
        evaluate(new, screen)
