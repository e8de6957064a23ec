"""`pl.drug_response`: predicted beside measured responses, and how well lines are told apart inside each drug."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from .. import get
from .._core.checks import fail, need_one_of
from .._core.keys import DRUG_RESPONSE
from ..metrics import within_correlation
from ._style import BLUE, NORMAL, SEQUENTIAL, SMALL, name_ticks, new_axes, side_bar, tidy

ROW = 0.42  # inches
BINS = 45
WORDS = {"drug": "Lines", "line": "Drugs"}  # what is told apart inside each


def drug_response(
    data: Any,
    *,
    key: str | Sequence[str] = "drug_response_grnformer",
    by: Literal["drug", "line"] = "drug",
    rna: str = "rna",
    ax: Axes | None = None,
) -> Axes:
    """Plot held-out predictions of `tl.drug_response`: one result beside the truth, or several by what counts.

    One key: measured against predicted responses of all held-out pairs. Most of what is seen there are differences between
    drugs, so the figure also gives the median correlation inside drugs. Several keys: the correlation inside each drug (or
    line), one dot each, with median and quartiles; a result without any (predictions that do not vary) says so.

    Parameters
    ----------
    data
        AnnData or MuData with the cell lines.
    key
        Name of the result, or of several.
    by
        With several keys: inside each `"drug"`, where lines are told apart, or each `"line"`, where a mean per drug
        already does well.
    rna
        Name of the modality of a MuData.
    ax
        Axes to draw on; new ones by default.

    Returns
    -------
    The axes.

    Raises
    ------
    KeyError
        There is no such result.
    ValueError
        No key is given, or `by` is something else.

    See Also
    --------
    grnformer_sc.get.drug_response : the table.
    grnformer_sc.metrics.within_correlation : the correlation inside drugs.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> lines = grs.datasets.simulate_drug_response(40, n_drugs=10, rng=0)
    >>> grs.pp.drug_response_setup(lines, lines.uns["response"])
    >>> grs.tl.drug_response(lines, final=False)
    >>> grs.tl.drug_response(lines, method="drug_mean", final=False)
    >>> keys = ["drug_response_grnformer", "drug_response_drug_mean"]
    >>> [label.get_text() for label in grs.pl.drug_response(lines, key=keys).get_yticklabels()]
    ['grnformer', 'drug_mean']
    """
    need_one_of(by, WORDS, name="by")
    keys = [key] if isinstance(key, str) else list(key)
    if not keys:
        raise fail(ValueError, "key must name a result.", "none.", "give the key_added of grs.tl.drug_response.")
    tables = {name.removeprefix(f"{DRUG_RESPONSE}_"): get.drug_response(data, key=name, rna=rna) for name in keys}
    if isinstance(key, str):
        return _pairs(ax, *tables.items())
    return _within(ax, tables, by)


def _pairs(ax: Axes | None, result: tuple[str, pd.DataFrame]) -> Axes:
    name, table = result
    ax = new_axes(4.4, 3.8) if ax is None else ax
    both = table[["value", "predicted"]].to_numpy()
    ends = float(both.min()), float(both.max())
    drawn = ax.hexbin(
        table["predicted"], table["value"], gridsize=BINS, bins="log", cmap=SEQUENTIAL, mincnt=1, linewidths=0.1,
        extent=(ends[0], ends[1], ends[0], ends[1]),
    )  # fmt: skip
    ax.plot(ends, ends, color="0.5", linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    ax.set_aspect("equal")
    tidy(ax, grid="both")
    side_bar(ax, drawn, "Pairs")
    ax.set_xlabel("Predicted response (held out)", fontsize=SMALL)
    ax.set_ylabel("Measured response", fontsize=SMALL)
    overall = float(np.corrcoef(table["predicted"], table["value"])[0, 1]) if table["predicted"].std() > 0 else np.nan
    said = f"r = {overall:.2f} over all pairs\n{_median(table)} inside drugs"
    ax.text(0.03, 0.97, said, transform=ax.transAxes, va="top", fontsize=SMALL, color="0.2")
    ax.set_title(name, fontsize=NORMAL, loc="left")
    return ax


def _median(table: pd.DataFrame) -> str:
    found = within_correlation(table).dropna()
    return f"r = {found.median():.2f} (median)" if len(found) else "r undefined"


def _within(ax: Axes | None, tables: dict[str, pd.DataFrame], by: str) -> Axes:
    ax = new_axes(4.6, 0.95 + ROW * len(tables)) if ax is None else ax
    rng = np.random.default_rng(0)  # heights of dots
    for row, table in enumerate(tables.values()):
        r = within_correlation(table, by=by).dropna().to_numpy()
        if not r.size:
            ax.text(0.01, row, f"constant inside every {by}", va="center", fontsize=SMALL, color="0.4")
            continue
        low, middle, high = np.quantile(r, [0.25, 0.5, 0.75])
        ax.scatter(r, row + rng.uniform(-0.24, 0.24, r.size), s=5, color=BLUE, alpha=0.35, linewidths=0)
        ax.plot([low, high], [row, row], color="0.2", linewidth=2.2, solid_capstyle="butt")
        ax.plot([middle, middle], [row - 0.3, row + 0.3], color="0.2", linewidth=1.6)
        ax.annotate(
            f"{middle:.2f}", (1.01, row), xycoords=ax.get_yaxis_transform(), va="center", fontsize=SMALL, color="0.2"
        )
    ax.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    ax.set_ylim(len(tables) - 0.5, -0.5)
    name_ticks(ax, y=list(tables))
    tidy(ax, grid="x")
    ax.set_xlabel(f"Correlation inside a {by} (dots: {by}s; bars: quartiles, median)", fontsize=SMALL)
    ax.set_title(f"{WORDS[by]} told apart inside each {by}", fontsize=NORMAL, loc="left")
    return ax
