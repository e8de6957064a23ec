"""`pl.perturbation`: the genes that a simulated perturbation changes most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, to_hex
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .. import get
from .._core.checks import fail
from ..get._read import stored
from ._order import cluster_order
from ._style import DIVERGING, NORMAL, SMALL, cell_grid, name_ticks, need_top, new_axes, side_bar, tidy

UNREACHED = "0.88"
FALLS, RISES = to_hex(DIVERGING(0.12)), to_hex(DIVERGING(0.88))
CHANGE = "Change of\nlog expression"
READ = ("change", "step")
MOST_NAMED = 3
ROW, COLUMN = 0.165, 0.34  # inches
LEAST = 2.9  # height at which colour bar and legend have room


def perturbation(
    data: Any,
    *,
    top: int = 20,
    group: str | None = None,
    key: str = "grn_ko",
    rna: str = "rna",
    ax: Axes | None = None,
) -> Axes:
    """Plot the genes that a simulated knock-out or over-expression changes most.

    Without `group` a heat map of genes and cell types, genes that rise above genes that fall: a dot marks direct targets
    of a perturbed gene, grey is what no link reaches. With `group` one bar per gene: direct targets filled, genes further on
    open. The perturbed genes themselves are left out.

    Parameters
    ----------
    data
        AnnData or MuData.
    top
        Genes with the largest change in any of the cell types shown.
    group
        One cell type; all by default.
    key
        Name of the result (`key_added` of `tl.simulate_ko`).
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
        There is no such result, or the group is unknown.
    ValueError
        Nothing changes, or `top` is below 1.

    See Also
    --------
    grnformer_sc.get.perturbation : the same as a table.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> grs.tl.simulate_ko(mdata, "TF05")
    >>> grs.pl.perturbation(mdata).get_title(loc="left")
    'Knock-out of TF05'
    """
    need_top(top, "genes to show", name="top")
    table = get.perturbation(data, group=group, key=key, rna=rna)
    table = table[table["step"] > 0]
    changed = table[table["change"] != 0]
    if changed.empty:
        where = "any cell type" if group is None else repr(group)
        raise fail(
            ValueError, f"a gene must change in {where}.", "no change but of the perturbed genes.",
            "see the log of grs.tl.simulate_ko: the genes are not expressed there, or none of their links holds.",
        )  # fmt: skip
    order = np.argsort(-changed["change"].abs().to_numpy(), kind="stable")
    ranked = list(dict.fromkeys(changed["gene"].astype(str).iloc[order]))
    part = table.astype({"gene": str, "group": str})
    part = part[part["gene"].isin(ranked[:top])]
    title = _title(stored(data, key, made_by="grs.tl.simulate_ko", rna=rna))
    if group is None:
        ax = _heat(ax, part, list(changed["group"].cat.categories))
    else:
        ax, title = _bars(ax, part), f"{title}, {group}"
    ax.set_title(title, fontsize=NORMAL, loc="left")
    ax.set_ylabel(f"Gene ({min(top, len(ranked))} of {len(ranked)} that change)", fontsize=SMALL)
    return ax


def _heat(ax: Axes | None, table: pd.DataFrame, groups: list[str]) -> Axes:
    wide = {name: table.pivot_table(name, "gene", "group", aggfunc="first").reindex(columns=groups) for name in READ}
    change = wide["change"]
    rises = change.mean(axis=1) > 0
    rows = [*_similar(change[rises]), *_similar(change[~rises])]
    change = change.loc[rows]
    direct = wide["step"].loc[rows] == 1
    ax = new_axes(2.9 + COLUMN * len(groups), max(1.2 + ROW * len(rows), LEAST)) if ax is None else ax
    most = float(np.nanmax(np.abs(change.to_numpy())))
    ax.set_facecolor(UNREACHED)
    drawn = ax.imshow(change, cmap=DIVERGING, norm=Normalize(-most, most), aspect="auto", interpolation="nearest")
    y, x = np.nonzero(direct.to_numpy())
    light = np.abs(change.to_numpy()[y, x]) < 0.6 * most
    ax.scatter(x, y, s=7, c=np.where(light, "0.15", "white").tolist(), linewidths=0)
    cell_grid(ax, *change.shape)
    name_ticks(ax, x=groups, y=rows)
    side_bar(ax, drawn, CHANGE)
    handles: list[Line2D | Patch] = [
        Line2D([], [], linestyle="", marker="o", markersize=2.6, color="0.15", label="direct target")
    ]
    if change.isna().to_numpy().any():
        handles.append(Patch(facecolor=UNREACHED, label="not reached"))
    _legend(ax, handles)
    return ax


def _bars(ax: Axes | None, table: pd.DataFrame) -> Axes:
    table = table.sort_values("change", ascending=False, kind="stable")
    ax = new_axes(4.6, max(0.9 + ROW * len(table), LEAST / 2)) if ax is None else ax
    colours = np.where(table["change"] > 0, RISES, FALLS)
    filled = table["step"].to_numpy() == 1
    ax.barh(
        np.arange(len(table)), table["change"], height=0.72, edgecolor=colours.tolist(), linewidth=0.9,
        color=np.where(filled, colours, "white").tolist(),
    )  # fmt: skip
    ax.axvline(0, color="0.3", linewidth=0.8)
    ax.set_ylim(len(table) - 0.4, -0.6)
    name_ticks(ax, y=list(table["gene"]))
    tidy(ax, grid="x")
    ax.set_xlabel(CHANGE.replace("\n", " "), fontsize=SMALL)
    _legend(
        ax,
        [
            Patch(facecolor="0.5", edgecolor="0.5", label="direct target"),
            Patch(facecolor="white", edgecolor="0.5", label="further on"),
        ],
    )
    return ax


def _similar(change: pd.DataFrame) -> list[str]:
    """Genes in an order in which similar ones are neighbours."""
    return [str(change.index[i]) for i in cluster_order(np.nan_to_num(change.to_numpy(dtype=float)))]


def _legend(ax: Axes, handles: Sequence[Line2D | Patch]) -> None:
    ax.legend(
        handles=handles, fontsize=SMALL, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 0.42), borderaxespad=0.3,
        handletextpad=0.5,
    )  # fmt: skip


def _title(result: dict[str, Any]) -> str:
    """What was done to which genes."""
    levels = dict(zip(map(str, result["genes"]), np.asarray(result["levels"], dtype=float), strict=True))
    lost, held = [g for g, v in levels.items() if v == 0], [f"{g} held at {v:.2g}" for g, v in levels.items() if v > 0]
    cut = [f"{g} without its links" for g, v in levels.items() if np.isnan(v)]
    parts = [f"Knock-out of {_names(lost)}"] if lost else []
    return ", ".join(parts + ([_names(held + cut)] if held or cut else []))


def _names(names: list[str]) -> str:
    return " + ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")
