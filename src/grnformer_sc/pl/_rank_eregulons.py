"""`pl.rank_eregulons`: how much the activity of eRegulons differs, with confidence intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from .. import get
from .._core.checks import fail, listing
from ._style import BLUE, NORMAL, SMALL, VERMILION, name_ticks, need_top, new_axes, shown_note, tidy

ROW = 0.19  # inches
PALE = "0.6"


def rank_eregulons(
    data: Any,
    *,
    group: str | None = None,
    within: str | None = None,
    n_top: int = 20,
    max_fdr: float = 0.05,
    key: str = "grn_rank_eregulons",
    rna: str = "rna",
    ax: Axes | None = None,
) -> Axes:
    """Plot the difference in activity of the eRegulons of one contrast that differ best, with 95 % confidence intervals.

    Rows are the first of `get.rank_eregulons` in the order of their difference. Dots are filled where the false discovery
    rate is at most `max_fdr`. Without replicates there are no intervals, all dots are open, and the figure says so.

    Parameters
    ----------
    data
        AnnData or MuData.
    group
        Group of the contrast; can be left out when there is one.
    within
        Cell type of the contrast; can be left out when there is one.
    n_top
        eRegulons to show.
    max_fdr
        False discovery rate up to which dots are filled.
    key
        Key of the result of `tl.rank_eregulons`.
    rna
        Name of the RNA modality.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes.

    Raises
    ------
    KeyError
        There is no such result, group or cell type, or several and none is named.
    ValueError
        `n_top` is below 1.

    See Also
    --------
    grnformer_sc.pl.specificity : eRegulons that set cell types apart, without a test.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> mdata["rna"].obs["donor"] = [f"donor{i % 4}" for i in range(200)]
    >>> grs.tl.rank_eregulons(mdata, "cell_type", reference="type1", sample_key="donor")
    >>> grs.pl.rank_eregulons(mdata).get_title(loc="left")
    'type2 - type1'
    """
    need_top(n_top, "eRegulons to show")
    table = get.rank_eregulons(data, group=group, within=within, key=key, rna=rna)
    table = table.astype({"group": str, "within": str, "reference": str, "eregulon": str})
    for column in ("group", "within"):
        _need_one(table[column], column)
    shown = table.head(n_top).sort_values("difference", kind="stable")
    ax = new_axes(4.2, 0.75 + ROW * len(shown)) if ax is None else ax
    _draw(ax, shown, max_fdr)
    first = table.iloc[0]
    place = f", {first['within']}" if first["within"] else ""
    ax.set_title(f"{first['group']} - {first['reference']}{place}", fontsize=NORMAL, loc="left")
    shown_note(ax, len(shown), len(table), "eRegulons")
    return ax


def _need_one(values: pd.Series, column: str) -> None:
    names = values.unique()
    if len(names) > 1:
        raise fail(
            KeyError,
            "one contrast is drawn at a time.",
            f"{column} {listing(names)}.",
            f"name one with {column}='...'.",
        )


def _draw(ax: Axes, shown: pd.DataFrame, max_fdr: float) -> None:
    y = np.arange(len(shown))
    difference = shown["difference"].to_numpy()
    passes = (shown["fdr"] <= max_fdr).to_numpy()
    colour = np.where(difference > 0, VERMILION, BLUE)
    line = np.where(passes, colour, PALE)
    ax.axvline(0, color="0.7", linewidth=0.8, zorder=1)
    ax.hlines(y, shown["ci_low"], shown["ci_high"], colors=line.tolist(), linewidth=1.2, zorder=2)
    ax.scatter(
        difference,
        y,
        s=22,
        c=np.where(passes, colour, "white").tolist(),
        edgecolors=line.tolist(),
        linewidths=1,
        zorder=3,
    )
    name_ticks(ax, y=shown["eregulon"].tolist())
    ax.set_ylim(-0.7, len(shown) - 0.3)
    tidy(ax, grid="y")
    n_group, n_reference = shown[["n_samples_group", "n_samples_reference"]].iloc[0]
    note = f"filled: FDR ≤ {max_fdr:g}; bars: 95 % confidence\n{n_group} and {n_reference} samples"
    if shown["p"].isna().all():
        note = "too few samples for a test"
    ax.set_xlabel(f"Difference in activity (AUC)\n{note}", fontsize=SMALL)
