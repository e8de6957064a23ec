"""`pl.attention`: what the model listens to."""

from __future__ import annotations

from typing import Any, Literal

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from .. import get
from .._core.checks import fail, need_one_of
from ._attention_panels import (
    AttentionTables,
    enrichment_panel,
    links_bars,
    links_panel,
    regulator_bars,
    regulators_panel,
)
from ._style import need_top

Kind = Literal["overview", "regulators", "links", "enrichment"]
KINDS = ("overview", "regulators", "links", "enrichment")


def attention(
    data: Any,
    *,
    kind: Kind = "overview",
    group: str | None = None,
    top: int = 15,
    key: str = "grnformer",
    rna: str = "rna",
    ax: Axes | None = None,
    figure: Figure | SubFigure | None = None,
) -> Any:
    """Plot what a fitted model attends to in each cell type: regulators, their targets, and TFs against other genes.

    Attention is shown relative to the mean gene of the cell type's network, because a gene of a small network receives
    more of the whole by that alone. The cell types take turns in choosing what is shown, so that each has its own
    strongest ones. TFs are compared with all other genes and with genes of equal degree and equal expression (filled:
    p < 0.05): a TF has more links than other genes, and the plain ratio of Qiu et al. (2025) reflects that first.

    Parameters
    ----------
    data
        AnnData or MuData with a fitted model.
    kind
        `"overview"`: the panels below side by side. `"regulators"`: attention that TFs receive (grey: not in the
        network of the cell type). `"links"`: regulator -> target pairs (blank: not among the strongest pairs of the
        cell type; ring: a link of its network). `"enrichment"`: TFs against other genes.
    group
        Show one cell type.
    top
        Number of TFs and of links.
    key
        Base name of the model.
    rna
        Name of the RNA modality.
    ax
        Axes to draw on, for one panel; new ones by default.
    figure
        Figure or SubFigure to draw on, for the overview; a new one by default.

    Returns
    -------
    The axes; for the overview a dictionary of axes: `"regulators"`, `"links"`, and `"enrichment"` where the model
    attends to more than TFs.

    Raises
    ------
    KeyError
        There is no fitted model with a network, or the group is unknown.
    ValueError
        `kind` is unknown, `ax` is given for the overview or `figure` for one panel, or there is nothing to compare.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(120, n_genes=80, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> model = grs.tl.fit(mdata["rna"], max_epochs=1)
    >>> grs.pl.attention(mdata)["regulators"].get_xlabel()
    'Regulator'
    """
    need_one_of(kind, KINDS, name="kind")
    need_top(top, "rows to show", name="top")
    if kind == "overview" and ax is not None:
        raise fail(
            ValueError, "the overview has several panels.", "ax=.", "pass figure=, or choose one panel with kind=."
        )
    if kind != "overview" and figure is not None:
        raise fail(ValueError, "one panel is drawn on axes.", "figure=.", "pass ax=.")
    tables = _tables(data, group, key, rna)
    if kind == "overview":
        return _overview(tables, top, figure)
    if kind == "regulators":
        return (regulator_bars if group is not None else regulators_panel)(tables, top, ax)
    if kind == "links":
        return (links_bars if group is not None else links_panel)(tables, top, ax)
    if tables.enrichment.empty:
        raise fail(
            ValueError, "TFs are compared with other genes that the model attends to.",
            "a model that attends to TFs only.", "fit with keys='all'.",
        )  # fmt: skip
    return enrichment_panel(tables, ax)


def _tables(data: Any, group: str | None, key: str, rna: str) -> AttentionTables:
    pairs = get.attention(data, group=group, key=key, rna=rna)
    enrichment = get.attention_enrichment(data, group=group, key=key, rna=rna)
    received = get.attention_received(data, key=key, rna=rna)
    shown = received if group is None else received[[group]]
    return AttentionTables.build(shown, pairs, enrichment.dropna(subset="rho"), _tfs(data, key, rna))


def _tfs(data: Any, key: str, rna: str) -> pd.Index:
    """TFs of the network that the model was fitted with, where it is still there."""
    grn_key = str(get.params(data, key, rna=rna)["inputs"]["network"])
    try:
        table = get.eregulons(data, key=grn_key, rna=rna)
    except KeyError:
        return pd.Index([], dtype=object)
    kept = get.groups(data, key=grn_key, rna=rna).query("kept")["eregulon"].astype(str)
    return pd.Index(table.loc[table["name"].astype(str).isin(kept), "tf"].astype(str).unique())


def _overview(tables: AttentionTables, top: int, figure: Figure | SubFigure | None) -> dict[str, Axes]:
    panels = ["regulators", "links", *(["enrichment"] if not tables.enrichment.empty else [])]
    one = len(tables.groups) == 1
    columns = [min(top, len(tables.regulators)), min(top, tables.n_pairs)]
    widths = [9.0, 9.0, 9.0] if one else [*(max(n, 6) for n in columns), 9.0]
    rows = top if one else len(tables.groups)
    if figure is None:
        size = (1.7 + 0.2 * sum(widths[: len(panels)]), (1.2 if one else 2.9) + 0.19 * rows)
        figure = plt.figure(figsize=size, layout="constrained")
    drawn = figure.subplots(1, len(panels), width_ratios=widths[: len(panels)], squeeze=False)[0]
    axes = dict(zip(panels, drawn, strict=True))
    (regulator_bars if one else regulators_panel)(tables, top, axes["regulators"])
    (links_bars if one else links_panel)(tables, top, axes["links"])
    if "enrichment" in axes:
        enrichment_panel(tables, axes["enrichment"])
    if not one:
        for name in panels[1:]:
            axes[name].set_yticklabels([])
            axes[name].set_ylabel("")
    return axes
