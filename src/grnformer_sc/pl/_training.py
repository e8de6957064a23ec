"""`pl.training`: the course of a training."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from .. import get
from .._core.checks import fail
from ._style import BLUE, GREY, NORMAL, SMALL, VERMILION, new_axes, tidy


def training(data: Any, *, key: str = "grnformer", rna: str = "rna", ax: Axes | None = None) -> Axes:
    """Plot training and validation loss per epoch and mark the epoch whose weights were kept.

    Parameters
    ----------
    data
        AnnData or MuData; or a trained model, or its `history_`.
    key
        Base name of the model.
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
        There is no fitted model.
    ValueError
        The history is empty.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(120, n_genes=80, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> model = grs.tl.fit(mdata["rna"], max_epochs=1)
    >>> grs.pl.training(mdata).get_xlabel()
    'Epoch'
    """
    table = data if isinstance(data, pd.DataFrame) else getattr(data, "history_", None)
    if table is None:
        table = get.training(data, key=key, rna=rna)
    if len(table) == 0:
        raise fail(ValueError, "a training has at least one epoch.", "none.", "call model.train() first.")
    ax = new_axes(3.6, 2.6) if ax is None else ax
    epoch = table["epoch"].to_numpy() + 1
    ax.plot(epoch, table["train_loss"], color=GREY, marker="o", markersize=3, linewidth=1.2, label="training")
    if "validation_loss" in table:
        loss = table["validation_loss"].to_numpy()
        ax.plot(epoch, loss, color=BLUE, marker="o", markersize=3, linewidth=1.2, label="validation")
        best = int(loss.argmin())
        label = f"kept (epoch {epoch[best]})"
        ax.plot(epoch[best], loss[best], marker="o", color=VERMILION, markersize=6, linestyle="none", label=label)
    ax.set_xlabel("Epoch", fontsize=NORMAL)
    ax.set_ylabel("Loss of masked counts", fontsize=NORMAL)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(
        frameon=False, fontsize=SMALL, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, columnspacing=1.2, borderpad=0
    )
    tidy(ax, grid="y")
    return ax
