"""`pl.network`: TFs and their targets as a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from .. import get
from .._core.checks import fail
from .._core.optional import need
from ._style import ACTIVATES, GREY, NORMAL, REPRESSES, SMALL, new_axes, shown_note

LABELLED = 60  # targets beyond this number stay without a name


def network(
    data: Any,
    *,
    group: str | None = None,
    regulators: Sequence[str] | None = None,
    n_regulators: int = 6,
    n_targets: int = 8,
    key: str = "grn",
    ax: Axes | None = None,
) -> Axes:
    """Plot the strongest links of regulators as a graph, of the whole network or of one cell type.

    Blue arrows activate, red ones repress; width follows the importance of the link. TFs are large and bold.

    Parameters
    ----------
    data
        AnnData or MuData.
    group
        Cell type.
    regulators
        TFs; by default those with the most specific eRegulons (RSS) of the group, or of any group.
    n_regulators
        Number of TFs when none are named.
    n_targets
        Strongest targets per TF.
    key
        Base name of the network.
    ax
        Axes to draw on; new ones by default.

    Returns
    -------
    The axes.

    Raises
    ------
    KeyError
        There is no network, or the group is unknown.
    ValueError
        No link is left.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> grs.pl.network(mdata, n_regulators=2).get_title(loc="left")
    'All cell types'
    """
    links = get.network(data, group=group, key=key)
    chosen = _specific_tfs(data, links, group, n_regulators, key) if regulators is None else list(regulators)
    own = links[links["tf"].isin(chosen)]
    if own.empty:
        raise fail(
            ValueError, "at least one link must be left to draw.", f"none of {chosen} in {group or 'any group'}.",
            "choose other regulators, see grs.get.eregulons(adata).",
        )  # fmt: skip
    order = np.argsort(-own["weight"].abs().to_numpy(), kind="stable")
    own = own.iloc[order].drop_duplicates(["tf", "gene"])
    shown = own.groupby("tf", sort=False).head(n_targets)
    ax = new_axes(6.2, 5.2) if ax is None else ax
    _draw(ax, shown, sorted(set(shown["tf"])))
    ax.set_title("All cell types" if group is None else group, fontsize=NORMAL + 1, loc="left")
    shown_note(ax, len(shown), len(own), "links of these TFs")
    return ax


def _specific_tfs(data: Any, links: pd.DataFrame, group: str | None, n: int, key: str) -> list[str]:
    table = get.groups(data, key=key)
    table = table[table["kept"] & ((table["group"].astype(str) == group) if group is not None else True)]
    table = table.sort_values("rss", ascending=False, kind="stable")
    tfs = table["eregulon"].astype(str).str.split("|", regex=False).str[0].drop_duplicates()
    return tfs[tfs.isin(links["tf"])].head(n).tolist()


def _draw(ax: Axes, links: pd.DataFrame, tfs: list[str]) -> None:
    networkx = need("networkx")
    graph = networkx.DiGraph()
    for row in links.itertuples():
        graph.add_edge(row.tf, row.gene, weight=abs(row.weight), sign=row.sign)
    place = _layout(graph, tfs)
    for sign, colour in ((1, ACTIVATES), (-1, REPRESSES)):
        pairs = [(a, b) for a, b, d in graph.edges(data=True) if d["sign"] == sign]
        width = [0.5 + 1.5 * graph.edges[pair]["weight"] for pair in pairs]
        networkx.draw_networkx_edges(
            graph, place, edgelist=pairs, ax=ax, edge_color=colour, width=width, alpha=0.6, arrowsize=7, node_size=60,
            connectionstyle="arc3,rad=0.06",
        )  # fmt: skip
    targets = [node for node in graph if node not in tfs]
    networkx.draw_networkx_nodes(graph, place, nodelist=targets, ax=ax, node_size=14, node_color=GREY, linewidths=0)
    networkx.draw_networkx_nodes(graph, place, nodelist=tfs, ax=ax, node_size=90, node_color="black", linewidths=0)
    _labels(ax, place, tfs, targets[:LABELLED])
    ax.set_axis_off()
    ax.margins(0.14)
    lines = [Line2D([], [], color=c, label=t) for c, t in ((ACTIVATES, "activates"), (REPRESSES, "represses"))]
    ax.legend(handles=lines, frameon=False, fontsize=SMALL, loc="lower left")


def _layout(graph: Any, tfs: list[str]) -> dict[str, np.ndarray]:
    """TFs on an inner circle; each target on a ring around its TFs, spread by angle so that names do not collide."""
    angle = {tf: 2 * np.pi * i / len(tfs) for i, tf in enumerate(tfs)}
    place = {tf: 0.42 * np.array([np.cos(a), np.sin(a)]) if len(tfs) > 1 else np.zeros(2) for tf, a in angle.items()}
    targets = [node for node in graph if node not in angle]
    mean = {}
    for node in targets:
        parents = [place[tf] for tf in graph.predecessors(node) if tf in place]
        centre = np.sum(parents, axis=0) + 1e-6
        mean[node] = float(np.arctan2(centre[1], centre[0]) % (2 * np.pi))
    ordered = sorted(targets, key=lambda node: (mean[node], node))
    for i, node in enumerate(ordered):
        turn = 2 * np.pi * i / max(len(ordered), 1)
        place[node] = np.array([np.cos(turn), np.sin(turn)])
    return place


def _labels(ax: Axes, place: dict[str, np.ndarray], tfs: list[str], targets: list[str]) -> None:
    """Names of targets point outwards on their ring; names of TFs stand beside their node."""
    for node in targets:
        x, y = place[node]
        turn = np.degrees(np.arctan2(y, x))
        left = abs(turn) > 90
        ax.text(
            1.04 * x, 1.04 * y, node, fontsize=SMALL - 1, style="italic", rotation=turn + 180 if left else turn,
            rotation_mode="anchor", ha="right" if left else "left", va="center",
        )  # fmt: skip
    for tf in tfs:
        x, y = place[tf]
        ax.annotate(
            tf, (x, y), xytext=(0, 7), textcoords="offset points", ha="center", fontsize=NORMAL, weight="bold",
            bbox={"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.7},
        )  # fmt: skip
