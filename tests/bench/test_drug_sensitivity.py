"""The leaderboard of drug sensitivity: its runs, that nothing is written, that controls are other networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import grnformer_sc as grs
from grnformer_sc.bench import Run


@pytest.fixture(scope="module")
def both():
    """Cells with a network, and lines; never change them."""
    cells, lines = grs.datasets.simulate_drug_lines(120, 200, n_genes=100, n_tfs=10, rng=0)
    grs.tl.build_grn(cells, method="correlation", tfs="is_tf")
    return cells, lines


@pytest.fixture(scope="module")
def table(both):
    return grs.bench.drug_sensitivity(*both, "drug1", method="rank_ridge", n_parts=3, n_seeds=1, key="grn_correlation")


def test_runs_are_baselines_exchanged_labels_and_the_controls_of_ours(table):
    kinds = [run.kind for run in table.runs]
    assert kinds.count("baseline") == 4 + 3 + 10
    assert [run.network for run in table.runs if run.method == "regulons"] == [
        "own",
        "none",
        "permuted",
        *["rewired"] * 10,
    ]


def test_every_run_is_measured_on_the_same_items_and_nothing_is_written(both, table):
    cells, lines = both
    before = set(cells.obs), set(cells.uns), set(lines.obs), cells.uns["grn_correlation"]["edges"].copy()
    runs = [run for run in table.runs if "adversarial" not in run.method and run.seed < 2]
    scores = grs.bench.run(replace(table, runs=tuple(runs)))
    assert set(scores["item"]) == {f"drug1, part {k}" for k in (1, 2, 3)}
    assert (set(cells.obs), set(cells.uns), set(lines.obs)) == before[:3]
    assert cells.uns["grn_correlation"]["edges"].equals(before[3])
    auc = scores[scores["metric"] == "auc"].groupby(["method", "network"])["value"].mean()
    assert auc["class prior", ""] == 0.5
    assert auc["regulons", "none"] == auc["rank_ridge on expression", ""]
    assert auc["rank_ridge on expression", ""] > 0.6
    assert auc["first component", ""] >= 0.5
    assert auc["regulons", "own"] != auc["regulons", "rewired"]
    spread = scores[scores["metric"] == "spread"].groupby("method")["value"].min()
    assert spread["class prior"] == 0


def test_figures_are_those_of_the_tool(both, table):
    cells, lines = both
    alone = grs.tl.drug_sensitivity(cells, lines, drug="drug1", method="rank_ridge", n_seeds=1, copy=True)
    rows = table.measure(Run("rank_ridge on expression", "baseline"))
    mean = rows[rows["metric"] == "auc"]["value"].mean()
    assert mean == pytest.approx(grs.metrics.roc_auc(cells.obs["drug1"], alone.obs["sens_drug1"]), abs=0.03)


def test_hashes_follow_cells_and_parts(both, table):
    cells, lines = both
    options = {"n_parts": 3, "n_seeds": 1, "key": "grn_correlation"}
    other = grs.bench.drug_sensitivity(cells, lines, "drug1", rng=1, **options)
    assert other.data == table.data
    assert other.split != table.split
    changed = lines.copy()
    changed.obs["drug1"] = np.where(lines.obs["drug1"].isna(), 1, lines.obs["drug1"])
    assert grs.bench.drug_sensitivity(cells, changed, "drug1", **options).data != table.data


def test_too_few_cells_of_a_class_are_named(both):
    cells, lines = both
    with pytest.raises(ValueError, match="each of 200 parts"):
        grs.bench.drug_sensitivity(cells, lines, "drug1", n_parts=200, key="grn_correlation")
