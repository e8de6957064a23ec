"""Scores of drug response: by hand, undefined where they are undefined, intervals over lines, collapse."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import grnformer_sc as grs

ROOT = Path(__file__).parents[2]


@pytest.fixture
def table() -> pd.DataFrame:
    """12 lines, 5 drugs, two folds of lines."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"line": np.repeat([f"l{i}" for i in range(12)], 5), "drug": list("abcde") * 12})
    frame["fold"] = np.repeat(np.arange(12) % 2, 5)
    frame["value"] = rng.normal(size=60) + frame["drug"].map(dict(zip("abcde", range(0, 50, 10), strict=True)))
    frame["predicted"] = frame["value"] + rng.normal(size=60)
    return frame


def test_within_correlation_is_the_mean_of_the_folds(table: pd.DataFrame) -> None:
    found = grs.metrics.within_correlation(table)
    by_hand = table.groupby(["drug", "fold"])[["value", "predicted"]].apply(
        lambda part: np.corrcoef(part["value"], part["predicted"])[0, 1]
    )
    np.testing.assert_allclose(found, by_hand.groupby("drug").mean(), atol=1e-12)


def test_shifts_of_a_fold_and_of_a_drug_change_nothing(table: pd.DataFrame) -> None:
    moved = table.assign(predicted=table["predicted"] * 3 + 100 * table["fold"] + table["drug"].map(ord))
    np.testing.assert_allclose(grs.metrics.within_correlation(moved), grs.metrics.within_correlation(table), atol=1e-9)


def test_means_of_other_folds_have_no_correlation_instead_of_a_negative_one(table: pd.DataFrame) -> None:
    """Pooled over folds the drug mean of the training part correlates negatively with what was held out."""
    other = table.groupby(["drug", "fold"])["value"].transform("mean")
    total = table.groupby("drug")["value"].transform("mean")
    mean = table.assign(predicted=2 * total - other)
    assert all(np.corrcoef(part["value"], part["predicted"])[0, 1] < 0 for _, part in mean.groupby("drug"))
    assert grs.metrics.within_correlation(mean).isna().all()
    scores = grs.metrics.drug_response_scores(mean, n_draws=20)["value"]
    assert np.isnan(scores["within_drug"])
    assert scores["collapsed"] == 1
    assert scores["pearson"] > 0.9


def test_too_few_pairs_and_constant_truth_are_not_a_number(table: pd.DataFrame) -> None:
    table.loc[table["drug"] == "a", "value"] = 1.5
    few = table.drop(table.index[(table["drug"] == "b") & (table["fold"] == 1)][1:])
    few = few.drop(few.index[(few["drug"] == "b") & (few["fold"] == 0)][2:])
    found = grs.metrics.within_correlation(few)
    assert found[["a", "b"]].isna().all()
    assert found[["c", "d", "e"]].notna().all()


def test_scores_agree_with_numpy_and_intervals_hold_them(table: pd.DataFrame) -> None:
    scores = grs.metrics.drug_response_scores(table)
    truth, found = table["value"], table["predicted"]
    assert scores.loc["pearson", "value"] == pytest.approx(np.corrcoef(truth, found)[0, 1])
    assert scores.loc["rmse", "value"] == pytest.approx(np.sqrt(((truth - found) ** 2).mean()))
    within = grs.metrics.within_correlation(table)
    assert scores.loc["within_drug", "value"] == pytest.approx(within.median())
    quartiles = scores.loc[["within_drug_low", "within_drug_high"], "value"]
    np.testing.assert_allclose(quartiles, within.quantile([0.25, 0.75]))
    assert scores.loc["spread", "value"] == pytest.approx(grs.metrics.within_spread(table).median())
    for name in ("within_drug", "pearson", "rmse"):
        assert scores.loc[name, "low"] < scores.loc[name, "value"] < scores.loc[name, "high"]
    assert scores.loc["collapsed", "value"] == 0


def test_intervals_are_wider_when_lines_and_not_pairs_are_drawn() -> None:
    """With one value per line, fifty drugs bring nothing new."""
    rng = np.random.default_rng(1)
    own, told = rng.normal(size=(2, 30))
    frame = pd.DataFrame({"line": np.repeat(np.arange(30), 50), "drug": np.tile(np.arange(50), 30), "fold": 0})
    frame["value"], frame["predicted"] = own[frame["line"]], (own + told)[frame["line"]]
    scores = grs.metrics.drug_response_scores(frame, n_draws=300)
    width = scores.loc["pearson", "high"] - scores.loc["pearson", "low"]
    r = scores.loc["pearson", "value"]
    assert width > 0.5 * 2 * 1.96 * (1 - r**2) / np.sqrt(30)


