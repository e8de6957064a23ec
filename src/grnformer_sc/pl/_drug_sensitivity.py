"""`pl.drug_sensitivity`: predicted sensitivity on an embedding, by label, and as a ROC curve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from .. import get
from .._core.checks import fail, listing, need_key, need_one_of
from .._core.inputs import table_of
from .._core.labels import binary_labels
from .._core.rng import RngLike
from ..get._drug_sensitivity import results_of
from ..metrics import auc_interval, roc_curve
from ._style import BLUE, GREY, NORMAL, ORANGE, SEQUENTIAL, SMALL, new_axes, side_bar, tidy

if TYPE_CHECKING:
    from anndata import AnnData

Kind = Literal["embedding", "violin", "roc"]
BASES = ("X_umap", "X_tsne", "X_pca")
WIDE = 0.75  # width of a violin
MOST_POINTS = 300  # cells drawn beside a violin


def drug_sensitivity(
    adata: AnnData,
    drug: str,
    *,
    kind: Kind = "embedding",
    basis: str | None = None,
    groupby: str | None = None,
    n_draws: int = 500,
    rng: RngLike = 0,
    key: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plot the predicted sensitivity of cells to a drug.

    `"embedding"`: every cell in the colour of its sensitivity, the most sensitive on top. `"violin"`: by a column of obs,
    with quartiles, such as known labels or cell types. `"roc"`: against known labels of two classes, with the band of
    drawing cells anew. The title names the AUC on left-out lines, which is what the models are known to reach: on lines.

    Parameters
    ----------
    adata
        Cells on which `tl.drug_sensitivity` was run.
    drug
        The drug.
    kind
        What to draw.
    basis
        Key of obsm (`"embedding"`); by default the first of X_umap, X_tsne and X_pca that is there.
    groupby
        Column of obs: groups of the violins, or the labels of the ROC curve (1 or `"sensitive"`, 0 or `"resistant"`).
    n_draws
        Draws behind band and interval.
    rng
        Seed or generator of the draws.
    key
        Base name of the result (`key_added` of `tl.drug_sensitivity`).
    ax
        Axes to draw on; new ones by default.

    Returns
    -------
    The axes.

    Raises
    ------
    KeyError
        There is no such result, column or embedding.
    ValueError
        `groupby` is missing, or the labels are not of two classes.

    See Also
    --------
    grnformer_sc.get.drug_sensitivity : the numbers.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> cells, lines = grs.datasets.simulate_drug_lines(80, 100, n_genes=60, n_tfs=8, rng=0)
    >>> grs.tl.drug_sensitivity(cells, lines, drug="drug1", method="rank_ridge", n_seeds=2)
    >>> grs.pl.drug_sensitivity(cells, "drug1", kind="violin", groupby="cell_type").get_ylabel()
    'Predicted sensitivity'
    """
    need_one_of(kind, ("embedding", "violin", "roc"), name="kind")
    values = get.drug_sensitivity(adata, drug, key=key)["sensitivity"]
    base = next(iter(results_of(adata, drug, key)))
    if kind == "embedding":
        ax = _embedding(adata, values, basis, ax)
    else:
        obs = table_of(adata.obs)
        if groupby is None:
            raise fail(
                ValueError, f"kind={kind!r} needs groupby=.", "groupby=None.", f"name one of {listing(obs.columns)}."
            )
        need_key(obs, groupby, where="adata.obs", fix="name a column with groupby=.")
        if kind == "violin":
            ax = _violin(values, obs[groupby], ax)
        else:
            labels = pd.Series(binary_labels(obs, groupby, where="adata.obs"), name=groupby)
            ax = _roc(values, labels, n_draws, rng, ax)
    ax.set_title(
        f"{drug} (AUC of left-out lines {float(adata.uns[base]['source_auc']):.2f})", fontsize=NORMAL, loc="left"
    )
    return ax


