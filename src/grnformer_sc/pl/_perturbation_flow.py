"""`pl.perturbation_flow`: arrows of a simulated perturbation on an embedding."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from .._core.checks import fail, listing, need_between
from .._core.keys import PerturbationKeys
from ..get._read import rna_of, stored
from ._style import DIVERGING, NORMAL, SMALL, new_axes, side_bar, tidy

CELL = 6.0  # area of a cell in square points
FEWEST = 0.2  # cells in a square, in units of the median of occupied ones, from which it has an arrow


def perturbation_flow(
    data: Any, *, n_grid: int = 20, key: str = "grn_ko", rna: str = "rna", ax: Axes | None = None
) -> Axes:
    """Plot the movement of `tl.perturbation_flow` as mean arrows of squares, cells coloured by their perturbation score.

    Without a pseudotime there is no such score, and cells are grey.

    Parameters
    ----------
    data
        AnnData or MuData.
    n_grid
        Squares along the longer side.
    key
        Name of the simulated perturbation.
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
        There is no flow, or its embedding is gone.
    ValueError
        The embedding has not two dimensions, or `n_grid` is below 2.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> rna = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)["rna"]
    >>> grs.tl.build_grn(rna, method="ridge", tfs="is_tf", key_added="grn")
    >>> grs.tl.simulate_ko(rna, "TF05", per_cell=True)
    >>> rna.obsm["X_toy"] = rna.X[:, :2].toarray()
    >>> grs.tl.perturbation_flow(rna, basis="X_toy")
    >>> grs.pl.perturbation_flow(rna).get_title(loc="left")
    'TF05 at 0'
    """
    need_between(n_grid, 2, 500, name="n_grid")
    slots = PerturbationKeys(key)
    params = stored(data, slots.flow, made_by="grs.tl.perturbation_flow(mdata)", rna=rna)["params"]
    adata, made = rna_of(data, rna), stored(data, slots.uns, made_by="grs.tl.simulate_ko(mdata, 'TF')", rna=rna)
    basis = str(params["basis"])
    if basis not in adata.obsm or slots.flow not in adata.obsm:
        raise fail(
            KeyError, f"the flow needs obsm[{basis!r}] and obsm[{slots.flow!r}].", f"{listing(adata.obsm)}.",
            "run grs.tl.perturbation_flow again.",
        )  # fmt: skip
    place = np.asarray(adata.obsm[basis], dtype=np.float64)
    if place.shape[1] != 2:
        raise fail(
            ValueError, "arrows are drawn in two dimensions.", f"{place.shape[1]} in obsm[{basis!r}].",
            "run grs.tl.perturbation_flow with a basis of two dimensions.",
        )  # fmt: skip
    ax = new_axes(4.6, 4.0) if ax is None else ax
    scored = str(params["pseudotime"]) != "" and slots.score in adata.obs
    if scored:
        score = adata.obs[slots.score].to_numpy(dtype=np.float64)
        limit = max(float(np.nanquantile(np.abs(score), 0.98)), 1e-9)
        drawn = ax.scatter(
            place[:, 0], place[:, 1], c=score, s=CELL, cmap=DIVERGING, vmin=-limit, vmax=limit, linewidths=0
        )
        side_bar(ax, drawn, "Score")
    else:
        ax.scatter(place[:, 0], place[:, 1], color="0.85", s=CELL, linewidths=0)
    at, arrow = grid_means(place, np.asarray(adata.obsm[slots.flow], dtype=np.float64), n_grid)
    ax.quiver(at[:, 0], at[:, 1], arrow[:, 0], arrow[:, 1], angles="xy", color="0.15", width=0.004, zorder=3)
    ax.set_aspect("equal", adjustable="datalim")
    ax.set_xticks([])
    ax.set_yticks([])
    tidy(ax)
    name = basis.removeprefix("X_").upper()
    ax.set_xlabel(f"{name} 1", fontsize=SMALL)
    ax.set_ylabel(f"{name} 2", fontsize=SMALL)
    held = ", ".join(f"{gene} at {level:.3g}" for gene, level in zip(made["genes"], made["levels"], strict=True))
    ax.set_title(held, fontsize=NORMAL, loc="left")
    return ax


def grid_means(
    place: Float[np.ndarray, "cells 2"], arrow: Float[np.ndarray, "cells 2"], n_grid: int
) -> tuple[Float[np.ndarray, "squares 2"], Float[np.ndarray, "squares 2"]]:
    """Mean place and mean arrow of the cells of every square that holds enough of them."""
    low = place.min(axis=0)
    side = max(float(np.ptp(place, axis=0).max()) / n_grid, 1e-12)
    square = np.minimum((place - low) // side, n_grid - 1).astype(np.int64)
    _, code, size = np.unique(square[:, 0] * n_grid + square[:, 1], return_inverse=True, return_counts=True)
    kept = size >= max(1, FEWEST * float(np.median(size)))
    sums = np.zeros((size.size, 4))
    np.add.at(sums, code, np.hstack([place, arrow]))
    means = (sums / size[:, None])[kept]
    return means[:, :2], means[:, 2:]
