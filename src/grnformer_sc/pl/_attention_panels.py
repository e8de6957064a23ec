"""Panels of `pl.attention`; the cell types stand in the same order in all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ._order import cluster_order, take_turns
from ._style import (
    BLUE,
    GREY,
    NORMAL,
    ORANGE,
    SEQUENTIAL,
    SMALL,
    cell_grid,
    name_ticks,
    new_axes,
    panel_bar,
    shown_note,
    tidy,
)

NULLS = {
    "rho": ("all other genes", GREY, "o", "p_value"),
    "rho_degree_matched": ("genes of equal degree", BLUE, "D", "p_degree_matched"),
    "rho_expression_matched": ("genes of equal expression", ORANGE, "s", "p_expression_matched"),
}
SIGNIFICANT = 0.05
PALE = "0.75"
ARROW = " \u2192 "
PER_GENE = "relative to mean gene"


@dataclass(frozen=True, slots=True)
class AttentionTables:
    """What the panels show, relative to the mean gene of each cell type's network.

    Attributes
    ----------
    regulators
        TFs x groups (NaN: not in the network of the group).
    pairs
        Pairs of the groups, strongest first: `group`, `pair`, `fold`, `in_network`.
    enrichment
        One row per group; empty when there is nothing to compare.
    groups
        Cell types with attention, similar ones together.
    """

    regulators: pd.DataFrame
    pairs: pd.DataFrame
    enrichment: pd.DataFrame
    groups: list[str]

    @classmethod
    def build(cls, received: pd.DataFrame, pairs: pd.DataFrame, enrichment: pd.DataFrame, tfs: pd.Index) -> Self:
        """Divide by the mean over the genes that receive attention, and order the groups."""
        received = received.loc[:, (received > 0).any()].astype(np.float64).where(received > 0)
        mean = received.mean()
        fold = received / mean
        regulators = fold[fold.index.isin(tfs.union(pairs["regulator"].astype(str)))].dropna(how="all")
        order = cluster_order(regulators.fillna(0).to_numpy().T)
        groups = [str(regulators.columns[i]) for i in order]
        names = pairs["group"].astype(str)
        table = pd.DataFrame(
            {
                "group": names,
                "pair": pairs["regulator"].astype(str) + ARROW + pairs["target"].astype(str),
                "weight": pairs["weight"].astype(np.float64),
                "fold": pairs["weight"].to_numpy() / names.map(mean).to_numpy(),
                "in_network": pairs["in_network"].to_numpy(dtype=bool),
            }
        ).sort_values("weight", ascending=False, kind="stable")
        rows = enrichment.set_index(enrichment["group"].astype(str))
        return cls(regulators[groups], table, rows.loc[[g for g in groups if g in rows.index]], groups)

    @property
    def n_pairs(self) -> int:
        """Number of different pairs."""
        return self.pairs["pair"].nunique()


def regulators_panel(tables: AttentionTables, top: int, ax: Axes | None) -> Axes:
    """Heat map groups x TFs."""
    ranked = {
        g: tables.regulators[g].dropna().sort_values(ascending=False, kind="stable").index.tolist()
        for g in tables.groups
    }
    names = take_turns(ranked, top)
    shown = tables.regulators.loc[names, tables.groups].to_numpy().T
    rows, columns = shown.shape
    ax = new_axes(2.2 + 0.2 * columns, 2.1 + 0.2 * rows) if ax is None else ax
    low, high = min(1.0, float(np.nanmin(shown))), max(1.1, float(np.nanmax(shown)))
    image = ax.imshow(np.ma.masked_invalid(shown), cmap=SEQUENTIAL, vmin=low, vmax=high, aspect="auto")
    ax.set_facecolor("0.92")
    name_ticks(ax, x=names, y=tables.groups)
    cell_grid(ax, rows, columns)
    ax.set_xlabel("Regulator", fontsize=NORMAL)
    ax.set_ylabel("Cell type", fontsize=NORMAL)
    panel_bar(ax, image, f"Attention received by TF\n{PER_GENE}", share=0.75)
    return ax


def regulator_bars(tables: AttentionTables, top: int, ax: Axes | None) -> Axes:
    """TFs of one group, strongest first."""
    (group,) = tables.groups
    shown = tables.regulators[group].dropna().sort_values(ascending=False, kind="stable")
    total, shown = len(shown), shown.head(top)
    ax = new_axes(3.4, 0.9 + 0.19 * len(shown)) if ax is None else ax
    _points(ax, shown.to_numpy(), shown.index.tolist(), [BLUE] * len(shown))
    ax.axvline(1, color="0.3", linewidth=0.8, linestyle="--", zorder=1)
    ax.set_xlabel(f"Attention received,\n{PER_GENE}", fontsize=NORMAL)
    ax.set_title(group, fontsize=NORMAL + 1, loc="left")
    shown_note(ax, len(shown), total, "TFs")
    return ax


def links_panel(tables: AttentionTables, top: int, ax: Axes | None) -> Axes:
    """Dots groups x pairs."""
    pairs = tables.pairs
    names = take_turns({g: pairs.loc[pairs["group"] == g, "pair"].tolist() for g in tables.groups}, top)
    shown = pairs[pairs["pair"].isin(names)]
    ax = new_axes(2.2 + 0.2 * len(names), 3.1 + 0.2 * len(tables.groups)) if ax is None else ax
    edge = ["black" if known else "none" for known in shown["in_network"]]
    drawn = ax.scatter(
        pd.Index(names).get_indexer(shown["pair"]), pd.Index(tables.groups).get_indexer(shown["group"]), s=70,
        c=shown["fold"], cmap=SEQUENTIAL, vmin=1, vmax=max(float(shown["fold"].max()), 1.1), edgecolors=edge,
    )  # fmt: skip
    ax.set_xlim(-0.6, len(names) - 0.4)
    ax.set_ylim(len(tables.groups) - 0.5, -0.5)
    name_ticks(ax, x=names, y=tables.groups)
    ax.grid(color="0.94", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("Regulator" + ARROW + "target", fontsize=NORMAL)
    ax.set_ylabel("Cell type", fontsize=NORMAL)
    place = panel_bar(ax, drawn, f"Attention of target on TF\n{PER_GENE}", share=0.55)
    ring = Line2D([], [], marker="o", linestyle="none", markersize=6, color="none", markeredgecolor="black")
    place.legend(
        [ring], ["link of the\nnetwork"], fontsize=SMALL - 1, frameon=False, loc="center left",
        bbox_to_anchor=(1.02, 0.5), borderaxespad=0, handletextpad=0.2,
    )  # fmt: skip
    return ax


def links_bars(tables: AttentionTables, top: int, ax: Axes | None) -> Axes:
    """Strongest pairs of one group."""
    (group,) = tables.groups
    shown = tables.pairs.head(top)
    ax = new_axes(3.8, 0.9 + 0.19 * len(shown)) if ax is None else ax
    colours = [BLUE if known else PALE for known in shown["in_network"]]
    _points(ax, shown["fold"].to_numpy(), shown["pair"].tolist(), colours)
    ax.set_xlabel(f"Attention of target on TF,\n{PER_GENE}", fontsize=NORMAL)
    ax.set_title(group, fontsize=NORMAL + 1, loc="left", pad=32)
    ax.legend(
        [Patch(color=c) for c in (BLUE, PALE)], ["link of the network", "other pair"], frameon=False, fontsize=SMALL,
        loc="lower left", bbox_to_anchor=(0, 1.0), borderpad=0.2, handlelength=1.2,
    )  # fmt: skip
    return ax


def enrichment_panel(tables: AttentionTables, ax: Axes | None) -> Axes:
    """TFs against other genes, one row per group."""
    if len(tables.groups) == 1:
        return _enrichment_of_one(tables, ax)
    table, rows = tables.enrichment, len(tables.groups)
    ax = new_axes(3.6, 1.9 + 0.2 * rows) if ax is None else ax
    y = pd.Index(tables.groups).get_indexer(table.index)
    for i, (column, (label, colour, marker, p)) in enumerate(NULLS.items()):
        _marks(ax, table[column], y + 0.22 * (i - 1), table[p], colour=colour, marker=marker, label=label)
    ax.hlines(np.arange(rows - 1) + 0.5, 0, 1, transform=ax.get_yaxis_transform(), color="0.92", linewidth=0.6)
    _ratio_axes(ax, tables.groups)
    ax.set_ylabel("Cell type", fontsize=NORMAL)
    shapes = [
        Line2D([], [], marker=m, color=c, linestyle="none", markersize=5, label=label)
        for label, c, m, _ in NULLS.values()
    ]
    ax.legend(
        handles=shapes, frameon=False, fontsize=SMALL, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=1,
        title=f"TFs against (filled: p < {SIGNIFICANT})", title_fontsize=SMALL, alignment="left", handletextpad=0.2,
        borderpad=0,
    )  # fmt: skip
    return ax


def _enrichment_of_one(tables: AttentionTables, ax: Axes | None) -> Axes:
    """The three comparisons of one group as rows."""
    ax = new_axes(3.6, 1.6) if ax is None else ax
    for i, (column, (label, colour, marker, p)) in enumerate(NULLS.items()):
        _marks(
            ax,
            tables.enrichment[column],
            np.array([i]),
            tables.enrichment[p],
            colour=colour,
            marker=marker,
            label=label,
        )
    _ratio_axes(ax, [label.replace("genes of ", "genes of\n") for label, *_ in NULLS.values()])
    ax.set_title(f"{tables.groups[0]} (filled: p < {SIGNIFICANT})", fontsize=NORMAL, loc="left")
    return ax


def _marks(ax: Axes, values: pd.Series, at: np.ndarray, p: pd.Series, *, colour: str, marker: str, label: str) -> None:
    face = [colour if value < SIGNIFICANT else "white" for value in p]
    ax.scatter(values, at, marker=marker, s=20, c=face, edgecolors=colour, linewidths=1, label=label, zorder=3)


def _ratio_axes(ax: Axes, names: list[str]) -> None:
    ax.axvline(1, color="0.3", linewidth=0.8, linestyle="--", zorder=1)
    ax.set_ylim(len(names) - 0.5, -0.5)
    name_ticks(ax, y=names)
    tidy(ax)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("Attention on TFs /\nattention on others", fontsize=NORMAL)


def _points(ax: Axes, values: np.ndarray, names: list[str], colours: list[str]) -> None:
    y = np.arange(len(names))
    ax.barh(y, values, color=colours, height=0.7)
    ax.set_ylim(len(names) - 0.4, -0.6)
    name_ticks(ax, y=names)
    tidy(ax, grid="x")
