"""`pl.activity`: eRegulons of the cell types."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from .. import get
from ._style import NORMAL, SMALL, cluster_order, dots, name_ticks, new_axes, shown_note, tidy

DOT = 90.0  # area of a full dot in square points
SIZES = (0.25, 0.5, 1.0)


def activity(data: Any, *, n: int = 3, key: str = "grn", ax: Axes | None = None) -> Axes:
    """Plot the most specific eRegulons of every cell type: how many cells have them on, and how strongly.

    Dot area is the share of active cells, colour the mean AUC, scaled to 0-1 within each eRegulon. eRegulons are ordered
    by the cell type that they are most specific for (RSS).

    Parameters
    ----------
    data
        AnnData or MuData.
    n
        eRegulons per cell type, by RSS among those it keeps.
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
        There is no network.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> grs.pl.activity(mdata).get_ylabel()
    'Cell type'
    """
    table = get.groups(data, key=key)
    wide = {c: table.pivot_table(index="group", columns="eregulon", values=c, observed=True) for c in ("active_fraction", "mean_auc", "rss")}
    kept = table[table["kept"]]
    groups = [str(g) for g in wide["rss"].index]
    order = cluster_order(wide["mean_auc"].apply(lambda c: c / max(c.max(), 1e-12)).to_numpy())
    groups = [groups[i] for i in order]
    names: list[str] = []
    for group in groups:
        best = kept[kept["group"] == group].sort_values("rss", ascending=False, kind="stable")["eregulon"].astype(str)
        names += [name for name in best.head(n) if name not in names]
    share = wide["active_fraction"].loc[groups, names].to_numpy(dtype=float)
    auc = wide["mean_auc"].loc[groups, names].to_numpy(dtype=float)
    low, high = auc.min(axis=0), auc.max(axis=0)
    colour = (auc - low) / np.maximum(high - low, 1e-12)
    ax = new_axes(1.9 + 0.19 * len(names), 1.5 + 0.21 * len(groups)) if ax is None else ax
    drawn = dots(ax, share, colour, largest=DOT)
    name_ticks(ax, x=names, y=groups)
    ax.set_ylabel("Cell type", fontsize=NORMAL)
    ax.set_xlabel("eRegulon", fontsize=NORMAL)
    tidy(ax)
    shown_note(ax, len(names), wide["rss"].shape[1], "eRegulons")
    bar = plt.colorbar(drawn, ax=ax, shrink=0.55, aspect=12, pad=0.01, anchor=(0, 1))
    bar.set_label("Mean AUC (scaled)", fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)
    handles = [ax.scatter([], [], s=s * DOT, color="0.4", label=f"{s:.0%}") for s in SIZES]
    ax.legend(
        handles=handles, title="Active cells", title_fontsize=SMALL, fontsize=SMALL, frameon=False,
        loc="lower left", bbox_to_anchor=(1.005, -0.02),
    )  # fmt: skip
    return ax
