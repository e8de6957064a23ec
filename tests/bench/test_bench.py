"""Leaderboards: resumed runs, refused tables, intervals, collapsed methods."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import grnformer_sc as grs
from grnformer_sc.bench import Run, Table

ITEMS = [f"gene{number}" for number in range(12)]
LEVEL = {"mean": 0.4, "ridge": 0.5, "ours": 0.6}
OF_NETWORK = {"": 0.0, "own": 0.05, "none": 0.0, "permuted": 0.01, "rewired": 0.02}
BASELINES = (Run("mean", "baseline"), Run("ridge", "baseline"))


def noise(run: Run) -> np.ndarray:
    return np.random.default_rng(run.seed).normal(0, 0.001, len(ITEMS))


class Measure:
    """Known figures; counts its calls and may break off at one of them."""

    def __init__(self, stop_at: int | None = None, spread: float = 1.0) -> None:
        self.calls, self.stop_at, self.spread = 0, stop_at, spread

    def __call__(self, run: Run) -> pd.DataFrame:
        if self.calls == self.stop_at:
            raise KeyboardInterrupt
        self.calls += 1
        value = np.linspace(-0.1, 0.1, len(ITEMS)) + LEVEL[run.method] + OF_NETWORK[run.network] + noise(run)
        spread = np.full(len(ITEMS), self.spread if run.method == "ours" else 1e-9)
        values = {"r": value, "spread": spread}
        return pd.concat([pd.DataFrame({"item": ITEMS, "metric": name, "value": v}) for name, v in values.items()])


def toy(measure: Measure, runs: tuple[Run, ...] = (*BASELINES, *grs.bench.with_controls("ours"))) -> Table:
    return Table("toy", "data0", "split0", "r", "gene", runs, measure)


def test_a_leaderboard_ranks_compares_and_says_what_it_is_made_of() -> None:
    board = grs.bench.report(grs.bench.run(toy(Measure())))
    main = board[board["metric"] == "r"].set_index(["method", "network"])
    assert main.index[0] == ("ours", "own")
    assert main["mean"].is_monotonic_decreasing
    ours = main.loc[("ours", "own")]
    assert ours["gain"] == pytest.approx(0.15, abs=0.01)
    assert ours["gain_low"] <= ours["gain"] <= ours["gain_high"]
    assert ours["wiring"] == pytest.approx(0.03, abs=0.01)
    assert main.loc[("ours", "rewired"), ["seed", "seeds"]].tolist() == [0, 10]
    assert main.loc[("ridge", ""), "gain"] == 0
    first = board.iloc[0]
    assert (first["baseline"], first["baselines"]) == ("ridge", "mean, ridge")
    assert first["controls"] == "none 1, permuted 1, rewired 10"
    assert first["interval"] == "bootstrap by gene, 1000 draws, 95 %"
    assert (first["data"], first["split"]) == ("data0", "split0")


def test_differences_are_paired_by_item() -> None:
    board = grs.bench.report(grs.bench.run(toy(Measure())))
    main = board[board["metric"] == "r"].set_index(["method", "network"])
    wide = main.loc[("ours", "own"), "high"] - main.loc[("ours", "own"), "low"]
    narrow = main.loc[("ours", "own"), "gain_high"] - main.loc[("ours", "own"), "gain_low"]
    assert narrow < wide / 20


def test_a_table_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "scores.csv"
    whole = grs.bench.run(toy(Measure()))
    with pytest.raises(KeyboardInterrupt):
        grs.bench.run(toy(Measure(stop_at=5)), file)
    rest = Measure()
    resumed = grs.bench.run(toy(rest), file)
    assert rest.calls == len(toy(rest).runs) - 5
    pd.testing.assert_frame_equal(resumed, whole)
    again = Measure(stop_at=0)
    pd.testing.assert_frame_equal(grs.bench.run(toy(again), file), whole)
    pd.testing.assert_frame_equal(grs.bench.report(file), grs.bench.report(whole))


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        (grs.bench.with_controls("ours"), "needs trivial baselines"),
        ((*BASELINES, Run("ours", "ours", "own")), "'ours' needs its controls"),
        ((*BASELINES, *grs.bench.with_controls("ours", n_rewired=9)), "10 rewired ones"),
        ((*BASELINES, *grs.bench.with_controls("ours")[:2]), "'permuted': 0"),
    ],
)
def test_a_table_without_its_controls_is_refused(runs: tuple[Run, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        grs.bench.report(grs.bench.run(toy(Measure(), runs)))


def test_runs_on_other_items_are_refused() -> None:
    scores = grs.bench.run(toy(Measure()))
    fewer = scores.drop(index=scores.index[(scores["method"] == "ridge") & (scores["item"] == "gene3")])
    with pytest.raises(ValueError, match=r"same items.*'ridge': 11"):
        grs.bench.report(fewer)


@pytest.mark.parametrize(("spread", "collapsed"), [(0.5, False), (0.009, True)])
def test_a_collapsed_method_is_marked(spread: float, *, collapsed: bool) -> None:
    board = grs.bench.report(grs.bench.run(toy(Measure(spread=spread))))
    assert set(board.loc[board["method"] == "ours", "collapsed"]) == {collapsed}
    assert board.loc[board["method"] == "mean", "collapsed"].all()


@pytest.mark.parametrize("change", ["data", "split", "version", "table"])
def test_a_file_of_something_else_is_refused_and_left(tmp_path: Path, change: str) -> None:
    file = tmp_path / "scores.csv"
    grs.bench.run(toy(Measure(), BASELINES), file)
    text = pd.read_csv(file).assign(**{change: "other"}).to_csv(index=False)
    file.write_text(text)
    with pytest.raises(ValueError, match=f"same {change} as this table.*other"):
        grs.bench.run(toy(Measure(), BASELINES), file)
    assert file.read_text() == text


def test_another_csv_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "cells.csv"
    file.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"must hold scores of grs\.bench\.run"):
        grs.bench.run(toy(Measure()), file)


def test_undefined_figures_are_left_out_of_means() -> None:
    scores = grs.bench.run(toy(Measure(), BASELINES))
    scores.loc[(scores["item"] == "gene0") & (scores["metric"] == "r"), "value"] = np.nan
    board = grs.bench.report(scores)
    assert set(board.loc[board["metric"] == "r", "n"]) == {len(ITEMS) - 1}


def test_fingerprints_tell_data_apart_and_ignore_storage() -> None:
    x = np.random.default_rng(0).poisson(0.5, (6, 4)).astype(np.float32)
    csr = sp.csr_matrix(x)
    assert grs.bench.fingerprint([csr]) == grs.bench.fingerprint([sp.csc_matrix(x)])
    assert grs.bench.fingerprint([csr]) != grs.bench.fingerprint([sp.csr_matrix(x + 1)])
    table = pd.DataFrame({"a": ["x", "y"], "b": [1, 2]})
    assert grs.bench.fingerprint([table]) == grs.bench.fingerprint([table.astype({"a": "category"})])
    assert grs.bench.fingerprint([["ab", "c"]]) != grs.bench.fingerprint([["a", "bc"]])
