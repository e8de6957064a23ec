"""Networks of Dictys: effects of its TFs, and how regulation changes along a trajectory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._core.checks import fail, listing, nearest, need_between, need_key, need_one_of
from ..grn.systems.dictys.effects import normalized, total_effects
from ..grn.systems.dictys.windows import default_bandwidth, kernel, regulation, smoothed
from ..grn.systems.groups import GroupNetworks
from ._read import stored

Kind = Literal["direct", "normalized", "total"]
Curve = Literal["regulation", "expression", "links"]
MADE_BY = "grs.tl.build_grn(..., method='dictys')"


def tf_effects(
    data: Any, *, kind: Kind = "direct", group: str | None = None, key: str = "grn_dictys", rna: str = "rna"
) -> pd.DataFrame:
    """Read what TFs do to genes in a group, in a network of Dictys.

    Parameters
    ----------
    data
        AnnData or MuData.
    kind
        `"direct"`: weights of the links, the change of a gene per change of the TF (both logarithms of shares of mRNA).
        `"normalized"`: these in standard deviations of both. `"total"`: the change along all paths of links, loops and the
        competition of genes for a fixed amount of mRNA included.
    group
        Cell type; it can be left out where there is one.
    key
        Base name of the network.
    rna
        Name of the RNA modality.

    Returns
    -------
    Table TFs x genes of the group's model (float64); 0 of a TF on itself.

    Raises
    ------
    KeyError
        There is no such network, or the group is unknown.
    ValueError
        `kind` is unknown, the group must be named, or it has no model.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> rna = grs.datasets.simulate_multiome(200, n_genes=60, n_tfs=8, n_types=1, rng=0)["rna"]
    >>> grs.tl.build_grn(rna, method="dictys", prior=rna.uns["truth"], options={"steps": 50})
    >>> grs.get.tf_effects(rna, kind="total").shape[0] <= 8
    True
    """
    need_one_of(kind, get_args(Kind), name="kind")
    uns = _network(data, key, rna)
    networks, place = GroupNetworks.from_uns(uns), _place(uns, group)
    level, sd = (np.asarray(uns[name], dtype=np.float64)[place] for name in ("level", "sd"))
    genes = np.flatnonzero(~np.isnan(level))
    if not genes.size:
        raise fail(
            ValueError, "a group with a model is needed.", f"none of {networks.names[place]!r}: few cells or counts.",
            "choose another group.",
        )  # fmt: skip
    weights = sp.csr_matrix(networks.weights[place])[genes][:, genes]
    tfs = np.flatnonzero(np.diff(weights.indptr))
    value = weights[tfs].toarray()
    if kind == "normalized":
        value = normalized(value, sd[genes], tfs)
    if kind == "total":
        value = total_effects(value, np.exp(level[genes]), tfs)
    names = networks.genes[genes]
    return pd.DataFrame(value, index=names[tfs], columns=names)


def regulation_curves(
    data: Any,
    *,
    kind: Curve = "regulation",
    tfs: Iterable[str] | None = None,
    group: str | None = None,
    n_points: int = 50,
    bandwidth: float | None = None,
    strongest: float = 0.2,
    key: str = "grn_dictys",
    rna: str = "rna",
) -> pd.DataFrame:
    """Read how regulation changes along the trajectory on which `build_grn` made windows (`time_key`).

    Networks of the windows are averaged with Gaussian weights around equally spaced points, from the centre of the first
    window to that of the last. Neighbouring points share cells, so that their values go together.

    Parameters
    ----------
    data
        AnnData or MuData.
    kind
        `"regulation"`: log2(number of targets + 1) of a TF. `"expression"`: logarithm of its share of the mRNA. `"links"`:
        weights of its links.
    tfs
        Names of TFs; by default all that have links.
    group
        Cell type; it can be left out where one has windows.
    n_points
        Points along the trajectory.
    bandwidth
        Standard deviation of the weights in units of `time_key`; by default the largest gap between centres.
    strongest
        Share of the links at a point that count as targets, the strongest.
    key
        Base name of the network.
    rna
        Name of the RNA modality.

    Returns
    -------
    Table with one row per point; columns are TFs, or TF and gene of the links. The index is the time.

    Raises
    ------
    KeyError
        There are no windows, or a TF or group is unknown.
    ValueError
        A number leaves its range, or the group must be named.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> rna = grs.datasets.simulate_multiome(200, n_genes=60, n_tfs=8, n_types=1, rng=0)["rna"]
    >>> rna.obs["pseudotime"] = rna.obsm["truth_activity"].to_numpy()[:, 0]
    >>> options = {"steps": 20, "time_key": "pseudotime", "window": 100, "overlap": 50}
    >>> grs.tl.build_grn(rna, method="dictys", prior=rna.uns["truth"], options=options)
    >>> len(grs.get.regulation_curves(rna, n_points=10))
    10
    """
    need_one_of(kind, get_args(Curve), name="kind")
    need_between(n_points, 2, 100_000, name="n_points")
    need_between(strongest, 1e-6, 1, name="strongest")
    uns = _network(data, key, rna)
    need_key(
        uns, "windows", where=f"adata.uns[{key!r}]", fix="name a column with options={'time_key': ...} of build_grn."
    )
    genes = pd.Index(uns["genes"]).astype(str)
    centres, weights, level = _windows(uns, genes, group)
    width = default_bandwidth(centres) if bandwidth is None else bandwidth
    need_between(width, 1e-12, float("inf"), name="bandwidth")
    points = np.linspace(centres[0], centres[-1], n_points)
    share = kernel(centres, points, width)
    places = _tf_places(weights, genes, tfs)
    time = pd.Index(points, name="time")
    if kind == "expression":
        return pd.DataFrame(_weighted(share, level[:, places]), index=time, columns=genes[places])
    at = [smoothed(weights, one) for one in share]
    if kind == "regulation":
        values = np.stack([regulation(network, places, strongest) for network in at])
        return pd.DataFrame(values, index=time, columns=genes[places])
    tf, gene = sp.csr_matrix(sum(abs(part[places]) for part in weights)).nonzero()
    links = pd.MultiIndex.from_arrays([genes[places[tf]], genes[gene]], names=["tf", "gene"])
    rows = [np.asarray(network[places[tf], gene]).ravel() for network in at]
    return pd.DataFrame(np.stack(rows), index=time, columns=links)


def _weighted(share: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Means over the windows in which a gene has a model."""
    known = ~np.isnan(value)
    return (share @ np.where(known, value, 0)) / np.maximum(share @ known, 1e-12)


