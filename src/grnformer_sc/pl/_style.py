"""Colours and axes of all plots; nothing here changes the user's matplotlib settings."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection

# Okabe & Ito (2008), readable with colour vision deficiencies
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#7F7F7F",
)  # fmt: skip
ACTIVATES, REPRESSES = BLUE, VERMILION
SEQUENTIAL = "viridis"
SMALL, NORMAL = 8, 9  # text sizes in points


def new_axes(width: float, height: float) -> Axes:
    """Axes in a figure of its own."""
    _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    return ax


def tidy(ax: Axes, *, grid: str | None = None) -> None:
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
        x.ravel(), y.ravel(), s=size.ravel() * largest, c=colour.ravel(), cmap=SEQUENTIAL, vmin=0, vmax=1, linewidths=0
    )
    ax.set_xlim(-0.7, columns - 0.3)
    ax.set_ylim(rows - 0.3, -0.7)
    return drawn


def shown_note(ax: Axes, shown: int, total: int, what: str) -> None:
    """Say how many were left out."""
    if shown < total:
        ax.set_title(f"{shown} of {total} {what}", fontsize=SMALL, loc="right", color="0.4")


def cluster_order(values: Float[np.ndarray, "rows columns"]) -> list[int]:
    """Order rows so that similar ones are neighbours (average linkage, optimal leaf order)."""
    from scipy.cluster.hierarchy import leaves_list, linkage

    if values.shape[0] < 3:
        return list(range(values.shape[0]))
    return [int(i) for i in leaves_list(linkage(values, method="average", optimal_ordering=True))]
