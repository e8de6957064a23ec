"""`pl.thresholds`: where the AUC of an eRegulon is cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from .. import get
from .._core.checks import fail, listing
from ._style import GREY, NORMAL, SKY, SMALL, VERMILION, tidy

PER_ROW = 4
RULES = {"mixture": "two modes", "trough": "lowest density", "unimodal": "mean + 2 sd", "constant": "constant"}


def thresholds(
    data: Any,
    *,
    eregulons: Sequence[str] | None = None,
    n: int = 8,
    kind: Literal["gene", "region"] = "gene",
    key: str = "grn",
    axes: Sequence[Axes] | None = None,
) -> list[Axes]:
    """Plot the AUC of eRegulons over cells, with the threshold, its rule and the share of cells above it.

    Parameters
    ----------
    data
        AnnData or MuData.
    eregulons
        Names; by default the `n` most specific ones of any cell type.
    n
        Number of eRegulons when no names are given.
    kind
        AUC of genes or of regions.
    key
        Base name of the network.
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
    activity = get.activity(data, kind=kind, key=key)
    names = _most_specific(data, n, key) if eregulons is None else list(eregulons)
    unknown = [name for name in names if name not in activity.var_names]
    if unknown:
        raise fail(
            KeyError, "eregulons must be names of the network.", f"unknown {listing(unknown)}; known "
            f"{listing(activity.var_names, 5)}.", "see grs.get.eregulons(adata)['name'].",
        )  # fmt: skip
    panels = _panels(len(names)) if axes is None else list(axes)
    if len(panels) < len(names):
        raise fail(ValueError, "one axes per eRegulon is needed.", f"{len(panels)} for {len(names)}.", "pass more axes.")
    suffix = "" if kind == "gene" else "_region"
    for ax, name in zip(panels, names, strict=False):
        values = np.asarray(activity[:, name].X).ravel()
        row = activity.var.loc[name]
        _panel(ax, name, values, float(row[f"threshold{suffix}"]), str(row[f"threshold_rule{suffix}"]))
    return panels[: len(names)]


def _most_specific(data: Any, n: int, key: str) -> list[str]:
    groups = get.groups(data, key=key)
    kept = groups[groups["kept"]].sort_values("rss", ascending=False, kind="stable")
    return kept["eregulon"].astype(str).drop_duplicates().head(n).tolist()


def _panels(n: int) -> list[Axes]:
    columns = min(n, PER_ROW)
    rows = -(-n // columns)
    _, axes = plt.subplots(rows, columns, figsize=(2.2 * columns, 1.9 * rows), layout="constrained", squeeze=False)
    for spare in axes.ravel()[n:]:
        spare.set_axis_off()
    return list(axes.ravel()[:n])


def _panel(ax: Axes, name: str, values: np.ndarray, cut: float, rule: str) -> None:
    bins = np.linspace(values.min(), max(values.max(), cut) * 1.02 + 1e-9, 41)
    ax.hist(values[values <= cut], bins=bins, color=GREY)
    ax.hist(values[values > cut], bins=bins, color=SKY)
    ax.axvline(cut, color=VERMILION, linewidth=1)
    ax.set_title(name, fontsize=NORMAL)
    ax.text(
        0.98, 0.96, f"{RULES[rule]}\n{(values > cut).mean():.1%} above", transform=ax.transAxes, ha="right", va="top",
        fontsize=SMALL,
    )  # fmt: skip
    ax.set_xlabel("AUC", fontsize=SMALL)
    ax.set_ylabel("Cells", fontsize=SMALL)
    tidy(ax)