def test_bad_tables_are_named(table: pd.DataFrame) -> None:
    with pytest.raises(KeyError, match="fold"):
        grs.metrics.within_correlation(table.drop(columns="fold"))
    with pytest.raises(ValueError, match="once in a fold"):
        grs.metrics.drug_response_scores(pd.concat([table, table.head(1)]))
    with pytest.raises(ValueError, match="finite"):
        grs.metrics.drug_response_scores(table.assign(predicted=np.nan))
    with pytest.raises(ValueError, match="at least one"):
        grs.metrics.drug_response_scores(table.head(0))


@pytest.fixture(scope="module")
def protocol(data_dir: Path) -> dict[str, Any]:
    """Rows, places and functions of the published split."""
    split = runpy.run_path(str(ROOT / "benchmarks" / "published_split.py"))
    table = split["rows_of_protocol"](data_dir)
    rows = split["test_rows"](table, data_dir)
    return {**split, "table": table, "rows": rows, "data": data_dir}


@pytest.mark.realdata
def test_the_published_split_is_recovered(protocol: dict[str, Any]) -> None:
    table, rows = protocol["table"], protocol["rows"]
    assert len(table) == 107_446
    assert np.unique(rows).size == 4_729
    truth, _ = protocol["published"](protocol["data"], "DeepCDR")
    np.testing.assert_array_equal(table["value"].to_numpy()[rows].astype(np.float32), truth.astype(np.float32))
    train = protocol["training_rows"](table, rows)
    pairs = [pd.MultiIndex.from_frame(part[["line", "drug"]]) for part in (table.iloc[rows], train)]
    assert int(pairs[0].isin(pairs[1]).sum()) == 538


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("who", "pearson", "within", "line"),
    [("DeepCDR", 0.8372, np.nan, 0.893), ("scFoundation + DeepCDR", 0.8822, 0.531, 0.902)],
)
def test_published_predictions_score_as_they_did(
    protocol: dict[str, Any], who: str, pearson: float, within: float, line: float
) -> None:
    """Measured before: the published DeepCDR says one value per drug, which the flag finds."""
    value, told = protocol["published"](protocol["data"], who)
    table = protocol["table"].iloc[protocol["rows"]].assign(value=value, predicted=told, fold=0)
    assert grs.metrics.within_correlation(table, min_pairs=10).dropna().median() == pytest.approx(
        within, abs=0.005, nan_ok=True
    )
    assert grs.metrics.within_correlation(table, by="line").dropna().median() == pytest.approx(line, abs=0.005)
    assert (grs.metrics.within_spread(table).median() < 0.01) == (who == "DeepCDR")
    table["line"] = table["line"] + " " + table["drug_id"]  # drug ids share a compound
    scores = grs.metrics.drug_response_scores(table, n_draws=0)["value"]
    assert scores["pearson"] == pytest.approx(pearson, abs=5e-4)
    assert np.isnan(scores["within_drug"]) == (who == "DeepCDR")
    assert scores["collapsed"] == float(who == "DeepCDR")


@pytest.mark.realdata
def test_baselines_of_the_published_split(protocol: dict[str, Any]) -> None:
    from grnformer_sc.grn.drug.factors import factorise, offsets

    table, rows = protocol["table"], protocol["rows"]
    train, test = protocol["training_rows"](table, rows), table.iloc[rows]
    wide = train.pivot_table(index="line", columns="drug", values="value", aggfunc="mean")
    known, y = wide.notna().to_numpy(), wide.fillna(0.0).to_numpy()
    place = wide.index.get_indexer(test["line"]), wide.columns.get_indexer(test["drug"])
    truth = protocol["published"](protocol["data"], "DeepCDR")[0]
    found = {
        0.8385: test["drug"].map(train.groupby("drug")["value"].mean()).to_numpy(),
        0.8782: offsets(y, known).matrix()[place],
        0.9244: factorise(y, known, rank=10, penalty=10.0).matrix()[place],
    }
    for pearson, predicted in found.items():
        assert np.corrcoef(predicted, truth)[0, 1] == pytest.approx(pearson, abs=0.005)
