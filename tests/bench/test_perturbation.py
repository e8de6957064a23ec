"""The leaderboard of predicted perturbations: all runs, the same items, a true network above random ones."""

from __future__ import annotations

import pandas as pd
import pytest

import grnformer_sc as grs
from grnformer_sc.bench import Run


@pytest.fixture(scope="module")
def cells():
    made = grs.datasets.simulate_perturbations(30, n_genes=80, n_tfs=10, rng=1)
    grs.pp.perturbation_setup(made)
    grs.pp.split_perturbations(made, strategy="folds", n_folds=3)
    links = made.uns["truth"].drop_duplicates(["tf", "gene"])[["tf", "gene", "sign"]]
    grs.pp.add_network(made, links.rename(columns={"sign": "weight"}))
    return made


def test_every_kind_of_run_gives_the_same_items_and_the_network_shows(cells):
    table = grs.bench.perturbation(cells)
    kinds = pd.Series([run.kind for run in table.runs]).value_counts().to_dict()
    assert kinds == {"control": 24, "baseline": 5, "ours": 2, "ceiling": 1}
    chosen = [
        run
        for run in table.runs
        if run.method != "grnformer" and (run.network != "rewired" or run.seed < table.runs[0].seed + 1)
    ]
    found = {run: table.measure(run) for run in chosen}
    items = {frozenset(scores["item"]) for scores in found.values()}
    assert items == {frozenset(f"TF{i:02d}" for i in range(1, 11))}
    head = {
        (run.method, run.network): scores.loc[scores["metric"] == table.headline, "value"].mean()
        for run, scores in found.items()
    }
    for scores in found.values():
        assert {"spread", table.headline} <= set(scores["metric"])
    assert head["no_change", ""] == 0  # not defined, so it earns nothing
    own = head["grn_linear", "own"]
    assert own > max(head["grn_linear", name] for name in ("none", "rewired", "permuted")) + 0.05
    assert head["split-half ceiling", ""] > own
    again = table.measure(chosen[0])
    pd.testing.assert_frame_equal(again, found[chosen[0]])


def test_ours_runs_with_its_own_network_and_without(cells):
    table = grs.bench.perturbation(cells)
    scores = {}
    for network in ("own", "none"):
        part = table.measure(Run("grnformer", "ours" if network == "own" else "control", network, table.runs[0].seed))
        scores[network] = part.loc[part["metric"] == "pearson_delta", "value"].mean()
    assert scores["own"] > scores["none"]
    assert "grn" in cells.uns


def test_hashes_follow_the_cells_and_the_split(cells):
    table = grs.bench.perturbation(cells)
    assert (table.data, table.split) == (grs.bench.perturbation(cells).data, grs.bench.perturbation(cells).split)
    other = cells.copy()
    other.X = other.X.copy()
    other.X.data[0] += 1
    assert grs.bench.perturbation(other).data != table.data
    grs.pp.split_perturbations(other, strategy="folds", n_folds=3, rng=5)
    assert grs.bench.perturbation(other).split != table.split
    with pytest.raises(KeyError, match="build_grn"):
        grs.bench.perturbation(cells, key="none")
