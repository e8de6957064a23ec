"""`pl.attention`: what the model listens to."""

from __future__ import annotations

from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from .. import get
from .._core.checks import need_one_of
from ._style import BLUE, GREY, NORMAL, ORANGE, SEQUENTIAL, SMALL, cluster_order, name_ticks, new_axes, shown_note, tidy

Kind = Literal["regulators", "links", "enrichment"]
NULLS = {
    "rho": ("all other genes", GREY, "o", "p_value"),
    "rho_degree_matched": ("genes of equal degree", BLUE, "D", "p_degree_matched"),
    "rho_expression_matched": ("genes of equal expression", ORANGE, "s", "p_expression_matched"),
}
SIGNIFICANT = 0.05


def attention(
    data: Any,
    *,
    kind: Kind = "regulators",
    group: str | None = None,
    top: int = 15,
    key: str = "grnformer",
    ax: Axes | None = None,
) -> Axes:
    """Plot which regulators a fitted model attends to in each cell type.

    Parameters
    ----------
    data
        AnnData or MuData with a fitted model.
    kind
        `"regulators"`: attention received by the top TFs, cell types x TFs. `"links"`: the strongest regulator -> target
        pairs of one cell type. `"enrichment"`: attention on TFs against all other genes and against genes of equal degree
        and equal expression (filled: p < 0.05), because a TF has more links than other genes and the plain ratio reflects
        that first.
    group
        Cell type of `kind="links"`; by default the first.
    top
        Number of TFs or links.
    key
        Base name of the model.
    ax
        Axes to draw on; new ones by default.

    Returns
    -------
    The axes.

    Raises
    ------
    KeyError
        There is no fitted model with a network, or the group is unknown.
    ValueError
        `kind` is unknown.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(120, n_genes=80, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> model = grs.tl.fit(mdata["rna"], max_epochs=1)
    >>> grs.pl.attention(mdata).get_xlabel()
    'Regulator'
    """
    need_one_of(kind, ("regulators", "links", "enrichment"), name="kind")
    if kind == "regulators":
        return _regulators(get.attention_received(data, key=key), get.attention(data, key=key), top, ax)
    if kind == "links":
        return _links(get.attention(data, group=group, key=key), top, ax)
    return _enrichment(get.attention_enrichment(data, key=key), ax)


def _regulators(received: pd.DataFrame, pairs: pd.DataFrame, top: int, ax: Axes | None) -> Axes:
    regulators = received.loc[received.index.isin(pairs["regulator"].astype(str).unique())]
    regulators = regulators.loc[:, regulators.sum(axis=0) > 0]
    best = regulators.max(axis=1).sort_values(ascending=False, kind="stable").index[:top]
    shown = 100 * regulators.loc[best].to_numpy().T
    rows, columns = cluster_order(shown), cluster_order(shown.T)
    shown = shown[np.ix_(rows, columns)]
    ax = new_axes(2.4 + 0.24 * shown.shape[1], 1.4 + 0.22 * shown.shape[0]) if ax is None else ax
    image = ax.imshow(shown, cmap=SEQUENTIAL, vmin=0, aspect="auto")
    name_ticks(ax, x=[best[i] for i in columns], y=[regulators.columns[i] for i in rows])
    ax.set_xlabel("Regulator", fontsize=NORMAL)
    ax.set_ylabel("Cell type", fontsize=NORMAL)
    ax.set_xticks(np.arange(-0.5, shown.shape[1]), minor=True)
    ax.set_yticks(np.arange(-0.5, shown.shape[0]), minor=True)
    ax.grid(which="minor", color="white", linewidth=0.8)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)
    shown_note(ax, len(best), len(regulators), "regulators")
    bar = plt.colorbar(image, ax=ax, shrink=0.7, aspect=14, pad=0.02)
    bar.set_label("Attention received (%)", fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)
    bar.outline.set_visible(False)
    return ax


def _links(pairs: pd.DataFrame, top: int, ax: Axes | None) -> Axes:
    name = str(pairs["group"].iloc[0])
    own = pairs[pairs["group"].astype(str) == name]
    shown = own.nlargest(top, "weight")
    ax = new_axes(3.8, 0.9 + 0.2 * len(shown)) if ax is None else ax
    names = [f"{r.regulator} \u2192 {r.target}" for r in shown.itertuples()]
    colour = [BLUE if known else "0.75" for known in shown["in_network"]]
    ax.barh(np.arange(len(shown)), 100 * shown["weight"], color=colour, height=0.7)
    ax.set_ylim(len(shown) - 0.4, -0.6)
    name_ticks(ax, y=names)
    tidy(ax, grid="x")
    ax.set_xlabel("Attention of the target on the regulator (%)", fontsize=NORMAL)
    ax.set_title(name, fontsize=NORMAL + 1, loc="left")
    handles = [plt.Rectangle((0, 0), 1, 1, color=c) for c in (BLUE, "0.75")]
    ax.legend(handles, ["link of the network", "other pair"], frameon=False, fontsize=SMALL, loc="lower right")
    return ax


def _enrichment(table: pd.DataFrame, ax: Axes | None) -> Axes:
    table = table.sort_values("rho", ascending=False, kind="stable")
    ax = new_axes(4.2, 1.5 + 0.22 * len(table)) if ax is None else ax
    y = np.arange(len(table))
    for column, (label, colour, marker, p) in NULLS.items():
        filled = (table[p] < SIGNIFICANT).to_numpy()
        face = [colour if on else "white" for on in filled]
        ax.scatter(table[column], y, marker=marker, s=26, c=face, edgecolors=colour, linewidths=1.1, label=label, zorder=3)
    ax.axvline(1, color="0.3", linewidth=0.8, linestyle="--", zorder=1)
    ax.set_ylim(len(table) - 0.4, -0.6)
    name_ticks(ax, y=table["group"].astype(str).tolist())
    tidy(ax, grid="x")
    ax.set_xlabel("Attention on TFs / attention on", fontsize=NORMAL)
    legend = ax.legend(frameon=False, fontsize=SMALL, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=1)
    for handle in legend.legend_handles:
        handle.set_facecolor(handle.get_edgecolor())
    return ax
