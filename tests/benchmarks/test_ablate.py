"""The grid of ablations: one factor at a time, no run twice, intervals by the book, rewiring that keeps degrees."""

from __future__ import annotations

import importlib
import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import grnformer_sc as grs
from grnformer_sc._core.tables import edge_table, eregulon_name

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")


@pytest.fixture(scope="module")
def ablate():
    sys.path.insert(0, BENCHMARKS)
    names = ("grid", "measures", "networks", "store", "table", "work", "one", "cells", "trivial")
    yield {name: importlib.import_module(f"ablate.{name}") for name in names}
    sys.path.remove(BENCHMARKS)


def test_settings_are_unique(ablate):
    settings = ablate["grid"].SETTINGS
    assert len({setting.name for setting in settings}) == len(settings)
    models = [(str(sorted(s.options.items())), s.network, s.scored_with) for s in settings if s.trained]
    assert len(set(models)) == len(models)


def test_a_setting_changes_one_factor_of_the_default(ablate):
    """Two changes only where a backbone or a gate has its own control."""
    pairs = {"scFoundation, no network", "scPaLM, no network", "gate gene, scored with neighbour"}
    for setting in ablate["grid"].SETTINGS:
        n_changes = len(setting.options) + (setting.network != "real") + (setting.scored_with is not None)
        expected = 0 if setting.name == "default" or not setting.trained else 1
        assert n_changes == expected + (setting.name in pairs), setting


def test_every_name_of_a_data_set_is_a_factor_or_a_setting(ablate):
    known = {name for setting in ablate["grid"].SETTINGS for name in (setting.factor, setting.name)}
    assert all(set(data.only) <= known for data in ablate["grid"].DATA)


def test_seeds_of_a_setting_are_the_first_ones(ablate):
    seeds = {}
    for run in ablate["grid"].runs():
        seeds.setdefault((run.data.name, run.data.split, run.setting.name), []).append(run.seed)
    assert all(found == list(range(len(found))) and len(found) >= 5 for found in seeds.values())


def test_every_setting_is_a_model_that_can_be_built(ablate):
    for setting in ablate["grid"].SETTINGS:
        assert grs.model.ModelConfig(**setting.options)


def test_every_trained_setting_is_compared_and_every_contrast_exists(ablate):
    grid = ablate["grid"]
    named = {name for _, *pair in grid.CONTRASTS for name in pair}
    assert named == {setting.name for setting in grid.SETTINGS if setting.trained}
    assert len({pair[1:] for pair in grid.CONTRASTS}) == len(grid.CONTRASTS)


def test_runs_are_unique_and_the_planted_network_needs_a_truth(ablate):
    runs = list(ablate["grid"].runs())
    assert len({run.key for run in runs}) == len(runs)
    simulated = ablate["cells"].SIMULATED
    assert all(run.data.name in simulated for run in runs if "planted" in run.setting.network)


def test_only_selects_factors_with_the_default_beside_them(ablate):
    grid = ablate["grid"]
    names = {run.setting.name for run in grid.runs((0,), ("gate", "simulated"))}
    assert names == {"default", *(s.name for s in grid.SETTINGS if s.factor == "gate")}
    assert {run.data.name for run in grid.runs((0,), ("cortex",))} == {"cortex"}
    assert {run.data.split for run in grid.runs((0,), ("cortex by batch",))} == {"batch"}
    with pytest.raises(SystemExit, match="nonsense"):
        list(grid.runs((0,), ("nonsense",)))


def test_a_run_that_is_there_is_not_run_again(ablate, tmp_path, monkeypatch):
    store, work = ablate["store"], ablate["work"]
    path, runs = tmp_path / "runs.csv", list(ablate["grid"].runs((0,), ("simulated", "perturbation")))
    done = []
    monkeypatch.setattr(ablate["one"], "figures", lambda run: done.append(run.key) or {"deviance": 1.5})
    work.do(store.missing(runs, path)[:2], path)
    assert len(store.missing(runs, path)) == len(runs) - 2
    work.do(store.missing(runs, path), path)
    assert done == [run.key for run in runs]
    assert store.missing(runs, path) == []


def test_a_line_that_was_cut_off_does_not_count(ablate, tmp_path):
    store = ablate["store"]
    path, runs = tmp_path / "runs.csv", list(ablate["grid"].runs((0,), ("simulated", "perturbation")))
    store.append(path, runs[0], {"deviance": 1.0})
    whole = path.read_bytes()
    store.append(path, runs[1], {"deviance": 2.0})
    path.write_bytes(path.read_bytes()[:-7])
    assert store.missing(runs, path) == runs[1:]
    store.append(path, runs[2], {"deviance": 3.0})
    assert store.missing(runs, path) == [runs[1], *runs[3:]]
    store.tidy(path)
    assert path.read_bytes().startswith(whole[: whole.index(b"\n")])
    assert store.missing(runs, path) == [runs[1], *runs[3:]]


def test_a_measure_without_a_column_is_an_error(ablate, tmp_path):
    run = next(iter(ablate["grid"].runs((0,))))
    with pytest.raises(KeyError, match="speed"):
        ablate["store"].append(tmp_path / "runs.csv", run, {"speed": 1.0})


def test_interval_is_that_of_the_paired_t_test(ablate):
    rng = np.random.default_rng(0)
    first, second = pd.Series(rng.normal(size=7)), pd.Series(rng.normal(1, 2, size=7))
    found = ablate["table"].paired(first, second)
    low, high = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert (found["low"], found["high"]) == pytest.approx((low, high))
    assert found["mean"] == pytest.approx(first.mean() - second.mean())


