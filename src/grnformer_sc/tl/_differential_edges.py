"""`tl.differential_edges`: links of the network that differ in strength between two conditions."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._core.checks import fail, need_key
from .._core.inputs import copy_of, open_rows, resolve, table_of
from .._core.keys import GrnKeys
from .._core.logging import step
from .._core.params import recipe
from .._core.results import Results
from ..grn.contrasts import REST
from ..grn.edge_contrasts import Cells, edge_table
from ..grn.network import Network
from ._contrasts import chosen_levels, log_contrasts, read_labels

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

SHOWN_FDR = 0.05  # in the log


def differential_edges(
    data: Any,
    groupby: str,
    *,
    group: str,
    reference: str,
    sample_key: str | None = None,
    within: str | None = None,
    layer: str | None = None,
    min_cells: int = 30,
    moderate: bool = True,
    key: str = "grn",
    key_added: str | None = None,
    rna: str = "rna",
    atac: str = "atac",
    copy: bool = False,
) -> Any:
    """Find the TF -> gene links that are stronger or weaker in one condition than in another, tested between samples.

    The strength of a link in a sample is how closely the target follows the TF's activity from cell to cell: the partial
    correlation, given the depth of the cells, of its log-normalised expression with the AUC of the eRegulon, from which the
    target's own part is taken out; as Fisher's z. Strengths are compared between samples by the moderated t of
    `tl.rank_eregulons`. The mRNA of the TF itself is no better measure of its activity: it is sparse, and a TF can act
    without being expressed anew. The cells are read once, in blocks, from memory or an open file.

    Parameters
    ----------
    data
        AnnData or MuData with a network and its bits, as `tl.build_grn` and `tl.cell_grn` write them.
    groupby
        Column of obs with the conditions.
    group, reference
        The two values of `groupby` to compare.
    sample_key
        Column of obs with the samples that are replicates; without it there are differences and no p-values. The same name
        on both sides means the same donor.
    within
        Column of obs, such as cell types, in each of which links are compared. Without it a link is also stronger where
        the cell types that share TF and target are more frequent.
    layer
        Layer of the RNA with raw counts; `None` is `.X`.
    min_cells
        Cells that a sample needs on a side to count there.
    moderate
        Draw variances towards their prior; `False` is the ordinary t, which needs more samples.
    key
        Base name of the network.
    key_added
        Key of the result; by default `"grn_differential_edges"`.
    rna, atac
        Names of the modalities.
    copy
        Return a copy of `data` instead of writing to it.

    Returns
    -------
    `None`, or the copy. Sets in the RNA AnnData:

    `uns["grn_differential_edges"]` : `table`, `contrasts` (DataFrames) and `params`

    `table` has one row per cell type and link, best first: `within` ("" without), `tf`, `gene`, `eregulon`,
    `strength_group`, `strength_reference` and `difference` (Fisher's z, means over samples), `ci_low`, `ci_high` (95 %),
    `statistic`, `p`, `fdr` (Benjamini-Hochberg within a cell type), `n_samples_group`, `n_samples_reference` (with a
    strength), `on_group`, `on_reference` (share of cells, 0 to 1, in which the link is on, means over samples). A sample
    has a strength where at least five of its cells on that side express the target. For `contrasts` see
    `tl.rank_eregulons`.

    Raises
    ------
    KeyError
        There is no network, no bits, or a column, group or layer is unknown.
    ValueError
        Two of the columns are the same, no sample has enough cells, none of the network's genes is in the data, a cell is
        empty, or values are no counts.

    References
    ----------
    Smyth, *Statistical Applications in Genetics and Molecular Biology* 2004.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> rna = mdata["rna"]
    >>> rna.obs["drug"], rna.obs["donor"] = ["no", "yes"] * 100, [f"donor{i % 6}" for i in range(200)]
    >>> grs.tl.differential_edges(rna, "drug", group="yes", reference="no", sample_key="donor")
    >>> grs.get.params(rna, "grn_differential_edges")["group"]
    'yes'
    """
    keys = GrnKeys(key)
    data = copy_of(data) if copy else data
    adata, atac_data = resolve(data, rna, atac)
    network = _read_network(adata, keys)
    labels = read_labels(
        data, adata, atac_data, groupby=groupby, sample_key=sample_key, within=within, min_cells=min_cells
    )
    _need_named(group, reference)
    chosen_levels(labels, groupby, [group], reference)
    _need_genes(adata.var_names, network)
    cells = _read_cells(adata, layer, network, keys)
    with step(logger, "differential_edges") as facts:
        table, contrasts = edge_table(
            cells, adata.var_names, network, labels, str(group), str(reference), min_cells=min_cells, moderate=moderate
        )
        tested = table["p"].notna()
        facts.append(f"{tested.sum()} of {len(table)} links tested, {group} against {reference}")
        facts.append(f"{int((table['fdr'] <= SHOWN_FDR).sum())} differences with fdr <= {SHOWN_FDR}")
    log_contrasts("differential_edges", contrasts)
    if within is None and len(network.group_names) > 1:
        logger.warning(
            "differential_edges: within=None mixes cell types; a change of their shares can look like rewiring"
        )
    params = {
        "groupby": groupby, "group": group, "reference": reference, "sample_key": sample_key, "within": within,
        "min_cells": min_cells, "moderate": moderate,
    }  # fmt: skip
    record = recipe(
        "differential_edges", params, inputs={"rna": layer or "X", "network": keys.uns},
        dropped={"links": int((~tested).sum()), "samples": int(contrasts["n_samples_left_out"].sum())},
    )  # fmt: skip
    key_added = keys.differential_edges if key_added is None else key_added
    Results(uns={key_added: {"table": table, "contrasts": contrasts, "params": record}}).write(adata)
    return data if copy else None


def _read_network(adata: AnnData, keys: GrnKeys) -> Network:
    need_key(adata.uns, keys.uns, where="adata.uns", fix="run grs.tl.build_grn(mdata, groupby=...) first.")
    for slot, key in (("obsm", keys.active), ("obs", keys.group)):
        need_key(
            getattr(adata, slot), key, where=f"adata.{slot}", fix="run grs.tl.cell_grn to give the cells their bits."
        )
    return Network.from_uns(adata.uns[keys.uns])


def _read_cells(adata: AnnData, layer: str | None, network: Network, keys: GrnKeys) -> Cells:
    codes = pd.Index(network.group_names).get_indexer(table_of(adata.obs)[keys.group].astype(str))
    return Cells(
        open_rows(adata, layer, what="RNA counts"), adata.obs_names, sp.csr_matrix(adata.obsm[keys.active]),
        codes.astype(np.int64),
    )  # fmt: skip


def _need_named(group: str, reference: str) -> None:
    if REST in (group, reference):
        raise fail(
            ValueError, "group and reference must be two values.", f"{REST!r}.",
            "name both conditions; a mixture of others has no network of its own.",
        )  # fmt: skip


def _need_genes(genes: pd.Index, network: Network) -> None:
    found = genes.isin(network.edges["gene"].astype(str)).sum()
    if not found:
        raise fail(
            ValueError, "the data must hold genes of the network.", f"none of {genes.size}.",
            "use the same gene names (grs.pp.harmonize_genes).",
        )  # fmt: skip
