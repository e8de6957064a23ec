"""Whether the targets of a TF move when it is knocked out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata

from .._core.checks import fail, listing, need_between
from .._core.rng import RngLike, as_root, generator
from ._nulls import expression_matched_links, need_columns

BLOCK = 4_000_000  # values held dense at a time
PEERS = 50  # genes of like expression that a target is compared with
LEAST = 5  # links of a TF whose activity is judged


def knockout_shift(
    links: pd.DataFrame,
    *,
    expression: Any,
    genes: pd.Index,
    knockout: Sequence[str] | pd.Series | np.ndarray,
    control: str = "control",
    n_control: int = 2000,
    rng: RngLike = 0,
) -> pd.DataFrame:
    """How far the targets of a TF move in cells without it, beside genes that are about as highly expressed.

    The shift of a gene is the Wasserstein distance between its values in cells of the knock-out and in controls. Its place
    among the 50 genes closest in mean expression (share of them that move less, half of those that move as much) is .5
    for a gene like any other. Wasserstein precision and recall of geneRNIB ask the same with a stored background.

    Parameters
    ----------
    links
        Distinct links `tf`, `gene`.
    expression
        Cells x genes, dense or sparse, normalised (such as log counts).
    genes
        Names of the columns.
    knockout
        The gene that every cell lacks, or `control`.
    control
        Label of the control cells.
    n_control
        Control cells that are used at most, drawn at random.
    rng
        Seed or generator of that draw.

    Returns
    -------
    Table with one row per knocked-out TF with links: `n_cells`, `n_links`, `shift` (mean distance of the targets, in units
    of `expression`), `place` (mean place of the targets; chance .5), `recall` (share of the genes that move most, as many
    as there are links, that are targets), `recall_random` (the same at chance).

    Raises
    ------
    KeyError
        A column is missing.
    ValueError
        Shapes do not fit, there are no control cells, or no knocked-out gene has links.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> import grnformer_sc as grs
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 30))
    >>> knockout = np.repeat(["control", "A"], 100)
    >>> x[100:, :3] -= 3
    >>> genes = pd.Index([f"g{i}" for i in range(30)])
    >>> links = pd.DataFrame({"tf": "A", "gene": ["g0", "g1", "g2"]})
    >>> grs.metrics.knockout_shift(links, expression=x, genes=genes, knockout=knockout)["recall"].tolist()
    [1.0]
    """
    need_columns(links, ["tf", "gene"])
    label, x = _checked(expression, genes, knockout, control)
    controls = np.flatnonzero(label == control)
    if controls.size > n_control:
        controls = np.sort(generator(as_root(rng), "controls").permutation(controls)[:n_control])
    own = _targets(links, genes, label)
    level = np.asarray(x.mean(axis=0)).ravel()
    rows = {}
    for tf, targets in own.items():
        cells = np.flatnonzero(label == tf)
        moved = _distances(x, cells, controls)
        others = np.flatnonzero(genes != tf)
        place = np.full(genes.size, np.nan)
        place[others] = places_among_peers(moved[others], level[others])
        first = others[np.argsort(-moved[others], kind="stable")][: targets.size]
        rows[tf] = {
            "n_cells": cells.size, "n_links": targets.size, "shift": moved[targets].mean(), "place": place[targets].mean(),
            "recall": np.isin(first, targets).mean(), "recall_random": targets.size / others.size,
        }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("tf")


def knockout_activity(
    links: pd.DataFrame,
    *,
    expression: Any,
    genes: pd.Index,
    knockout: Sequence[str] | pd.Series | np.ndarray,
    weight: str = "weight",
    control: str = "control",
    n_nulls: int = 100,
    rng: RngLike = 0,
) -> pd.DataFrame:
    """Whether the activity of a TF falls in cells without it (TF recovery), beside networks with other targets.

    The activity is that of a univariate linear model (decoupler's `ulm`): the t value of the slope of the change of all
    genes (mean of the knock-out minus mean of the controls, over the standard deviation of the controls) on the signed
    weights of the TF. The knocked-out gene itself is left out.

    Parameters
    ----------
    links
        Distinct links `tf`, `gene` with a signed weight.
    expression, genes, knockout, control
        As for `grs.metrics.knockout_shift`.
    weight
        Column with the signed weights.
    n_nulls
        Networks whose targets are exchanged among genes of like expression.
    rng
        Seed or generator of these.

    Returns
    -------
    Table with one row per knocked-out TF with at least 5 links: `n_cells`, `n_links`, `activity` (t value, negative where
    the targets fall), `null_mean`, `null_sd`, `z`, and `place`: share of all TFs of the network with a higher activity in
    this knock-out (1: the knocked-out TF falls most; chance .5).

    Raises
    ------
    KeyError
        A column is missing.
    ValueError
        Shapes do not fit, there are no control cells, or no knocked-out gene has 5 links.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> import grnformer_sc as grs
    >>> x = np.random.default_rng(0).normal(size=(200, 60))
    >>> knockout = np.repeat(["control", "A"], 100)
    >>> x[100:, :8] -= 2
    >>> genes = pd.Index([f"g{i}" for i in range(60)])
    >>> links = pd.DataFrame({"tf": "A", "gene": genes[:8], "weight": 1.0})
    >>> table = grs.metrics.knockout_activity(links, expression=x, genes=genes, knockout=knockout)
    >>> bool(table.loc["A", "z"] < -2)
    True
    """
    need_columns(links, ["tf", "gene", weight])
    need_between(n_nulls, 2, 100_000, name="n_nulls")
    label, x = _checked(expression, genes, knockout, control)
    own = _targets(links, genes, label, least=LEAST)
    tfs = pd.Index(np.unique(links["tf"].astype(str)))
    known = links[genes.get_indexer(links["gene"].astype(str)) >= 0]
    level = pd.Series(np.asarray(x.mean(axis=0)).ravel(), index=genes)
    change = np.stack([np.where(genes == tf, 0.0, _change(x, label == tf, label == control)) for tf in own])
    activity = _ulm(change, _weights(known, tfs, genes, weight))
    rows = tfs.get_indexer(list(own))
    root = as_root(rng)
    nulls = []
    for i in range(n_nulls):
        other = expression_matched_links(known, level, rng=generator(root, "null", i))
        nulls.append(_ulm(change, _weights(other, tfs, genes, weight))[np.arange(len(own)), rows])
    mean, sd = np.mean(nulls, axis=0), np.std(nulls, axis=0, ddof=1)
    mine = activity[np.arange(len(own)), rows]
    place = [(rankdata(-row)[at] - 1) / max(tfs.size - 1, 1) for row, at in zip(activity, rows, strict=True)]
    return pd.DataFrame(
        {
            "n_cells": [int((label == tf).sum()) for tf in own],
            "n_links": [targets.size for targets in own.values()],
            "activity": mine,
            "null_mean": mean,
            "null_sd": sd,
            "z": (mine - mean) / np.where(sd > 0, sd, 1),
            "place": place,
        },
        index=pd.Index(list(own), name="tf"),
    )


def places_among_peers(
    moved: Float[np.ndarray, " genes"], level: Float[np.ndarray, " genes"]
) -> Float[np.ndarray, " genes"]:
    """Share of the `PEERS` genes closest in the order of expression that move less, ties half."""
    order = np.argsort(level, kind="stable")
    width = min(PEERS + 1, order.size)
    start = np.clip(np.arange(order.size) - width // 2, 0, order.size - width)
    peers = moved[order][start[:, None] + np.arange(width)]
    mine = moved[order][:, None]
    less = (peers < mine).sum(axis=1) + ((peers == mine).sum(axis=1) - 1) / 2
    out = np.empty(order.size)
    out[order] = less / max(width - 1, 1)
    return out


def _checked(expression: Any, genes: pd.Index, knockout: Any, control: str) -> tuple[np.ndarray, sp.csr_matrix]:
    label = np.asarray(knockout).astype(str)
    if expression.shape != (label.size, genes.size):
        raise fail(
            ValueError, "expression needs one row per label and one column per gene.",
            f"{expression.shape} for {label.size} labels and {genes.size} genes.", "take all three from the same cells.",
        )  # fmt: skip
    if not (label == control).any():
        raise fail(
            ValueError, f"control={control!r} must label some cells.", f"labels {listing(np.unique(label))}.",
            "name the label of the controls with control=.",
        )  # fmt: skip
    return label, sp.csr_matrix(expression)


def _targets(
    links: pd.DataFrame, genes: pd.Index, label: np.ndarray, *, least: int = 1
) -> dict[str, Int[np.ndarray, " targets"]]:
    """Places of the measured targets of every knocked-out TF, itself left out."""
    tf, gene = links["tf"].astype(str), links["gene"].astype(str)
    inside = links.assign(tf=tf, gene=gene)[tf.isin(np.unique(label)).to_numpy() & (tf != gene).to_numpy()]
    out = {}
    for name, part in inside.groupby("tf"):
        places = np.unique(genes.get_indexer(part["gene"]))
        places = places[places >= 0]
        if places.size >= least:
            out[str(name)] = places
    if not out:
        raise fail(
            ValueError, f"at least one knocked-out gene must be a TF of the network with {least} measured targets.",
            f"none; knocked out {listing(np.unique(label))}, TFs {listing(np.unique(tf))}.",
            "check that both use the same names.",
        )  # fmt: skip
    return out


def _distances(
    x: sp.csr_matrix, cells: Int[np.ndarray, " cells"], controls: Int[np.ndarray, " controls"]
) -> Float[np.ndarray, " genes"]:
    """Wasserstein distance of every gene: area between the two distribution functions."""
    rows, n = np.r_[cells, controls], cells.size + controls.size
    size = max(1, BLOCK // n)
    part = x[rows].tocsc()
    step_of = np.r_[np.full(cells.size, 1 / cells.size), np.full(controls.size, -1 / controls.size)]
    out = []
    for start in range(0, x.shape[1], size):
        values = part[:, start : start + size].toarray().astype(np.float64)
        order = np.argsort(values, axis=0, kind="stable")
        gap = np.diff(np.take_along_axis(values, order, axis=0), axis=0)
        out.append((np.abs(np.cumsum(step_of[order], axis=0)[:-1]) * gap).sum(axis=0))
    return np.concatenate(out)


def _change(
    x: sp.csr_matrix, cells: Bool[np.ndarray, " cells"], controls: Bool[np.ndarray, " cells"]
) -> Float[np.ndarray, " genes"]:
    """Difference of means over the standard deviation of the controls; 0 for genes that the controls do not vary in."""
    mean, base = (np.asarray(x[rows].mean(axis=0)).ravel() for rows in (cells, controls))
    square = np.asarray(x[controls].multiply(x[controls]).mean(axis=0)).ravel()
    sd = np.sqrt(np.maximum(square - base**2, 0))
    return np.where(sd > 0, (mean - base) / np.where(sd > 0, sd, 1), 0.0)


def _weights(links: pd.DataFrame, tfs: pd.Index, genes: pd.Index, weight: str) -> sp.csr_matrix:
    row, column = tfs.get_indexer(links["tf"].astype(str)), genes.get_indexer(links["gene"].astype(str))
    return sp.csr_matrix((links[weight].to_numpy(dtype=np.float64), (row, column)), shape=(tfs.size, genes.size))


def _ulm(change: Float[np.ndarray, "samples genes"], weights: sp.csr_matrix) -> Float[np.ndarray, "samples tfs"]:
    """T value of the slope of a sample's changes on the weights of a TF, over all genes."""
    n = change.shape[1]
    y = change - change.mean(axis=1, keepdims=True)
    mean = np.asarray(weights.mean(axis=1)).ravel()
    size = np.sqrt(np.asarray(weights.multiply(weights).sum(axis=1)).ravel() - n * mean**2)
    r = (weights @ y.T).T / np.maximum(size * np.sqrt((y**2).sum(axis=1, keepdims=True)), 1e-300)
    return r * np.sqrt((n - 2) / np.maximum(1 - r**2, 1e-12))