def _embedding(adata: AnnData, values: pd.Series, basis: str | None, ax: Axes | None) -> Axes:
    known = [name for name in BASES if name in adata.obsm]
    if basis is None and not known:
        raise fail(
            KeyError, f"adata.obsm needs one of {listing(BASES)}.", f"{listing(adata.obsm)}.",
            "run sc.pp.pca and sc.tl.umap, or name an embedding with basis=.",
        )  # fmt: skip
    name = known[0] if basis is None else basis
    need_key(adata.obsm, name, where="adata.obsm", fix="name an embedding with basis=.")
    place = np.asarray(adata.obsm[name])[:, :2]
    order = np.argsort(values.to_numpy(), kind="stable")
    ax = new_axes(4.4, 3.6) if ax is None else ax
    size = float(np.clip(12_000 / len(order), 1, 14))
    drawn = ax.scatter(
        place[order, 0], place[order, 1], c=values.to_numpy()[order], s=size, cmap=SEQUENTIAL, vmin=0, vmax=1, linewidths=0,
        rasterized=len(order) > 5000,
    )  # fmt: skip
    ax.set_xticks([])
    ax.set_yticks([])
    tidy(ax)
    stem = name.removeprefix("X_")
    ax.set_xlabel(f"{stem} 1", fontsize=SMALL)
    ax.set_ylabel(f"{stem} 2", fontsize=SMALL)
    side_bar(ax, drawn, "Predicted\nsensitivity")
    return ax


def _violin(values: pd.Series, groups: pd.Series, ax: Axes | None) -> Axes:
    if set(groups.dropna().unique()) <= {0, 1}:
        groups = groups.map({0: "resistant", 1: "sensitive"})
    parts = {str(name): part.to_numpy(dtype=float) for name, part in values.groupby(groups, observed=True)}
    if not parts:
        raise fail(ValueError, "some cells must have a group.", "none.", "name another column with groupby=.")
    ax = new_axes(1.6 + 0.7 * len(parts), 3.2) if ax is None else ax
    rng = np.random.default_rng(0)  # where points stand, never what is drawn
    for place, part in enumerate(parts.values()):
        if np.unique(part).size > 1:
            drawn: Any = ax.violinplot([part], positions=[place], widths=WIDE, showextrema=False)
            for body in drawn["bodies"]:
                body.set(facecolor=BLUE, alpha=0.25, linewidth=0)
        shown = part if part.size <= MOST_POINTS else part[np.linspace(0, part.size - 1, MOST_POINTS).astype(int)]
        ax.scatter(place + rng.uniform(-0.1, 0.1, shown.size), shown, s=3, color=BLUE, alpha=0.35, linewidths=0)
        low, middle, high = np.quantile(part, [0.25, 0.5, 0.75])
        ax.plot([place, place], [low, high], color="0.15", linewidth=2.4, solid_capstyle="butt")
        ax.plot(place, middle, "o", color="white", markersize=3.6, markeredgecolor="0.15", markeredgewidth=0.8)
    names = [f"{name}\n(n = {part.size:,})" for name, part in parts.items()]
    ax.set_xticks(range(len(parts)), names, fontsize=SMALL)
    ax.set_ylim(-0.03, 1.03)
    tidy(ax, grid="y")
    ax.set_xlabel(str(groups.name), fontsize=SMALL)
    ax.set_ylabel("Predicted sensitivity", fontsize=SMALL)
    return ax


def _roc(values: pd.Series, labels: pd.Series, n_draws: int, rng: RngLike, ax: Axes | None) -> Axes:
    y = labels.to_numpy()
    curve, figures = roc_curve(y, values, n_draws=n_draws, rng=rng), auc_interval(y, values, n_draws=n_draws, rng=rng)
    if curve.empty:
        raise fail(
            ValueError, "the labels must hold both classes.", f"{listing(pd.unique(y[~np.isnan(y)]))}.",
            "name a column with sensitive and resistant cells.",
        )  # fmt: skip
    ax = new_axes(3.4, 3.4) if ax is None else ax
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
    ax.fill_between(curve["fpr"], curve["low"], curve["high"], color=ORANGE, alpha=0.25, linewidth=0)
    said = f"AUC {figures['auc']:.2f} [{figures['low']:.2f}, {figures['high']:.2f}]"
    ax.plot(curve["fpr"], curve["tpr"], color=ORANGE, linewidth=1.6)
    ax.text(0.97, 0.05, f"{said}\n{int(figures['n_positive']):,} of {int(figures['n']):,} cells sensitive",
            ha="right", fontsize=SMALL, transform=ax.transAxes)  # fmt: skip
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    tidy(ax)
    ax.set_xlabel(f"Share of resistant cells above the cut ({labels.name})", fontsize=SMALL)
    ax.set_ylabel("Share of sensitive cells above the cut", fontsize=SMALL)
    return ax
