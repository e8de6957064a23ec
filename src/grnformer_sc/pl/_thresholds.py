"""`pl.thresholds`: where the AUC of an eRegulon is cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from .. import get
from .._core.checks import fail, listing
from ._order import take_turns
from ._style import GREY, NORMAL, SKY, SMALL, VERMILION, tidy

PER_ROW = 4
RULES = {
    "mixture": "two modes", "trough": "lowest density", "unimodal": "mean + 2 sd", "otsu": "Otsu's split",
    "quantile": "quantile", "constant": "constant",
}  # fmt: skip


def thresholds(
    data: Any,
    *,
    eregulons: Sequence[str] | None = None,
    n: int = 8,
    kind: Literal["gene", "region"] = "gene",
    key: str = "grn",
    rna: str = "rna",
    axes: Sequence[Axes] | None = None,
) -> list[Axes]:
    """Plot the AUC of eRegulons over cells, with the threshold (line), its rule and the share of active cells.

    Active cells are above the threshold and of a cell type that keeps the eRegulon, so there can be fewer of them.

    Parameters
    ----------
    data
        AnnData or MuData.
    eregulons
        Names; by default `n`, taking turns between the cell types, most specific first.
    n
        Number of eRegulons when no names are given.
    kind
        AUC of genes or of regions.
    key
        Base name of the network.
    rna
        Name of the RNA modality.
    axes
        One axes per eRegulon; a new figure by default.

    Returns
    -------
    The axes, in the order of the eRegulons.

    Raises
    ------
    KeyError
        There are no activities, or an eRegulon is unknown.
    ValueError
        There are fewer axes than eRegulons.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> len(grs.pl.thresholds(mdata, n=2))
    2
    """
    activity = get.activity(data, kind=kind, key=key, rna=rna)
    names = _most_specific(data, n, key, rna) if eregulons is None else list(eregulons)
    unknown = [name for name in names if name not in activity.var_names]
    if unknown:
        raise fail(
            KeyError, "eregulons must be names of the network.", f"unknown {listing(unknown)}; known "
            f"{listing(activity.var_names, 5)}.", "see grs.get.eregulons(adata)['name'].",
        )  # fmt: skip
    panels = _panels(len(names)) if axes is None else list(axes)
    if len(panels) < len(names):
        raise fail(
            ValueError, "one axes per eRegulon is needed.", f"{len(panels)} for {len(names)}.", "pass more axes."
        )
    suffix = "" if kind == "gene" else "_region"
    bits = activity.layers["active"]
    for ax, name in zip(panels, names, strict=False):
        values = np.asarray(activity[:, name].X).ravel()
        row = activity.var.loc[name]
        cut, rule = float(row[f"threshold{suffix}"]), str(row[f"threshold_rule{suffix}"])
        active = float(bits[:, [activity.var_names.get_loc(name)]].mean())
        note = f"{RULES.get(rule, rule)}\n{(values > cut).mean():.1%} above\n{active:.1%} active"
        _panel(ax, values, cut, title=name, note=note)
    return panels[: len(names)]


def _most_specific(data: Any, n: int, key: str, rna: str) -> list[str]:
    groups = get.groups(data, key=key, rna=rna)
    ranked = groups[groups["kept"]].sort_values("rss", ascending=False, kind="stable")
    return take_turns(
        {str(g): t["eregulon"].astype(str).tolist() for g, t in ranked.groupby("group", sort=False, observed=True)}, n
    )


def _panels(n: int) -> list[Axes]:
    columns = min(n, PER_ROW)
    rows = -(-n // columns)
    _, axes = plt.subplots(rows, columns, figsize=(2.2 * columns, 1.9 * rows), layout="constrained", squeeze=False)
    for spare in axes.ravel()[n:]:
        spare.set_axis_off()
    return list(axes.ravel()[:n])


def _panel(ax: Axes, values: np.ndarray, cut: float, *, title: str, note: str) -> None:
    bins = np.linspace(values.min(), max(values.max(), cut) * 1.02 + 1e-9, 41).tolist()
    ax.hist(values[values <= cut], bins=bins, color=GREY)
    ax.hist(values[values > cut], bins=bins, color=SKY)
    ax.margins(y=0.5)  # room for the note
    ax.axvline(cut, ymax=0.66, color=VERMILION, linewidth=1)
    ax.set_title(title, fontsize=NORMAL)
    ax.text(
        0.98, 0.96, note, transform=ax.transAxes, ha="right", va="top", fontsize=SMALL,
        bbox={"fc": "white", "ec": "none", "alpha": 0.8, "pad": 1},
    )  # fmt: skip
    ax.set_xlabel("AUC", fontsize=SMALL)
    ax.set_ylabel("Cells", fontsize=SMALL)
    tidy(ax)
