"""`pl.predicted_change`: predicted beside measured changes of a perturbation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from .. import get
from .._core.checks import fail, need_between
from .._core.keys import PREDICTED
from ._style import BLUE, NORMAL, ORANGE, SMALL, VERMILION, name_ticks, tidy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

ROW = 0.2  # inches
LABELLED = 5  # genes named in the scatter
ROOM = (0.45, 0.1)  # that a name takes, in halves of the range


def predicted_change(
    adata: AnnData,
    perturbation: str,
    *,
    context: str | None = None,
    top: int = 15,
    axes: Sequence[Axes] | None = None,
) -> list[Axes]:
    """Plot predicted against measured changes of all genes, and the genes that change most with their intervals.

    Left: a dot per gene; on the line prediction and measurement agree (against expression, where nothing
    was measured). Right: the genes with the largest measured change
    (predicted, where nothing was measured), the prediction with its 95 % interval. The perturbed genes are marked.

    Parameters
    ----------
    adata
        Result of `tl.perturb`.
    perturbation
        Its name.
    context
        One context; needed where there are several.
    top
        Genes in the right panel.
    axes
        Two axes to draw on; a new figure by default.

    Returns
    -------
    The axes.

    Raises
    ------
    KeyError
        This is no prediction, or it does not hold the perturbation or the context.
    ValueError
        There are several contexts and none is named, `top` is below 1, or there are fewer than two axes.

    See Also
    --------
    grnformer_sc.get.predicted_change : the same as a table.
    grnformer_sc.pl.perturbation : a simulated knock-out, group by group.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> cells = grs.datasets.simulate_perturbations(20, n_genes=60, n_tfs=8, rng=0)
    >>> grs.pp.perturbation_setup(cells)
    >>> grs.pp.split_perturbations(cells, strategy="leave_one_out")
    >>> len(grs.pl.predicted_change(grs.tl.perturb(cells, method="mean"), "TF01"))
    2
    """
    need_between(top, 1, 10_000, name="top")
    table = get.predicted_change(adata, perturbation, context=context)
    measured = bool(table["observed"].notna().any())
    by = table["observed"] if measured else table["change"]
    first = table.iloc[np.argsort(-by.abs().to_numpy(), kind="stable")[:top]]
    first = first.iloc[np.argsort(-(first["observed"] if measured else first["change"]).to_numpy(), kind="stable")]
    if axes is None:
        height = max(2.9, 1.1 + ROW * len(first))
        _, pair = plt.subplots(1, 2, figsize=(7.2, height), layout="constrained", width_ratios=(1, 1.05))
        axes = list(pair)
    if len(axes) < 2:
        raise fail(ValueError, "two axes are needed.", f"{len(axes)}.", "pass two, or none.")
    left, right = axes[0], axes[1]
    _scatter(left, table, measured=measured)
    _intervals(right, first, measured=measured)
    where = "" if context is None else f" in {context}"
    method = str(adata.uns[PREDICTED]["method"])
    left.set_title(f"{perturbation}{where}, {method}", fontsize=NORMAL, loc="left")
    return [left, right]


def _scatter(ax: Axes, table: pd.DataFrame, *, measured: bool) -> None:
    own = table["perturbed"].to_numpy()
    x, y = table["observed" if measured else "control"].to_numpy(), table["change"].to_numpy()
    ax.scatter(x[~own], y[~own], s=8, color=BLUE, alpha=0.6, linewidths=0)
    ax.scatter(x[own], y[own], s=26, color=VERMILION, marker="D", linewidths=0, label="perturbed gene")
    if measured:
        reach = 1.08 * max(np.abs(x).max(), np.abs(y).max(), 1e-6)
        ax.axline((0, 0), slope=1, color="0.75", linewidth=0.8, zorder=0)
        ax.set_xlim(-reach, reach)
        ax.set_ylim(-reach, reach)
        known = x.std() > 0 and y.std() > 0
        said = f"r = {np.corrcoef(x, y)[0, 1]:.2f}" if known else "r is not defined"
        ax.text(0.03, 0.97, said, transform=ax.transAxes, va="top", fontsize=SMALL)
        _label(ax, table[~own], reach)
    if own.any():
        ax.legend(loc="lower right", fontsize=SMALL, frameon=False, handletextpad=0.2)
    ax.set_xlabel("Measured change of mean log expression" if measured else "Mean in control cells", fontsize=SMALL)
    ax.set_ylabel("Predicted change", fontsize=SMALL)
    tidy(ax)


def _label(ax: Axes, table: pd.DataFrame, reach: float) -> None:
    """Name the genes that change most, each where no name stands yet."""
    taken: list[tuple[float, float]] = []
    for _, row in table.iloc[np.argsort(-table["observed"].abs().to_numpy(), kind="stable")].iterrows():
        x, y = float(row["observed"]), float(row["change"])
        if len(taken) == LABELLED:
            break
        if any(abs(x - a) < ROOM[0] * reach and abs(y - b) < ROOM[1] * reach for a, b in taken):
            continue
        taken.append((x, y))
        side = "left" if x < 0 else "right"
        ax.annotate(
            row["gene"], (x, y), fontsize=SMALL - 1, xytext=(-3 if x < 0 else 3, 3), textcoords="offset points", ha=side
        )


def _intervals(ax: Axes, table: pd.DataFrame, *, measured: bool) -> None:
    y = np.arange(len(table))
    ax.axvline(0, color="0.75", linewidth=0.8)
    ax.hlines(y, table["ci_low"], table["ci_high"], color=BLUE, linewidth=2.2, alpha=0.35)
    ax.scatter(table["change"], y, s=18, color=BLUE, zorder=3)
    handles = [Line2D([], [], linestyle="-", marker="o", color=BLUE, markersize=4, label="predicted, 95 %")]
    if measured:
        ax.scatter(table["observed"], y, s=26, color=ORANGE, marker="|", linewidths=2, zorder=4)
        handles.append(Line2D([], [], linestyle="", marker="|", color=ORANGE, markeredgewidth=2, label="measured"))
    ax.set_ylim(len(table) - 0.4, -0.6)
    name_ticks(ax, y=list(table["gene"]))
    for tick, own in zip(ax.get_yticklabels(), table["perturbed"], strict=True):
        tick.set_color(VERMILION if own else "black")
    tidy(ax, grid="x")
    ax.set_xlabel("Change of mean log expression", fontsize=SMALL)
    ax.legend(
        handles=handles, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, fontsize=SMALL, frameon=False,
        borderaxespad=0.1, handlelength=1.4,
    )  # fmt: skip
