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
from ._order import take_turns
from ._style import ACTIVATES, GREY, NORMAL, REPRESSES, SMALL, need_top, new_axes, shown_note

LINE = 8.4  # points that the name of a target needs on the ring; weaker targets in between stay without one
UPRIGHT = 6  # names of more TFs than this point to the centre, because they would meet
EQUAL = 0.05  # importances that differ by less than this share are drawn with one width
REACH = 1.45  # half of the axes; the ring has radius 1
INNER = 0.5  # radius of the TFs; that of the targets is 1
ROUNDS = 12
BEHIND = {"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.7}
SIGNS = {1: ("activates", ACTIVATES, "-|>"), -1: ("represses", REPRESSES, "-[,widthB=0.3,lengthB=0")}


def network(
    data: Any,
    *,
    group: str | None = None,
    regulators: Sequence[str] | None = None,
    n_regulators: int = 6,
    n_targets: int = 8,
    key: str = "grn",
    rna: str = "rna",
    ax: Axes | None = None,
) -> Axes:
    """Plot the strongest links of regulators as a graph, of the whole network or of one cell type.

    Blue arrows activate, red bars repress; width follows the importance of the link, where importances differ by more
    than 5 %. TFs are large and bold. Of targets that are too close for all their names, the strongest are named.

    Parameters
    ----------
    data
        AnnData or MuData.
    group
        Cell type.
    regulators
        TFs; by default those with the most specific eRegulons (RSS) of the group; without `group`, the groups take
        turns.
    n_regulators
        Number of TFs when none are named.
    n_targets
        Strongest targets per TF.
    key
        Base name of the network.
    rna
        Name of the RNA modality.
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
    need_top(n_targets, "targets to draw", name="n_targets")
    need_top(n_regulators, "regulators to draw", name="n_regulators")
    links = get.network(data, group=group, key=key, rna=rna)
    chosen = (
        _specific_tfs(data, links, group, n_regulators, key=key, rna=rna) if regulators is None else list(regulators)
    )
    own = links[links["tf"].isin(chosen)]
    if own.empty:
        raise fail(
            ValueError, "at least one link must be left to draw.", f"none of {chosen} in {group or 'any group'}.",
            "choose other regulators, see grs.get.eregulons(adata).",
        )  # fmt: skip
    order = np.argsort(-own["weight"].abs().to_numpy(), kind="stable")
    own = own.iloc[order].drop_duplicates(["tf", "gene"])
    shown = own.groupby("tf", sort=False).head(n_targets)
    ax = new_axes(6.0, 6.2) if ax is None else ax
    ax.set_title("All cell types" if group is None else group, fontsize=NORMAL + 1, loc="left")
    shown_note(ax, len(shown), len(own), "links of these TFs")
    _draw(ax, shown, sorted(set(shown["tf"])))
    return ax


def _specific_tfs(data: Any, links: pd.DataFrame, group: str | None, n: int, *, key: str, rna: str) -> list[str]:
    table = get.groups(data, key=key, rna=rna)
    table = table[table["kept"] & ((table["group"].astype(str) == group) if group is not None else True)]
    names = get.eregulons(data, key=key, rna=rna)
    tf = table["eregulon"].astype(str).map(dict(zip(names["name"].astype(str), names["tf"].astype(str), strict=True)))
    ranked = table.assign(tf=tf)[tf.isin(links["tf"])].sort_values("rss", ascending=False, kind="stable")
    return take_turns({str(g): part["tf"].tolist() for g, part in ranked.groupby("group", observed=True)}, n)


def _draw(ax: Axes, links: pd.DataFrame, tfs: list[str]) -> None:
    networkx = need("networkx")
    graph = networkx.DiGraph()
    for row in links.itertuples():
        graph.add_edge(row.tf, row.gene, weight=abs(float(row.weight)), sign=int(row.sign))
    place = _layout(graph, tfs)
    strength = np.abs(links["weight"].to_numpy(dtype=float))
    low, high = float(strength.min()), float(strength.max())
    for sign, (_, colour, style) in SIGNS.items():
        pairs = [(a, b) for a, b, d in graph.edges(data=True) if d["sign"] == sign]
        width = [_width(graph.edges[pair]["weight"], low, high) for pair in pairs]
        if pairs:
            networkx.draw_networkx_edges(
                graph, place, edgelist=pairs, ax=ax, edge_color=colour, width=width, alpha=0.65, arrowstyle=style,
                arrowsize=8, node_size=60, connectionstyle="arc3,rad=0.04",
            )  # fmt: skip
    targets = [node for node in graph if node not in tfs]
    networkx.draw_networkx_nodes(graph, place, nodelist=targets, ax=ax, node_size=14, node_color=GREY, linewidths=0)
    networkx.draw_networkx_nodes(graph, place, nodelist=tfs, ax=ax, node_size=90, node_color="black", linewidths=0)
    ax.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH))
    ax.set_aspect("equal")
    ax.set_axis_off()
    here = {int(s) for s in links["sign"].unique()}
    lines = [Line2D([], [], color=c, label=word) for s, (word, c, _) in SIGNS.items() if s in here]
    scale = {low: f"{low:.2g}", high: f"{high:.2g}"} if _differ(low, high) else {high: f"{low:.2g} to {high:.2g}"}
    if low == high:
        scale = {high: f"{high:.2g}"}
    lines += [
        Line2D([], [], color="0.4", linewidth=_width(v, low, high), label=f"importance {text}")
        for v, text in scale.items()
    ]
    ax.legend(handles=lines, frameon=False, fontsize=SMALL, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=4)
    _labels(ax, place, tfs, targets)


def _width(weight: float, low: float, high: float) -> float:
    return 0.5 + 2.0 * (weight - low) / (high - low) if _differ(low, high) else 1.2


def _differ(low: float, high: float) -> bool:
    return high - low > EQUAL * high


def _layout(graph: Any, tfs: list[str]) -> dict[str, np.ndarray]:
    """Targets on a ring, TFs inside it before their targets: a few rounds of barycentres, which untangle most links."""
    targets = sorted(node for node in graph if node not in tfs)
    angle = {node: 2 * np.pi * i / len(nodes) for nodes in (tfs, targets) for i, node in enumerate(nodes)}
    undirected = graph.to_undirected()
    for _ in range(ROUNDS):
        for nodes in (targets, tfs):
            others = set(tfs if nodes is targets else targets)
            mean = {
                node: _mean_angle([angle[n] for n in undirected[node] if n in others], angle[node]) for node in nodes
            }
            ordered = sorted(nodes, key=lambda node: (round(mean[node], 9), node))
            shift = _mean_angle([mean[node] - 2 * np.pi * i / len(nodes) for i, node in enumerate(ordered)], 0.0)
            angle |= {node: (shift + 2 * np.pi * i / len(nodes)) % (2 * np.pi) for i, node in enumerate(ordered)}
    radius = {tf: INNER if len(tfs) > 1 else 0.0 for tf in tfs}
    return {node: radius.get(node, 1.0) * np.array([np.cos(a), np.sin(a)]) for node, a in angle.items()}


def _mean_angle(angles: list[float], default: float) -> float:
    if not angles:
        return default
    return float(np.angle(np.exp(1j * np.array(angles)).sum()) % (2 * np.pi))


def _labels(ax: Axes, place: dict[str, np.ndarray], tfs: list[str], targets: list[str]) -> None:
    """Names of targets point outwards on their ring; names of TFs stand on the inner side, where no link starts."""
    radius = _ring_points(ax)
    for node in _apart(place, targets, LINE / radius):
        x, y = place[node]
        _spoke(ax, node, 1.04 * x, 1.04 * y, outwards=True, fontsize=SMALL - 1, style="italic")
    longest = max(len(tf) for tf in tfs)
    room = (INNER * radius - 9) / (0.7 * longest + 1.3 * len(tfs) / (2 * np.pi))  # so that spokes end before they meet
    for tf in tfs:
        x, y = place[tf]
        if len(tfs) > UPRIGHT:
            near, size = 1 - 9 / (INNER * radius), min(NORMAL, room)
            _spoke(ax, tf, near * x, near * y, outwards=False, fontsize=size, weight="bold", bbox=BEHIND)
            continue
        side, rise = (-np.sign(round(x, 6)), -np.sign(round(y, 6))) if len(tfs) > 1 else (0.0, 1.0)
        flat = abs(x) > abs(y)
        ax.annotate(
            tf, (x, y), xytext=(9 * side, 0) if flat else (0, 9 * rise), textcoords="offset points", fontsize=NORMAL,
            weight="bold", ha=("left" if side > 0 else "right") if flat else "center",
            va="center" if flat else ("bottom" if rise > 0 else "top"), bbox=BEHIND,
        )  # fmt: skip


def _ring_points(ax: Axes) -> float:
    """Radius of the ring in points, once the axes have their size."""
    figure = ax.figure.canvas.figure
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    box = ax.get_window_extent()
    return float(min(box.width, box.height) / (2 * REACH) * 72 / figure.dpi)


def _spoke(ax: Axes, text: str, x: float, y: float, *, outwards: bool, **look: Any) -> None:
    """Write a name along the line from the centre through a point, readable from below."""
    turn = np.degrees(np.arctan2(y, x))
    left = abs(turn) > 90
    ax.text(
        x, y, text, rotation=turn + 180 if left else turn, rotation_mode="anchor",
        ha="right" if left == outwards else "left", va="center", **look,
    )  # fmt: skip


def _apart(place: dict[str, np.ndarray], nodes: list[str], gap: float) -> list[str]:
    """The nodes, strongest first, that lie at least `gap` (radians) from all that are chosen before them."""
    chosen: list[str] = []
    taken: list[float] = []
    for node in nodes:
        angle = np.arctan2(place[node][1], place[node][0])
        away = np.abs((np.array(taken) - angle + np.pi) % (2 * np.pi) - np.pi)
        if away.min(initial=np.inf) >= gap:
            chosen.append(node)
            taken.append(angle)
    return chosen