def _network(data: Any, key: str, rna: str) -> dict[str, Any]:
    uns = stored(data, key, made_by=MADE_BY, rna=rna)
    for name in ("networks", "level", "sd"):
        need_key(uns, name, where=f"adata.uns[{key!r}]", fix=f"name a network of {MADE_BY} with key=.")
    return uns


def _place(uns: Mapping[str, Any], group: str | None) -> int:
    names = [str(name) for name in uns["group_names"]]
    return names.index(_chosen(names, group))


def _chosen(names: list[str], group: str | None) -> str:
    if group is None and len(names) == 1:
        return names[0]
    if group is None:
        raise fail(ValueError, "group must name one of several.", f"None; {listing(names, 30)}.", "pass group='...'.")
    if group not in names:
        raise fail(KeyError, f"group={group!r} is not there.", f"{listing(names, 30)}.", "choose one of them.")
    return group


def _windows(
    uns: Mapping[str, Any], genes: pd.Index, group: str | None
) -> tuple[np.ndarray, list[sp.csr_matrix], np.ndarray]:
    """Centres in time, networks and levels of the windows of a group, in time."""
    table, stack = uns["windows"]["table"], sp.csr_matrix(uns["windows"]["networks"])
    label = table["group"].astype(str).to_numpy()
    own = np.flatnonzero(label == _chosen(list(dict.fromkeys(label)), group))
    time = table["time"].to_numpy(dtype=np.float64)
    own = own[np.argsort(time[own], kind="stable")]
    if own.size < 2 or time[own[0]] == time[own[-1]]:
        raise fail(
            ValueError, "a curve needs two windows at different times.", f"{own.size} at {time[own[0]]:g}.",
            "take smaller windows: options={'window': ..., 'overlap': ...} of build_grn.",
        )  # fmt: skip
    weights = [stack[k * genes.size : (k + 1) * genes.size] for k in own]
    return time[own], weights, np.asarray(uns["windows"]["level"], dtype=np.float64)[own]


def _tf_places(weights: list[sp.csr_matrix], genes: pd.Index, tfs: Iterable[str] | None) -> np.ndarray:
    """Places of the TFs among the genes."""
    sources = np.flatnonzero(sum(np.diff(part.indptr) for part in weights))
    if tfs is None:
        return sources
    named = pd.Index([tfs] if isinstance(tfs, str) else list(tfs))
    place = genes.get_indexer(named)
    unknown = ~np.isin(place, sources)
    if unknown.any():
        raise fail(
            KeyError, "tfs must have links in the windows.", f"{nearest(named[unknown], genes[sources])}.",
            "choose among the columns that tfs=None gives.",
        )  # fmt: skip
    return place
