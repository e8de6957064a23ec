"""`pl.regulation_curves`: how regulation by TFs changes along a trajectory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from .. import get
from ..get._regulation import Curve
from ._style import (
    BLUE,
    GREEN,
    GREY,
    NORMAL,
    ORANGE,
    PURPLE,
    SKY,
    SMALL,
    VERMILION,
    need_top,
    new_axes,
    shown_note,
    tidy,
)

COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, GREY)
LABELS = {
    "regulation": "log2(targets + 1)", "expression": "log share of mRNA", "links": "weight of the link",
}  # fmt: skip
GAP = 0.06  # of the height, between two names


def regulation_curves(
    data: Any,
    *,
    kind: Curve = "regulation",
    tfs: Iterable[str] | None = None,
    n_top: int = 7,
    group: str | None = None,
    n_points: int = 50,
    bandwidth: float | None = None,
    strongest: float = 0.2,
    key: str = "grn_dictys",
    rna: str = "rna",
    ax: Axes | None = None,
) -> Axes:
    """Plot how regulation by TFs changes along a trajectory, the curves with the widest range.

    Parameters
    ----------
    data
        AnnData or MuData.
    kind
        `"regulation"`: log2(number of targets + 1) of a TF. `"expression"`: logarithm of its share of the mRNA. `"links"`:
        weights of its links.
    tfs
        Names of TFs; by default all that have links.
    n_top
        Curves to show.
    group, n_points, bandwidth, strongest
        As in `grs.get.regulation_curves`.
    key
        Base name of the network.
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
        There are no windows, or a TF or group is unknown.
    ValueError
        A number leaves its range, or the group must be named.

    See Also
    --------
    grnformer_sc.get.regulation_curves : the table.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> rna = grs.datasets.simulate_multiome(200, n_genes=60, n_tfs=8, n_types=1, rng=0)["rna"]
    >>> rna.obs["pseudotime"] = rna.obsm["truth_activity"].to_numpy()[:, 0]
    >>> options = {"steps": 20, "time_key": "pseudotime", "window": 100, "overlap": 50}
    >>> grs.tl.build_grn(rna, method="dictys", prior=rna.uns["truth"], options=options)
    >>> grs.pl.regulation_curves(rna, n_top=3).get_xlabel()
    'pseudotime'
    """
    need_top(n_top, "curves to show")
    table = get.regulation_curves(
        data,
        kind=kind,
        tfs=tfs,
        group=group,
        n_points=n_points,
        bandwidth=bandwidth,
        strongest=strongest,
        key=key,
        rna=rna,
    )
    span = (table.max() - table.min()).to_numpy()
    shown = np.argsort(-span, kind="stable")[:n_top]
    ax = new_axes(4.6, 3.0) if ax is None else ax
    colours = [COLOURS[place % len(COLOURS)] for place in range(shown.size)]
    styles = ["-", "--", ":", "-."]
    for place, column in enumerate(shown):
        line = styles[place // len(COLOURS) % len(styles)]
        ax.plot(table.index, table.iloc[:, column], color=colours[place], linewidth=1.4, linestyle=line)
    ends = table.iloc[-1, shown].to_numpy()
    low, high = ax.get_ylim()
    for place, y in enumerate(_apart(ends, GAP * (high - low))):
        name = table.columns[shown[place]]
        text = name if isinstance(name, str) else " → ".join(name)
        ax.annotate(
            text, (1, y), xycoords=("axes fraction", "data"), xytext=(4, 0), textcoords="offset points", va="center",
            fontsize=SMALL, color=colours[place], annotation_clip=False,
        )  # fmt: skip
    ax.margins(x=0)
    tidy(ax)
    ax.set_xlabel(str(get.params(data, key=key, rna=rna)["options"]["time_key"]), fontsize=NORMAL)
    ax.set_ylabel(LABELS[kind], fontsize=NORMAL)
    shown_note(ax, shown.size, table.shape[1], "links" if kind == "links" else "TFs")
    return ax


def _apart(y: np.ndarray, gap: float) -> np.ndarray:
    """Heights in the same order, at least `gap` apart and with the same mean."""
    order = np.argsort(y, kind="stable")
    out = y[order].astype(np.float64)
    for place in range(1, out.size):
        out[place] = max(out[place], out[place - 1] + gap)
    out += y.mean() - out.mean()
    return out[np.argsort(order, kind="stable")]
