"""`pl.leaderboard`: methods beside trivial baselines, controls and the ceiling, with intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from .._core.checks import fail, listing
from ._style import BLUE, GREEN, GREY, NORMAL, ORANGE, SMALL, name_ticks, new_axes, tidy

ROW = 0.24  # inches
COLOURS = {"ours": BLUE, "baseline": GREY, "control": ORANGE, "ceiling": GREEN}
WORDS = {"own": "", "none": "no network", "rewired": "rewired network", "permuted": "permuted network"}
NEEDED = ["method", "kind", "network", "metric", "mean", "low", "high", "headline", "unit", "baseline", "collapsed"]


def leaderboard(board: pd.DataFrame, *, metric: str | None = None, ax: Axes | None = None) -> Axes:
    """Plot the means of a leaderboard with their intervals, in its order; a line marks the best trivial baseline.

    A method whose predictions have collapsed (all items get about the same) is drawn as an open circle.

    Parameters
    ----------
    board
        From `grs.bench.report`.
    metric
        What to show; the headline by default.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes.

    Raises
    ------
    KeyError
        The table is no leaderboard, or has no such metric.

    See Also
    --------
    grnformer_sc.bench.report : the table.

    Examples
    --------
    >>> import pandas as pd
    >>> import grnformer_sc as grs
    >>> def measure(run):
    ...     return pd.DataFrame({"item": ["A", "B"], "metric": "r", "value": [0.5, 0.7]})
    >>> runs = (grs.bench.Run("mean", "baseline"), grs.bench.Run("ours", "ours"))
    >>> board = grs.bench.report(grs.bench.run(grs.bench.Table("toy", "d", "s", "r", "gene", runs, measure)))
    >>> grs.pl.leaderboard(board).get_xlabel()
    'r (mean of 2 genes, 95 % interval)'
    """
    _need_board(board, metric)
    headline = str(board["headline"].iloc[0])
    metric = headline if metric is None else metric
    shown = board[board["metric"] == metric].iloc[::-1]
    ax = new_axes(4.8, 0.9 + ROW * len(shown)) if ax is None else ax
    for place, row in enumerate(shown.itertuples()):
        colour = COLOURS[str(row.kind)]
        ax.plot([row.low, row.high], [place, place], color=colour, linewidth=1.6, solid_capstyle="butt")
        fill = "white" if row.collapsed else colour
        ax.plot(row.mean, place, "o", color=colour, markerfacecolor=fill, markersize=5)
    best = shown.loc[(shown["method"] == shown["baseline"]) & (shown["kind"] == "baseline"), "mean"]
    if len(best):
        ax.axvline(best.iloc[0], color="0.6", linewidth=0.8, linestyle=":", zorder=0)
    name_ticks(ax, y=[_label(str(row.method), str(row.network)) for row in shown.itertuples()])
    ax.set_ylim(-0.6, len(shown) - 0.4)
    tidy(ax, grid="x")
    n_items = int(shown["n"].max())
    ax.set_xlabel(f"{metric} (mean of {n_items} {shown['unit'].iloc[0]}s, 95 % interval)", fontsize=SMALL)
    ax.set_title(str(shown["table"].iloc[0]).replace("_", " ").capitalize(), fontsize=NORMAL, loc="left", pad=16)
    kinds = [kind for kind in COLOURS if (shown["kind"] == kind).any()]
    handles = [Line2D([], [], marker="o", color=COLOURS[kind], label=kind, markersize=5) for kind in kinds]
    ax.legend(
        handles=handles, fontsize=SMALL, frameon=False, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0,
        ncols=len(handles), columnspacing=1, handlelength=1.2,
    )  # fmt: skip
    return ax


def _label(method: str, network: str) -> str:
    word = WORDS.get(network, "")
    return f"{method}, {word}" if word else method


def _need_board(board: pd.DataFrame, metric: str | None) -> None:
    missing = [name for name in NEEDED if name not in board]
    if missing:
        raise fail(
            KeyError, f"a leaderboard has the columns {NEEDED}.", f"no {missing}.", "use grs.bench.report(scores)."
        )
    if metric is not None and not (board["metric"] == metric).any():
        known = listing(np.unique(board["metric"].astype(str)))
        raise fail(KeyError, f"metric={metric!r} must be in the leaderboard.", f"{known}.", "choose one of them.")
