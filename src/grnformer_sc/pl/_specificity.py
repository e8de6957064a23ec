"""`pl.specificity`: which eRegulons set a cell type apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.text import OffsetFrom

from .. import get
from .._core.checks import fail, need_one_of
from .._core.keys import GrnKeys
from ..get._read import need_scores, rna_of
from ..grn.groups import specificity as specificity_scores
from ._colours import group_colours
from ._order import chosen_groups
from ._style import NORMAL, SMALL, need_top, tidy

PER_ROW = 5
LINE = 9.5  # points from one label to the next
SHARE = 0.4  # of the width of a panel for the dots; the names have the rest
KEPT, NOT_KEPT = "0.45", "0.85"


def specificity(
    data: Any,
    *,
    groups: Sequence[str] | None = None,
    n_top: int = 5,
    kind: Literal["gene", "region"] = "gene",
    key: str = "grn",
    rna: str = "rna",
    axes: Sequence[Axes] | None = None,
) -> list[Axes]:
    """Plot the eRegulons of every cell type by their specificity for it (RSS), and name the first.

    All eRegulons are ranked; named are those with the highest score among the ones that the type keeps, because an
    eRegulon can be specific for a type by chance that has its TF off. Scores are not comparable between types of
    different size (Suo et al. 2018), so every panel has its own scale.

    Parameters
    ----------
    data
        AnnData or MuData.
    groups
        Cell types, in the order of the panels; all by default.
    n_top
        eRegulons to name in each panel.
    kind
        Score of the gene AUC (stored), or of the region AUC (computed here).
    key
        Base name of the network.
    rna
        Name of the RNA modality.
    axes
        One axes per cell type; a new figure by default.

    Returns
    -------
    The axes, in the order of the cell types.

    Raises
    ------
    KeyError
        There is no network, no activity of regions, or a cell type is unknown.
    ValueError
        There are fewer axes than cell types, or `n_top` is below 1.

    See Also
    --------
    grnformer_sc.pl.activity : the same eRegulons over all cell types.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> [ax.get_title() for ax in grs.pl.specificity(mdata)]
    ['type1', 'type2']
    """
    need_one_of(kind, ("gene", "region"), name="kind")
    need_top(n_top, "eRegulons to label")
    table = get.groups(data, key=key, rna=rna).astype({"group": str, "eregulon": str})
    if table["rss"].isna().all():
        need_scores(rna_of(data, rna), GrnKeys(key).auc)
    names = chosen_groups(table["group"].unique(), groups)
    if kind == "region":
        table = _of_regions(data, table, key, rna)
    panels = _panels(len(names), n_top) if axes is None else list(axes)
    if len(panels) < len(names):
        raise fail(
            ValueError, "one axes per cell type is needed.", f"{len(panels)} for {len(names)}.", "pass more axes."
        )
    colours = group_colours(rna_of(data, rna), names, key)
    for ax, name in zip(panels, names, strict=False):
        _panel(ax, table[table["group"] == name], colours[name], n_top)
        ax.set_title(name, fontsize=NORMAL)
    _legend(panels[0])
    return panels[: len(names)]


def _of_regions(data: Any, table: pd.DataFrame, key: str, rna: str) -> pd.DataFrame:
    """The table with the scores of the region AUC."""
    activity = get.activity(data, kind="region", key=key, rna=rna)
    names = list(table["group"].unique())
    codes = pd.Categorical(activity.obs[GrnKeys(key).group].astype(str), categories=names).codes.astype(np.int64)
    known = codes >= 0
    score = specificity_scores(np.asarray(activity.X)[known], codes[known], len(names))
    wide = pd.DataFrame(score, index=names, columns=activity.var_names.astype(str))
    return table.assign(rss=[wide.loc[g, e] for g, e in zip(table["group"], table["eregulon"], strict=True)])


def _panels(n: int, n_top: int) -> list[Axes]:
    columns = min(n, PER_ROW)
    rows = -(-n // columns)
    height = 0.65 + max(1.1, (n_top + 4) * LINE / 72)
    _, axes = plt.subplots(rows, columns, figsize=(2.0 * columns, height * rows), layout="constrained", squeeze=False)
    for spare in axes.ravel()[n:]:
        spare.set_axis_off()
    return list(axes.ravel()[:n])


def _panel(ax: Axes, table: pd.DataFrame, colour: str, n_top: int) -> None:
    ranked = table.sort_values("rss", ascending=False, kind="stable")
    rank, score = np.arange(1, len(ranked) + 1), ranked["rss"].to_numpy(dtype=float)
    kept = ranked["kept"].to_numpy(dtype=bool)
    top = np.flatnonzero(kept)[:n_top]
    ax.scatter(rank, score, s=9, color=np.where(kept, KEPT, NOT_KEPT).tolist(), linewidths=0)
    ax.scatter(rank[top], score[top], s=18, color=colour, edgecolors="0.2", linewidths=0.4, zorder=3)
    for line, i in enumerate(top):  # a list with equal distances: no label can lie on another
        ax.annotate(
            str(ranked["eregulon"].iloc[i]), (float(rank[i]), score[i]), fontsize=SMALL - 1, va="center",
            xytext=(0, -LINE * (line + 0.5)), textcoords=OffsetFrom(ax.patch, (SHARE + 0.1, 1.0), unit="points"),
            arrowprops={"arrowstyle": "-", "color": "0.6", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2, "relpos": (0, 0.5)},
        )  # fmt: skip
    if not top.size:
        ax.text(0.97, 0.95, "keeps none", transform=ax.transAxes, ha="right", va="top", fontsize=SMALL, color="0.4")
    last = max(len(ranked), 2)
    ax.set_xlim(1 - 0.05 * last, 1 + (last - 1) / SHARE)
    ax.set_xticks([1, last])
    ax.spines["bottom"].set_bounds(1 - 0.05 * last, last)
    ax.margins(y=0.08)
    ax.set_xlabel("Rank", fontsize=SMALL, loc="left")
    ax.set_ylabel("RSS", fontsize=SMALL)
    tidy(ax)


def _legend(ax: Axes) -> None:
    words = {KEPT: "kept", NOT_KEPT: "not kept"}
    handles = [ax.scatter([], [], s=14, color=colour, label=word) for colour, word in words.items()]
    ax.legend(
        handles=handles, fontsize=SMALL - 1, frameon=False, loc="lower left", bbox_to_anchor=(SHARE + 0.06, 0.0),
        handletextpad=0.1, borderaxespad=0.0, borderpad=0.1, labelspacing=0.2,
    )  # fmt: skip