def test_interval_of_three_differences_in_closed_form(ablate):
    """1, 2, 3: mean 2, sd 1, t(.975, 2) = 4.3027."""
    found = ablate["table"].paired(pd.Series([1.0, 2, 3]), pd.Series([0.0, 0, 0]))
    assert found["high"] - found["mean"] == pytest.approx(4.302652729911275 / 3**0.5)


def test_only_seeds_of_both_settings_are_paired(ablate):
    first, second = pd.Series([1.0, 2.0, np.nan], index=[0, 1, 2]), pd.Series([0.0, 0.5, 9.0], index=[0, 1, 2])
    found = ablate["table"].paired(first, second)
    assert (found["n"], found["mean"]) == (2, 1.25)


def test_the_page_shows_every_data_set_and_every_factor(ablate):
    grid, page = ablate["grid"], (Path(BENCHMARKS).parent / "docs" / "explain" / "ablations.md").read_text()
    shown = set(re.findall(r":data: (.+)\n:factor: (\w+)", page))
    factors = {setting.name: setting.factor for setting in grid.SETTINGS}
    run = {(f"{run.data.name} by {run.data.split}", run.setting.factor) for run in grid.runs()}
    compared = {factors[setting] for _, *pair in grid.CONTRASTS for setting in pair} - {"default"}
    assert {pair for pair in run if pair[1] in compared} <= shown


@pytest.fixture
def edges():
    rng = np.random.default_rng(1)
    tf = [f"TF{i}" for i in rng.integers(0, 6, 120)]
    gene = [f"G{i}" for i in rng.integers(0, 40, 120)]
    table = pd.DataFrame({"tf": tf, "gene": gene, "sign": 1, "region_sign": 1}).drop_duplicates()
    table["region"] = [f"chr1:{i}00-{i}50" for i in rng.integers(10, 90, len(table))]
    table["eregulon"] = [eregulon_name(name, 1, 1) for name in table["tf"]]
    more = table.assign(region=[f"chr2:{i}00-{i}50" for i in rng.integers(10, 90, len(table))])
    return edge_table(pd.concat([table, more]).assign(evidence="direct"))


@pytest.mark.parametrize("moved", ["gene", "eregulon"])
def test_rewiring_keeps_degrees_and_moves_links(ablate, edges, moved):
    out = ablate["networks"].exchanged(edges, moved, 3)
    before, after = (t[["eregulon", "gene"]].astype(str).drop_duplicates() for t in (edges, out))
    assert len(before) == len(after)
    for end in ("eregulon", "gene"):
        assert Counter(before[end]) == Counter(after[end])
    assert (out["eregulon"].astype(str).str.split("|").str[0] == out["tf"].astype(str)).all()
    kept = set(before.itertuples(index=False, name=None)) & set(after.itertuples(index=False, name=None))
    assert len(kept) < 0.6 * len(before)
    fixed = "gene" if moved == "eregulon" else "eregulon"
    assert (out[fixed].astype(str) == edges[fixed].astype(str)).all()
    assert (out["region"].astype(str) == edges["region"].astype(str)).all()


def test_mixing_is_one_for_mixed_cells_and_zero_for_apart(ablate):
    rng = np.random.default_rng(0)
    z, batch = rng.normal(size=(900, 3)), pd.Series(rng.integers(0, 3, 900).astype(str))
    mixing = ablate["measures"].mixing
    assert mixing(z, batch) > 0.9
    assert mixing(z + 100 * batch.astype(int).to_numpy()[:, None], batch) == pytest.approx(0, abs=1e-9)


def test_coregulated_pairs_share_a_regulator_of_equal_sign(ablate):
    mdata = grs.datasets.simulate_multiome(60, n_genes=40, n_tfs=5, n_types=2, rng=0)
    cells, truth = mdata["rna"], mdata["rna"].uns["truth"]
    signed = set(zip(truth["tf"] + truth["sign"].astype(str), truth["gene"], strict=True))
    names = list(cells.var_names)
    perfect = np.array(
        [[any((r, b) in signed for r, g in signed if g == a) for b in names] for a in names], dtype=float
    )
    assert ablate["measures"].coregulation(perfect, cells) == 1
    assert ablate["measures"].coregulation(-perfect, cells) == 0


def test_cells_without_a_label_show_no_type(ablate):
    mdata = grs.datasets.simulate_multiome(120, n_genes=60, n_tfs=6, n_types=2, rng=0)
    grs.tl.build_grn(mdata, groupby="cell_type")
    cells = mdata["rna"]
    other = cells.copy()
    other.obs["grn_group"] = other.obs["grn_group"].cat.rename_categories(
        list(other.obs["grn_group"].cat.categories[::-1])
    )
    first, second = (ablate["cells"].unlabelled(part) for part in (cells, other))
    assert "grn_group" not in first.obs
    for slot in ("grn_active", "grn_active_region"):
        assert (first.obsm[slot] != second.obsm[slot]).nnz == 0
        assert (cells.obsm[slot] > first.obsm[slot]).nnz == 0  # what a type does not keep is off only with a label


def test_means_take_the_seeds_that_all_settings_have(ablate):
    runs = pd.DataFrame(
        [("d", "cells", "default", 0, 1.0), ("d", "cells", "default", 1, 9.0), ("d", "cells", "no network", 0, 3.0)],
        columns=["data", "split", "setting", "seed", "deviance"],
    )
    assert ablate["table"].means(runs)["deviance"].to_dict() == {"default": 1.0, "no network": 3.0}
