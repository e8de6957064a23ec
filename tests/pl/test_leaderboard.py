"""What the plot of a leaderboard shows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import grnformer_sc as grs
from grnformer_sc.bench import Run, Table

LEVEL = {"mean": 0.4, "ridge": 0.5, "limit": 0.9}


def measure(run: Run) -> pd.DataFrame:
    spread = 1e-6 if run.method == "mean" else 0.8
    r = pd.DataFrame({"item": list("ABC"), "metric": "r", "value": LEVEL[run.method] + np.arange(3) / 10})
    return pd.concat([r, r.assign(metric="spread", value=spread)])


@pytest.fixture
def board() -> pd.DataFrame:
    runs = (Run("mean", "baseline"), Run("ridge", "baseline"), Run("limit", "ceiling"))
    return grs.bench.report(grs.bench.run(Table("toy_task", "d", "s", "r", "drug", runs, measure)))


def test_the_best_is_on_top_with_its_interval(board: pd.DataFrame) -> None:
    ax = grs.pl.leaderboard(board)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["mean", "ridge", "limit"]
    bars, points = ax.lines[0:6:2], ax.lines[1:6:2]
    np.testing.assert_allclose([point.get_xdata()[0] for point in points], [0.5, 0.6, 1.0])
    for bar, name in zip(bars, ["mean", "ridge", "limit"], strict=True):
        row = board[(board["method"] == name) & (board["metric"] == "r")].iloc[0]
        np.testing.assert_allclose(bar.get_xdata(), [row["low"], row["high"]])
    assert ax.lines[6].get_xdata() == pytest.approx([0.6, 0.6])  # the best baseline
    assert ax.get_xlabel() == "r (mean of 3 drugs, 95 % interval)"
    assert ax.get_title(loc="left") == "Toy task"


def test_only_collapsed_methods_are_open_circles(board: pd.DataFrame) -> None:
    ax = grs.pl.leaderboard(board)
    assert [line.get_markerfacecolor() == "white" for line in ax.lines[1:6:2]] == [True, False, False]


def test_the_legend_leaves_the_title_free(board: pd.DataFrame) -> None:
    four = pd.concat([board, *(board.head(1).assign(kind=kind, method=kind) for kind in ("ours", "control"))])
    ax = grs.pl.leaderboard(four)
    renderer = ax.figure.canvas.get_renderer()
    title = next(text for text in (ax.title, ax._left_title, ax._right_title) if text.get_text())
    assert not title.get_window_extent(renderer).overlaps(ax.get_legend().get_window_extent(renderer))


def test_wrong_tables_and_metrics_are_named(board: pd.DataFrame) -> None:
    with pytest.raises(KeyError, match=r"no \['kind'\]"):
        grs.pl.leaderboard(board.drop(columns="kind"))
    with pytest.raises(KeyError, match="'mse' must be in the leaderboard"):
        grs.pl.leaderboard(board, metric="mse")
