"""Networks as tables: links, eRegulons, cell types."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from .._core.checks import fail, listing
from .._core.keys import GrnKeys
from ..grn.network import Network
from ._read import need_scores, network_of, rna_of


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
    need_scores(adata, keys.active)
    row = adata.obs_names.get_loc(cell)
    group = adata.obs[keys.group].iloc[row]
    if pd.isna(group):  # a cell that `pp.map_reference` left without a network
        return np.zeros(len(network.edges), dtype=bool)
    on = adata.obsm[keys.active][[row]].toarray().ravel()
    return on[network.eregulon_of_edge] & in_group(network, str(group))


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
