"""Colours and axes of all plots; nothing here changes the user's matplotlib settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PathCollection
from matplotlib.colors import ListedColormap

from .._core.checks import fail

# Okabe & Ito (2008), readable with colour vision deficiencies
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#7F7F7F",
)  # fmt: skip
ACTIVATES, REPRESSES = BLUE, VERMILION
SEQUENTIAL = ListedColormap(plt.get_cmap("YlGnBu")(np.linspace(0.12, 1, 256)), name="strength")  # light is little
DIVERGING = plt.get_cmap("RdBu_r")  # Brewer: blue falls, red rises, readable with colour vision deficiencies
SMALL, NORMAL = 8, 9  # text sizes in points


def new_axes(width: float, height: float) -> Axes:
    """Axes in a figure of its own."""
    _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    return ax


def tidy(ax: Axes, *, grid: Literal["both", "x", "y"] | None = None) -> None:
    """Small text, no frame above and on the right."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=SMALL, length=2)
    if grid is not None:
        ax.grid(axis=grid, color="0.92", linewidth=0.6)
        ax.set_axisbelow(True)


def name_ticks(ax: Axes, *, x: Sequence[str] | None = None, y: Sequence[str] | None = None) -> None:
    """Write names on the axes, one per position; long x names stand upright."""
    if x is not None:
        upright = len(x) > 6 or max((len(name) for name in x), default=0) > 4
        ax.set_xticks(range(len(x)), x, rotation=90 if upright else 0, fontsize=SMALL)
    if y is not None:
        ax.set_yticks(range(len(y)), y, fontsize=SMALL)
    ax.tick_params(length=0)


def dots(
    ax: Axes, size: Float[np.ndarray, "rows columns"], colour: Float[np.ndarray, "rows columns"], *, largest: float
) -> PathCollection:
    """Dot matrix: area follows `size` (0 to 1), colour follows `colour`."""
    rows, columns = size.shape
    y, x = np.indices(size.shape)
    drawn = ax.scatter(
        x.ravel(), y.ravel(), s=size.ravel() * largest, c=colour.ravel(), cmap=SEQUENTIAL, vmin=0, vmax=1,
        linewidths=0.3, edgecolors="0.4",
    )  # fmt: skip
    ax.set_xlim(-0.7, columns - 0.3)
    ax.set_ylim(rows - 0.3, -0.7)
    return drawn


def need_top(value: int, what: str, *, name: str = "n_top") -> None:
    """Raise `ValueError` when a plot is asked to show nothing; `what` is how to mend it, as in "genes to show"."""
    if value < 1:
        raise fail(ValueError, f"{name} must be at least 1.", f"{value!r}.", f"name how many {what}.")


def shown_note(ax: Axes, shown: int, total: int, what: str) -> None:
    """Say how many were left out."""
    if shown < total:
        ax.set_title(f"{shown} of {total} {what}", fontsize=SMALL, loc="right", color="0.4")


def panel_bar(ax: Axes, drawn: ScalarMappable, label: str, *, share: float = 1.0) -> Axes:
    """Horizontal colour bar above a panel, inside its axes' own figure space: nothing else moves."""
    rows = abs(np.diff(ax.get_ylim())[0])
    place = ax.inset_axes((0, 1 + 0.55 / rows, share, 0.55 / rows))
    bar = ax.figure.colorbar(drawn, cax=place, orientation="horizontal")
    bar.outline.set_visible(False)
    place.xaxis.set_ticks_position("top")
    place.xaxis.set_label_position("top")
    place.set_xlabel(label, fontsize=SMALL, loc="left")
    place.tick_params(labelsize=SMALL - 1, length=2, pad=1)
    return place


def side_bar(ax: Axes, drawn: ScalarMappable, label: str) -> Axes:
    """Vertical colour bar at the upper right of a panel, its label above it: the bar can be shorter than the label."""
    place = ax.inset_axes((1.02, 0.5, 0.014, 0.38))
    bar = ax.figure.colorbar(drawn, cax=place)
    bar.outline.set_visible(False)
    place.set_title(label, fontsize=SMALL, loc="left")
    place.tick_params(labelsize=SMALL, length=2)
    return place


def cell_grid(ax: Axes, rows: int, columns: int) -> None:
    """White lines between the cells of a heat map, no frame."""
    ax.set_xticks(np.arange(-0.5, columns), minor=True)
    ax.set_yticks(np.arange(-0.5, rows), minor=True)
    ax.grid(which="minor", color="white", linewidth=0.8)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)
