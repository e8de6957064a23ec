"""Networks as tables and graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from .._core.checks import fail, listing, need_one_of
from .._core.keys import GrnKeys
from ..grn.network import Network
from ._export import cytoscape_text, digraph, gene_sets, graphml_text, strongest
from ._read import network_of, rna_of

FORMATS = ("frame", "decoupler", "networkx", "graphml", "cyjs", "gmt")


def grn(
    data: Any, *, group: str | None = None, cell: str | None = None, key: str = "grn", rna: str = "rna"
) -> pd.DataFrame:
    """Read the links of the whole network, of one cell type, or of one cell.

    Parameters
    ----------
    data
        AnnData or MuData.
    group
        Cell type.
    cell
        Barcode; its links are those whose eRegulon is on in the cell and which hold in its type.
    key
        Base name of the network.
    rna
        Name of the RNA modality.

    Returns
    -------
    Table with one row per TF-region-gene link (columns of `uns["grn"]["edges"]`).

    Raises
    ------
    KeyError
        There is no network, or the group or cell is unknown.
    ValueError
        Both `group` and `cell` are given.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> len(grs.get.grn(mdata, group="type1")) <= len(grs.get.grn(mdata))
    True
    """
    if group is not None and cell is not None:
        raise fail(ValueError, "give group= or cell=, not both.", "both.", "leave one of them out.")
    network = network_of(data, key, rna)
    if group is not None:
        return network.edges[in_group(network, group)]
    if cell is not None:
        return network.edges[in_cell(data, network, cell, key, rna)]
    return network.edges.copy()


def in_group(network: Network, group: str) -> np.ndarray:
    """Links that hold in a group (bool)."""
    if group not in network.group_names:
        raise fail(
            KeyError, f"group={group!r} is no cell type of the network.", f"{listing(network.group_names, 30)}.",
            "choose one of them.",
        )  # fmt: skip
    return network.edge_groups[:, [network.group_names.index(group)]].toarray().ravel()


def in_cell(data: Any, network: Network, cell: str, key: str, rna: str) -> np.ndarray:
    """Links of one cell (bool), in time proportional to the number of links."""
    adata, keys = rna_of(data, rna), GrnKeys(key)
    if cell not in adata.obs_names:
        found = f"{listing(adata.obs_names, 3)}."
        raise fail(KeyError, f"cell={cell!r} is no barcode.", found, "use a name of obs_names.")
    row = adata.obs_names.get_loc(cell)
    on = adata.obsm[keys.active][[row]].toarray().ravel()
    return on[network.eregulon_of_edge] & in_group(network, str(adata.obs[keys.group].iloc[row]))


def eregulons(data: Any, *, key: str = "grn", rna: str = "rna") -> pd.DataFrame:
    """Read the eRegulons: TF, signs, sizes, thresholds and the rules that set them.

    Parameters
    ----------
    data
        AnnData or MuData.
    key
        Base name of the network.
    rna
        Name of the RNA modality.

    Returns
    -------
    Table with one row per eRegulon.

    Raises
    ------
    KeyError
        There is no network.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> "threshold" in grs.get.eregulons(mdata)
    True
    """
    return network_of(data, key, rna).eregulons.copy()


def groups(data: Any, *, key: str = "grn", rna: str = "rna") -> pd.DataFrame:
    """Read what each cell type keeps: active fraction, mean AUC and specificity (RSS) per eRegulon.

    Parameters
    ----------
    data
        AnnData or MuData.
    key
        Base name of the network.
    rna
        Name of the RNA modality.

    Returns
    -------
    Table with one row per group and eRegulon: `group`, `eregulon`, `kept`, `active_fraction`, `mean_auc`, `rss`.

    Raises
    ------
    KeyError
        There is no network.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> sorted(grs.get.groups(mdata)["group"].unique())
    ['type1', 'type2']
    """
    return network_of(data, key, rna).groups.copy()


def network(
    data: Any,
    *,
    group: str | None = None,
    cell: str | None = None,
    format: str = "frame",
    key: str = "grn",
    rna: str = "rna",
) -> Any:
    """Read TF -> gene links (regions merged) in the form that other tools read.

    Parameters
    ----------
    data
        AnnData or MuData.
    group, cell
        Restrict to a cell type or a cell.
    format
        `"frame"`: table `tf, gene, weight, sign, n_regions, eregulon`, one row per eRegulon and gene; `"decoupler"`:
        `source, target, weight`; `"networkx"`: `DiGraph`; `"graphml"`, `"cyjs"`: text for Cytoscape and others. These
        hold one link per TF and gene, the strongest where several eRegulons share it. `"gmt"`: text, one gene set per
        eRegulon.
    key
        Base name of the network.
    rna
        Name of the RNA modality.

    Returns
    -------
    Table, graph or text; weights are signed importances (-1 to 1).

    Raises
    ------
    KeyError
        There is no network, or the group or cell is unknown.
    ValueError
        The format is unknown.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> list(grs.get.network(mdata, format="decoupler").columns)
    ['source', 'target', 'weight']
    """
    need_one_of(format, FORMATS, name="format")
    table = merge_regions(grn(data, group=group, cell=cell, key=key, rna=rna))
    if format == "frame":
        return table
    if format == "gmt":
        return gene_sets(table)
    if format == "decoupler":
        return strongest(table).rename(columns={"tf": "source", "gene": "target"})[["source", "target", "weight"]]
    graph = digraph(table)
    if format == "networkx":
        return graph
    return graphml_text(graph) if format == "graphml" else cytoscape_text(graph)


def merge_regions(edges: pd.DataFrame) -> pd.DataFrame:
    """One row per eRegulon and gene."""
    frame = edges.assign(
        tf=edges["tf"].astype(str), gene=edges["gene"].astype(str), eregulon=edges["eregulon"].astype(str),
        weight=edges["tf_gene_importance"] * edges["sign"], n_regions=(edges["region"].astype(str) != "").astype(int),
    )  # fmt: skip
    grouped = frame.groupby(["tf", "gene", "eregulon"], sort=True, as_index=False)
    return grouped.agg({"weight": "first", "sign": "first", "n_regions": "sum"})[
        ["tf", "gene", "weight", "sign", "n_regions", "eregulon"]
    ]
