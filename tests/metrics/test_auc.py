"""Areas under ROC curves, their intervals, labels that are one set, labels that follow the batch."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.metrics import roc_curve as sklearn_curve

import grnformer_sc as grs
from grnformer_sc.metrics import _auc

# Published table of the fold means, their sd and the pooled area (SCAD; scFoundation in place of expression), and intervals
PUBLISHED = {
    ("Sorafenib", "lambda15.0"): (0.558, 0.156, 0.523, 0.45, 0.65),
    ("Sorafenib", "lambda10.6"): (0.839, 0.065, 0.757, 0.77, 0.91),
    ("NVP-TAE684", "lambda12.0"): (0.624, 0.258, 0.562, 0.54, 0.69),
    ("NVP-TAE684", "lambda10.8"): (0.839, 0.099, 0.712, 0.77, 0.91),
    ("PLX4720_451Lu", "lambda11.0"): (0.376, 0.124, 0.382, 0.29, 0.46),
    ("PLX4720_451Lu", "lambda10.0"): (0.659, 0.096, 0.637, 0.58, 0.74),
    ("Etoposide", "lambda12.0"): (0.659, 0.049, 0.601, 0.63, 0.69),
    ("Etoposide", "lambda10.6"): (0.679, 0.166, 0.686, 0.65, 0.71),
}


def drawn(n: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and scores with ties that follow them."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    return y, np.round(rng.normal(y, 1.5), 1)


def published(data_dir, drug: str, part: str = "") -> pd.DataFrame:
    (path,) = (data_dir / "scad_published" / drug).glob(f"*{part}*predicted_y.tsv")
    return pd.read_csv(path, sep="\t", header=None, names=["fold", "cell", "label", "score"]).set_index("cell")


def test_the_area_is_that_of_scikit_learn_and_one_minus_it_for_turned_labels():
    for seed in range(20):
        y, x = drawn(seed=seed)
        area = grs.metrics.roc_auc(y, x)
        assert area == pytest.approx(roc_auc_score(y, x), abs=1e-12)
        assert abs(grs.metrics.roc_auc(1 - y, x) - (1 - area)) < 1e-12
        assert abs(grs.metrics.roc_auc(y, -x) - (1 - area)) < 1e-12


def test_the_area_sees_ranks_only_and_leaves_out_cells_without_a_label():
    y, x = drawn()
    known = np.r_[y.astype(float), np.nan, np.nan]
    assert grs.metrics.roc_auc(known, np.r_[np.exp(x), 3.0, np.nan]) == grs.metrics.roc_auc(y, x)


def test_areas_of_one_class_are_undefined():
    assert np.isnan(grs.metrics.roc_auc([1, 1], [0.1, 0.2]))
    assert (
        grs.metrics.auc_interval([1, 1, 1], [0.1, 0.2, 0.3], folds=[1, 1, 2])[["auc", "low", "fold_mean"]].isna().all()
    )
    assert grs.metrics.roc_curve([0, 0], [1.0, 2.0]).empty


def test_folds_of_one_class_are_left_out_of_the_mean():
    found = grs.metrics.auc_interval([0, 1, 1, 1], [0.2, 0.8, 0.1, 0.9], folds=["a", "a", "b", "b"], n_draws=50)
    assert found["fold_mean"] == 1
    assert found["n_folds"] == 1


def test_drawn_cells_count_as_often_as_they_are_drawn():
    y, x = drawn(60)
    count = np.random.default_rng(1).integers(0, 4, (5, 60)).astype(float)
    for area, row in zip(_auc._weighted_auc(y, x, count), count.astype(int), strict=True):
        assert area == pytest.approx(roc_auc_score(np.repeat(y, row), np.repeat(x, row)), abs=1e-12)


def test_both_intervals_agree_and_hold_the_truth_as_often_as_they_say():
    inside, truth = {"bootstrap": 0, "delong": 0}, 0.5
    for seed in range(60):
        rng = np.random.default_rng(seed)
        y, x = np.repeat([0, 1], 60), rng.normal(size=120)
        ends = {}
        for method in inside:
            found = grs.metrics.auc_interval(y, x, method=method, n_draws=300)
            ends[method] = found[["low", "high"]].to_numpy()
            inside[method] += found["low"] <= truth <= found["high"]
        np.testing.assert_allclose(ends["bootstrap"], ends["delong"], atol=0.03)
    assert all(52 <= hits <= 60 for hits in inside.values())


def test_the_roc_curve_lies_on_that_of_scikit_learn():
    y, x = drawn()
    curve = grs.metrics.roc_curve(y, x, n_points=11, n_draws=50)
    fpr, tpr, _ = sklearn_curve(y, x, drop_intermediate=False)
    for rate, mine in zip(curve["fpr"], curve["tpr"], strict=True):
        at = np.isclose(fpr, rate)
        expected = tpr[at].max() if at.any() else np.interp(rate, fpr, tpr)
        assert mine == pytest.approx(expected, abs=1e-9)
    assert (curve["low"] <= curve["high"]).all()


@pytest.mark.parametrize(
    ("labels", "scores", "match"),
    [([0, 1], [0.1], "label and a score"), ([0, 2], [0.1, 0.2], "0 or 1"), ([0, 1], [0.1, np.inf], "finite")],
)
def test_bad_labels_and_scores_are_named(labels, scores, match):
    with pytest.raises(ValueError, match=match):
        grs.metrics.roc_auc(labels, scores)


def test_turned_and_equal_labels_are_found_and_others_are_not():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 2, 100).astype(float), rng.integers(0, 2, 100).astype(float)
    with pytest.warns(grs.metrics.InvertedLabelsWarning, match="Same cells, (same|inverted) labels") as seen:
        found = grs.metrics.label_agreement(pd.DataFrame({"a": a, "turned": 1 - a, "other": b, "copy": a}))
    relation = found.set_index(["first", "second"])["relation"]
    assert relation["a", "turned"] == "inverted"
    assert relation["a", "copy"] == "same"
    assert (relation.drop([("a", "turned"), ("a", "copy"), ("turned", "copy")]) == "").all()
    assert len(seen) == 3


def test_few_cells_and_single_classes_are_no_evidence_of_one_set():
    few = pd.DataFrame({"a": [0.0, 1.0], "b": [1.0, 0.0]})
    assert grs.metrics.label_agreement(few)["relation"].tolist() == [""]
    constant = pd.DataFrame({"a": np.zeros(50), "b": np.ones(50)})
    assert grs.metrics.label_agreement(constant)["relation"].tolist() == [""]


def test_a_batch_that_is_the_label_is_found():
    y = np.repeat([0, 1], 50)
    score = np.random.default_rng(0).normal(y)
    with pytest.warns(grs.metrics.ConfoundedLabelsWarning, match="collinear"):
        found = grs.metrics.batch_confounding(y, np.where(y == 1, "day3", "day0"), score)
    assert found["label_from_batch"] == 1
    assert found["batch_auc"] == pytest.approx(grs.metrics.roc_auc(y, score))
    assert np.isnan(found["within_auc"])


def test_within_a_batch_the_batch_effect_is_gone():
    """Score = batch: perfect between confounded batches, worth nothing within."""
    y = np.array([0] * 45 + [1] * 5 + [0] * 5 + [1] * 45)
    batch = np.repeat(["a", "b"], 50)
    score = (batch == "b").astype(float)
    found = grs.metrics.batch_confounding(y, batch, score)
    assert grs.metrics.roc_auc(y, score) == 0.9
    assert found["batch_auc"] == 1
    assert found["within_auc"] == 0.5


@pytest.mark.realdata
@pytest.mark.parametrize(("drug", "part"), PUBLISHED)
def test_published_predictions_are_scored_as_published(data_dir, drug, part):
    table = published(data_dir, drug, part)
    mean, sd, pooled, low, high = PUBLISHED[drug, part]
    found = grs.metrics.auc_interval(table["label"], table["score"], folds=table["fold"])
    assert [f"{found[name]:.3f}" for name in ("fold_mean", "fold_sd", "auc")] == [
        f"{v:.3f}" for v in (mean, sd, pooled)
    ]
    np.testing.assert_allclose(found[["fold_low", "fold_high"]].to_numpy(), [low, high], atol=0.02)


@pytest.mark.realdata
def test_two_published_drugs_are_one_set_with_turned_labels(data_dir):
    named = {drug: published(data_dir, drug, part)["label"] for drug, part in PUBLISHED}
    with pytest.warns(
        grs.metrics.InvertedLabelsWarning, match="'Sorafenib' and 'NVP-TAE684' agree in 0.0% of 120"
    ) as seen:
        found = grs.metrics.label_agreement(pd.DataFrame(named))
    assert len(seen) == 1
    assert (found["relation"] == "inverted").sum() == 1


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("drug", "part", "sample"),
    [("PLX4720_451Lu", "lambda11.0", r"_(par|br)_"), ("Etoposide", "lambda12.0", r"(D0|Day3)")],
)
def test_labels_of_two_published_drugs_are_the_sample(data_dir, drug, part, sample):
    table = published(data_dir, drug, part)
    with pytest.warns(grs.metrics.ConfoundedLabelsWarning):
        found = grs.metrics.batch_confounding(table["label"], table.index.str.extract(sample)[0], table["score"])
    assert found["label_from_batch"] == 1
    assert np.isnan(found["within_auc"])
