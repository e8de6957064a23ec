"""Results of cells: activities and the graph of one cell."""

from __future__ import annotations

import logging
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from .._core.checks import need_one_of
from .._core.keys import GrnKeys
from ._export import digraph, merge_regions
from ._grn import grn
from ._read import need_scores, network_of, rna_of

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)


def activity(data: Any, *, kind: Literal["gene", "region"] = "gene", key: str = "grn", rna: str = "rna") -> AnnData:
    """Read the eRegulon activities as an AnnData with eRegulons as variables, so that every `sc.pl` works on them.

    Parameters
    ----------
    data
        AnnData or MuData.
    kind
        AUC of the target genes, or of the regions (with ATAC).
    key
        Base name of the network.
    rna
        Name of the RNA modality.

    Returns
    -------
    AnnData cells x eRegulons: `.X` AUC (float32), `layers["active"]` bits (CSR bool), `var` the eRegulon table, `obs`,
    `obsm` and `obsp` of the cells, the neighbour graph of their networks (`sc.tl.umap(..., neighbors_key="grn_cells")`), and
    the colours of their labels. Nothing is shared with `data`.

    Raises
    ------
    KeyError
        There are no activities (of this kind).

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> grs.get.activity(mdata).n_obs
    200
    """
    from anndata import AnnData

    need_one_of(kind, ("gene", "region"), name="kind")
    adata, keys = rna_of(data, rna), GrnKeys(key)
    auc, active = (keys.auc, keys.active) if kind == "gene" else (keys.auc_region, keys.active_region)
    need_scores(adata, auc)
    table = network_of(data, key, rna).eregulons
    values = adata.obsm[auc]
    var = table.set_index(pd.Index(table["name"].astype(str), name=None)).drop(columns="name")
    out = AnnData(
        X=values.to_numpy(dtype=np.float32, copy=True), obs=adata.obs.copy(), var=var.loc[values.columns],
        layers={"active": adata.obsm[active].copy()},
    )  # fmt: skip
    for name, part in adata.obsm.items():
        if name not in (keys.auc, keys.auc_region, keys.active_region):  # scanpy looks for the bits of `grn_cells`
            out.obsm[name] = part.copy()
    for name, part in adata.obsp.items():
        out.obsp[name] = part.copy()
    for name, part in adata.uns.items():
        if name == keys.cells or name.endswith("_colors"):
            out.uns[name] = deepcopy(part)
    return out


def cell_graph(
    data: Any, cell: str, *, as_: Literal["frame", "networkx", "pyg"] = "frame", key: str = "grn", rna: str = "rna"
) -> Any:
    """Read one cell's gene graph: the eRegulons that are on in the cell, with the links that hold in its type.

    Parameters
    ----------
    data
        AnnData or MuData.
    cell
        Barcode.
    as_
        `"frame"`: table of TF -> gene links, one row per eRegulon and gene; `"networkx"`: `DiGraph` with the strongest
        link of each pair; `"pyg"`: `torch_geometric.data.Data` on all genes of the data with `edge_index` (2 x edges),
        `edge_weight`, `edge_sign`; links of genes that the data does not hold are left out.
    key
        Base name of the network.
    rna
        Name of the RNA modality.

    Returns
    -------
    The graph.

    Raises
    ------
    KeyError
        There is no network, or the cell is unknown.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> list(grs.get.cell_graph(mdata, mdata.obs_names[0]).columns)
    ['tf', 'gene', 'weight', 'sign', 'n_regions', 'eregulon']
    """
    need_one_of(as_, ("frame", "networkx", "pyg"), name="as_")
    table = merge_regions(grn(data, cell=cell, key=key, rna=rna))
    if as_ == "networkx":
        return digraph(table)
    if as_ == "pyg":
        import torch
        from torch_geometric.data import Data

        genes = rna_of(data, rna).var_names
        index = np.stack([genes.get_indexer(table["tf"]), genes.get_indexer(table["gene"])])
        known = (index >= 0).all(axis=0)
        if not known.all():
            logger.info("%d of %d links name a TF or gene that the data does not hold", (~known).sum(), known.size)
            index, table = index[:, known], table[known]
        return Data(
            edge_index=torch.from_numpy(index), num_nodes=genes.size,
            edge_weight=torch.from_numpy(table["weight"].to_numpy(dtype=np.float32)),
            edge_sign=torch.from_numpy(table["sign"].to_numpy(dtype=np.int64)),
        )  # fmt: skip
    return table
