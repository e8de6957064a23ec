"""`pl.comparison`: networks side by side, beside their nulls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from .. import get
from .._core.checks import fail, listing
from .._core.keys import COMPARISON
from ._style import BLUE, ORANGE, SEQUENTIAL, SMALL, cell_grid, name_ticks, side_bar, tidy

SHOWN = {
    ("known links", "aupr"): "Known links\nAUPRC",
    ("known links", "early_precision"): "Known links\nearly precision",
    ("knock-outs", "activity_place"): "Knock-outs\nplace of the TF",
    ("knock-outs", "shift_place"): "Knock-outs\nplace of targets",
    ("gene ~ TF", "rho"): "Genes from TFs\nheld-out $\\rho$",
    ("gene ~ region", "rho"): "Genes from regions\nheld-out $\\rho$",
    ("region ~ TF", "rho"): "Regions from TFs\nheld-out $\\rho$",
    ("stability", "frequency"): "Stability\nedge frequency",
}
KINDS = {"degree": (0.14, ORANGE, "same degrees"), "expression": (-0.14, "0.55", "like expression")}


def comparison(
    data: Any,
    *,
    networks: Sequence[str] | None = None,
    key: str = COMPARISON,
    rna: str = "rna",
    axes: Sequence[Axes] | None = None,
) -> list[Axes]:
    """Plot the main figures of every network beside its random networks, and how much the networks share.

    A dot is the network, a bar the central 95 % of its random networks with the same degrees or with targets of like
    expression: what lies inside a bar is explained by it. Networks are in the order of the first panel.

    Parameters
    ----------
    data
        AnnData or MuData in which networks were compared.
    networks
        Names of the networks, from top to bottom; all by default.
    key
        Key of the result in `uns`.
    rna
        Name of the RNA modality.
    axes
        One axes per figure that there is, and one for the overlap; a new figure by default.

    Returns
    -------
    The axes.

    Raises
    ------
    KeyError
        Networks were not compared yet, or one is unknown.
    ValueError
        There are too few axes.

    See Also
    --------
    grnformer_sc.tl.compare_grns : judge networks.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> for method in ("correlation", "ridge"):
    ...     grs.tl.build_grn(mdata, method=method, groupby="cell_type")
    >>> grs.tl.compare_grns(mdata, n_nulls=2)
    >>> len(grs.pl.comparison(mdata))
    2
    """
    table = get.comparison(data, key=key, rna=rna).astype({"network": str})
    by_figure = {pair: table[(table["task"] == pair[0]) & (table["figure"] == pair[1])] for pair in SHOWN}
    shown = {pair: part.set_index("network") for pair, part in by_figure.items() if part["value"].notna().any()}
    first = next(iter(shown.values()))["value"].sort_values(ascending=False, kind="stable")
    names = _chosen(list(first.index), list(table["network"].unique()), networks)
    panels = _panels(len(shown) + 1, names) if axes is None else list(axes)
    if len(panels) < len(shown) + 1:
        raise fail(ValueError, "one axes per figure and one for the overlap is needed.",
                   f"{len(panels)} for {len(shown) + 1}.", "pass more axes.")  # fmt: skip
    for ax, (pair, part) in zip(panels, shown.items(), strict=False):
        _panel(ax, part.reindex(names), SHOWN[pair])
    name_ticks(panels[0], y=names)
    for ax in panels[1 : len(shown)]:
        ax.set_yticks(range(len(names)), [""] * len(names))
    _legend(panels[0], table)
    _overlap(panels[len(shown)], get.comparison(data, "overlap", key=key, rna=rna), names)
    return panels[: len(shown) + 1]


def _chosen(ranked: list[str], known: list[str], networks: Sequence[str] | None) -> list[str]:
    every = [*ranked, *(name for name in known if name not in ranked)]
    missing = [name for name in networks or () if name not in known]
    if missing:
        raise fail(KeyError, f"networks must be among {listing(known)}.", f"{listing(missing)}.", "name compared ones.")
    return every if networks is None else list(networks)


def _panels(n: int, names: list[str]) -> list[Axes]:
    label = 0.075 * max(len(name) for name in names)  # inches that an upright name takes
    height = 1.0 + 0.3 * len(names) + label
    widths = [1.45] * (n - 1) + [0.3 * len(names) + 0.35]
    _, axes = plt.subplots(
        1, n, figsize=(label + sum(widths), height), layout="constrained", squeeze=False, width_ratios=widths
    )
    return list(axes.ravel())


def _panel(ax: Axes, part: pd.DataFrame, title: str) -> None:
    y = np.arange(len(part))
    for kind, (shift, colour, _) in KINDS.items():
        low, high = part[f"{kind}_low"].to_numpy(), part[f"{kind}_high"].to_numpy()
        ax.hlines(y - shift, low, high, color=colour, linewidth=3.5, alpha=0.75)
        mean = part[f"{kind}_mean"].to_numpy()
        lone = np.isnan(low) & ~np.isnan(mean)  # chance without an interval
        ax.scatter(mean[lone], y[lone], marker="|", s=60, color=colour, linewidths=1.5)
    ax.scatter(part["value"], y, s=26, color=BLUE, zorder=3, edgecolors="white", linewidths=0.4)
    ax.set_ylim(len(part) - 0.4, -0.6)
    ax.margins(x=0.12)
    ax.locator_params(axis="x", nbins=3)
    ax.set_title(title, fontsize=SMALL, loc="left")
    tidy(ax, grid="both")


def _legend(ax: Axes, table: pd.DataFrame) -> None:
    handles: list[Artist] = [ax.scatter([], [], s=26, color=BLUE, label="network")]
    for kind, (_, colour, word) in KINDS.items():
        if table[f"{kind}_mean"].notna().any():
            handles.append(ax.plot([], [], color=colour, linewidth=3.5, label=f"random, {word}")[0])
    ax.figure.legend(
        handles=handles, loc="outside lower left", ncols=len(handles), fontsize=SMALL, frameon=False, handlelength=1.2
    )


def _overlap(ax: Axes, pairs: pd.DataFrame, names: list[str]) -> None:
    place = pd.Index(names)
    shared = np.eye(len(names))
    one, other = place.get_indexer(pairs["network"].astype(str)), place.get_indexer(pairs["other"].astype(str))
    known = (one >= 0) & (other >= 0)
    shared[one[known], other[known]] = shared[other[known], one[known]] = pairs["jaccard"].to_numpy()[known]
    drawn = ax.imshow(shared, cmap=SEQUENTIAL, vmin=0, vmax=1, aspect="auto")
    cell_grid(ax, len(names), len(names))
    name_ticks(ax, x=names, y=[""] * len(names))
    ax.set_title("Shared links\n(Jaccard)", fontsize=SMALL, loc="left")
    side_bar(ax, drawn, "")
