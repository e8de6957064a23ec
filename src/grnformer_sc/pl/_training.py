"""`pl.training`: the course of a training."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from .. import get
from ._style import BLUE, GREY, NORMAL, SMALL, VERMILION, new_axes, tidy


def training(data: Any, *, key: str = "grnformer", ax: Axes | None = None) -> Axes:
    """Plot training and validation loss per epoch and mark the epoch whose weights were kept.

    Parameters
    ----------
    data
        AnnData or MuData.
    key
        Base name of the model.
    ax
        Axes to draw on; new ones by default.

    Returns
    -------
    The axes.

    Raises
    ------
    KeyError
        There is no fitted model.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(120, n_genes=80, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> model = grs.tl.fit(mdata["rna"], max_epochs=1)
    >>> grs.pl.training(mdata).get_xlabel()
    'Epoch'
    """
    table = get.training(data, key=key)
    ax = new_axes(3.6, 2.6) if ax is None else ax
    epoch = table["epoch"].to_numpy() + 1
    ax.plot(epoch, table["train_loss"], color=GREY, marker="o", markersize=3, linewidth=1.2, label="training")
    if "validation_loss" in table:
        loss = table["validation_loss"].to_numpy()
        ax.plot(epoch, loss, color=BLUE, marker="o", markersize=3, linewidth=1.2, label="validation")
        best = int(loss.argmin())
        ax.plot(epoch[best], loss[best], "o", color=VERMILION, markersize=6, label=f"kept (epoch {epoch[best]})")
    ax.set_xlabel("Epoch", fontsize=NORMAL)
    ax.set_ylabel("Loss of masked counts", fontsize=NORMAL)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(frameon=False, fontsize=SMALL)
    tidy(ax, grid="y")
    return ax
