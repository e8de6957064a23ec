"""From a network (tables) to the shared graph of the model (tensors)."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import torch

from .._core.checks import fail, listing
from .._core.tables import places_in
from ..grn.coexpression import Partners
from ..grn.network import Network
from ..nn.graph import MIN_WEIGHT, StructureGraph

logger = logging.getLogger(__name__)

MIN_USABLE = 0.05  # share of the links whose genes the data must hold
FEW_LOST = 0.5  # beyond this share the loss is a warning


def structure_graph(network: Network, genes: pd.Index, partners: Partners, *, weighted: bool = False) -> StructureGraph:
    """Translate the links that hold in each group into rows (group, eRegulon) of gene numbers.

    Links whose TF or target is not among the genes are left out and counted in the log. Co-expressed pairs that are
    links of their group are left out, so that edge perturbation brings in new pairs only. With `weighted` a link weighs its
    best score over the mean of its row.
    """
    n_groups, n_genes = len(network.group_names), genes.size
    tf_of = genes.get_indexer(network.eregulons["tf"].astype(str))
    target = places_in(genes, network.edges["gene"])
    eregulon = network.eregulon_of_edge
    lost = (target < 0) | (tf_of[eregulon] < 0)
    if lost.any():
        level = logging.WARNING if lost.mean() > FEW_LOST else logging.INFO
        logger.log(level, "%d of %d links name a TF or gene that the data does not hold", lost.sum(), lost.size)
    holds = network.edge_groups.tocoo()
    keep = ~lost[holds.row]
    edge, group = holds.row[keep], holds.col[keep].astype(np.int64)
    if edge.size == 0 or (~lost).mean() < MIN_USABLE:
        raise fail(
            ValueError, f"at least {MIN_USABLE:.0%} of the network's links must be among the genes of the data.",
            f"{(~lost).sum()} of {lost.size}; genes like {listing(genes, 3)}, and "
            f"{listing(pd.unique(network.eregulons['tf']), 3)} in the network.",
            "check the gene names, build the network with less strict settings, or pass use_grn=False.",
        )  # fmt: skip
    n_eregulons = len(network.eregulons)
    code = (group * n_eregulons + eregulon[edge]) * n_genes + target[edge]
    links, link_of_edge = np.unique(code, return_inverse=True)
    row_of_link, targets = np.divmod(links, n_genes)
    rows, first = np.unique(row_of_link, return_index=True)
    row_group, row_eregulon = np.divmod(rows, n_eregulons)
    sign = network.eregulons["sign"].to_numpy(dtype=np.int64)
    fresh = ~np.isin(
        (partners.group * n_genes + partners.tf) * n_genes + partners.gene,
        (row_of_link // n_eregulons * n_genes + tf_of[row_of_link % n_eregulons]) * n_genes + targets,
    )
    return StructureGraph(
        n_genes,
        n_groups,
        row_group=_tensor(row_group),
        row_eregulon=_tensor(row_eregulon),
        row_tf=_tensor(tf_of[row_eregulon]),
        row_sign=_tensor(sign[row_eregulon]),
        indptr=_tensor(np.append(first, links.size)),
        targets=_tensor(targets),
        weight=_weights(network.edges["score"].to_numpy()[edge], link_of_edge, first) if weighted else None,
        partner_indptr=_tensor(np.searchsorted(partners.group[fresh], np.arange(n_groups + 1))),
        partner_tf=_tensor(partners.tf[fresh]),
        partner_gene=_tensor(partners.gene[fresh]),
        partner_r=torch.from_numpy(np.ascontiguousarray(partners.r[fresh])),
    )


def _weights(score: np.ndarray, link_of_edge: np.ndarray, first: np.ndarray) -> torch.Tensor:
    """Best score of every link over the mean of its row; a row without scores weighs its links alike."""
    best = np.zeros(int(link_of_edge.max()) + 1)
    np.maximum.at(best, link_of_edge, np.nan_to_num(score.astype(np.float64), nan=0.0))
    length = np.diff(np.append(first, best.size))
    mean = np.repeat(np.add.reduceat(best, first) / length, length)
    weight = np.divide(best, mean, out=np.ones_like(best), where=mean > 0)
    return torch.from_numpy(np.maximum(weight, MIN_WEIGHT).astype(np.float32))


def _tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.int64))
