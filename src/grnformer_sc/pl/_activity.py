"""`pl.activity`: eRegulons of the cell types."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from .. import get
from .._core.checks import fail
from ._order import cluster_order, take_turns
from ._style import NORMAL, SMALL, dots, name_ticks, need_top, new_axes, shown_note, side_bar, tidy

DOT = 90.0  # area of a full dot in square points
SIZES = (0.25, 0.5, 1.0)
MOST = 60  # eRegulons that fit on a page


def activity(data: Any, *, n: int = 3, key: str = "grn", rna: str = "rna", ax: Axes | None = None) -> Axes:
    """Plot the most specific eRegulons of every cell type: how many cells have them on, and how strongly.

    Dot area is the share of active cells, colour the mean AUC, scaled to 0-1 within each eRegulon. eRegulons stand in
    the order of the cell types that they are most specific for (RSS).

    Parameters
    ----------
    data
        AnnData or MuData.
    n
        eRegulons per cell type, by RSS among those it keeps; at most 60 in all.
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
        There is no network.
    ValueError
        No cell type keeps an eRegulon.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> grs.pl.activity(mdata).get_ylabel()
    'Cell type'
    """
    need_top(n, "eRegulons to show of every cell type", name="n")
    table = get.groups(data, key=key, rna=rna)
    kept = table[table["kept"]].sort_values("rss", ascending=False, kind="stable")
    if kept.empty:
        raise fail(
            ValueError, "a cell type must keep an eRegulon.", "none.", "see grs.get.groups(adata) for the reasons."
        )
    wide = {c: table.pivot(index="group", columns="eregulon", values=c) for c in ("active_fraction", "mean_auc", "rss")}
    groups = [str(g) for g in wide["rss"].index]
    scaled = wide["mean_auc"].apply(lambda c: c / max(c.max(), 1e-12))
    groups = [groups[i] for i in cluster_order(scaled.to_numpy(dtype=float))]
    best = {g: kept.loc[kept["group"] == g, "eregulon"].astype(str).head(n).tolist() for g in groups}
    names = take_turns(best, min(n * len(groups), MOST))
    share = wide["active_fraction"].loc[groups, names].to_numpy(dtype=float)
    auc = wide["mean_auc"].loc[groups, names].to_numpy(dtype=float)
    low, high = auc.min(axis=0), auc.max(axis=0)
    colour = (auc - low) / np.maximum(high - low, 1e-12)
    ax = new_axes(2.6 + 0.19 * len(names), 1.9 + 0.21 * len(groups)) if ax is None else ax
    drawn = dots(ax, share, colour, largest=DOT)
    name_ticks(ax, x=names, y=groups)
    ax.set_ylabel("Cell type", fontsize=NORMAL)
    ax.set_xlabel("eRegulon", fontsize=NORMAL)
    tidy(ax)
    shown_note(ax, len(names), wide["rss"].shape[1], "eRegulons")
    side_bar(ax, drawn, "Mean AUC (scaled)")
    handles = [ax.scatter([], [], s=s * DOT, color="0.4", label=f"{s:.0%}") for s in SIZES]
    ax.legend(
        handles=handles, title="Active cells", title_fontsize=SMALL, fontsize=SMALL, frameon=False,
        loc="upper left", bbox_to_anchor=(1.0, 0.42), borderaxespad=0.3,
    )  # fmt: skip
    return ax
