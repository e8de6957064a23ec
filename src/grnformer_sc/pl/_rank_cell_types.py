"""`pl.rank_cell_types`: the scores of cell types when a target is hit."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from .. import get
from ._style import BLUE, NORMAL, SMALL, name_ticks, need_top, new_axes, shown_note, tidy

ROW = 0.22  # inches


def rank_cell_types(
    data: Any, *, n_top: int = 20, key: str = "grn_pcnet_rank_cell_types", rna: str = "rna", ax: Axes | None = None
) -> Axes:
    """Plot the scores of `tl.rank_cell_types`, the highest on top, and how many links the target has in every type.

    Parameters
    ----------
    data
        AnnData or MuData.
    n_top
        Cell types to show.
    key
        Key of the result.
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
        There is no such result.
    ValueError
        `n_top` is below 1.

    See Also
    --------
    grnformer_sc.get.rank_cell_types : the table.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> rna = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)["rna"]
    >>> grs.tl.build_grn(rna, method="pcnet", groupby="cell_type", tfs="is_tf")
    >>> grs.tl.rank_cell_types(rna, "TF05")
    >>> grs.pl.rank_cell_types(rna).get_title(loc="left")
    'TF05 (antagonist)'
    """
    need_top(n_top, "cell types to show")
    table, params = get.rank_cell_types(data, key=key, rna=rna), get.params(data, key=key, rna=rna)
    shown = table.head(n_top).iloc[::-1]
    ax = new_axes(4.2, 0.9 + ROW * len(shown)) if ax is None else ax
    y = np.arange(len(shown))
    ax.barh(y, shown["score"], color=BLUE, height=0.7)
    for place, (score, n_links) in enumerate(zip(shown["score"], shown["n_links"], strict=True)):
        ax.annotate(
            f"{n_links:,}", (score, place), xytext=(3, 0), textcoords="offset points", va="center", fontsize=SMALL - 1,
            color="0.4",
        )  # fmt: skip
    name_ticks(ax, y=shown["group"].astype(str).tolist())
    ax.margins(x=0.12)
    ax.set_xlim(left=0)
    tidy(ax)
    ax.set_xlabel("Score (numbers: links of the target)", fontsize=SMALL)
    ax.set_title(f"{', '.join(map(str, params['target']))} ({params['action']})", fontsize=NORMAL, loc="left")
    shown_note(ax, len(shown), len(table), "cell types")
    return ax
