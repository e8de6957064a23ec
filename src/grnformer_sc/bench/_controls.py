"""Networks of chance in the place of a stored one: what a method gains from the wiring shows beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._core.checks import need_one_of
from .._core.keys import GrnKeys
from .._core.rng import as_root, generator
from .._core.tables import EDGE_ORDER, edge_table
from ..get._read import network_of
from ..grn.layout import weight_matrix
from ..metrics import rewired_links

if TYPE_CHECKING:
    from anndata import AnnData

    from ._table import Network


def with_network(adata: AnnData, network: Network, seed: int = 0, key: str = "grn") -> AnnData:
    """Exchange the network of an object for one of chance; regulators, their signs and switches stay.

    Parameters
    ----------
    adata
        Cells with a network.
    network
        `"own"` (or `""`): as it is. `"none"`: without it. `"rewired"`: other targets, every regulon and every gene keep
        their number of links (`grs.metrics.rewired_links`). `"permuted"`: the targets exchange their names, so that who
        shares a regulator stays.
    seed
        Of the network of chance.
    key
        Base name of the network.

    Returns
    -------
    An object that shares all matrices with `adata`, but not its network.

    Raises
    ------
    KeyError
        There is no network of that name.
    ValueError
        `network` is not among those above.
    """
    need_one_of(network, ("", "own", "none", "rewired", "permuted"), name="network")
    if network in ("", "own"):
        return adata
    known, slots = network_of(adata, key, "rna"), GrnKeys(key)
    out = shallow(adata)
    if network == "none":
        del out.uns[slots.uns]
        out.varp.pop(slots.varp, None)
        return out
    change = rewired if network == "rewired" else permuted
    edges, order = sorted_edges(change(known.edges, seed))
    groups = sp.csr_matrix(known.edge_groups)[order]
    out.uns[slots.uns] = {**adata.uns[slots.uns], "edges": edges, "edge_groups": groups}
    out.varp[slots.varp] = weight_matrix(edges, out.var_names)
    return out


def shallow(adata: AnnData) -> AnnData:
    """Give an object of its own with the same matrices."""
    return ad.AnnData(
        X=adata.X, obs=adata.obs, var=adata.var, uns=dict(adata.uns), layers=dict(adata.layers), obsm=dict(adata.obsm),
        varm=dict(adata.varm), obsp=dict(adata.obsp), varp=dict(adata.varp),
    )  # fmt: skip


def rewired(edges: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Exchange the genes of pairs of a regulon and a gene; the regions of a pair stay with the regulon."""
    pairs = pd.DataFrame({"regulon": _regulons(edges), "gene": edges["gene"].astype(str)})
    unique = pairs.drop_duplicates(ignore_index=True)
    moved = rewired_links(unique, source="regulon", rng=seed)["gene"].to_numpy()
    place = pd.MultiIndex.from_frame(unique).get_indexer(pd.MultiIndex.from_frame(pairs))
    return edges.assign(gene=moved[place])


def permuted(edges: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Give all target genes each other's names."""
    names = np.sort(edges["gene"].astype(str).unique())
    other = dict(zip(names, generator(as_root(seed), "permuted").permutation(names), strict=True))
    return edges.assign(gene=edges["gene"].astype(str).map(other))


def sorted_edges(edges: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Edge table in its order, and the old row of every new one."""
    order = edges[EDGE_ORDER].astype(str).reset_index(drop=True).sort_values(EDGE_ORDER, kind="stable").index
    return edge_table(edges), order.to_numpy()


def _regulons(edges: pd.DataFrame) -> pd.Series:
    """Regulon of every link: its eRegulon, or its TF in networks without them."""
    return edges["tf"].astype(str) + "\x1f" + edges["eregulon"].astype(str)
