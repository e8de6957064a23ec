"""Networks and cell-level results in their slots, shared by the tools that make or score networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._core.keys import GrnKeys
from .._core.results import Results
from ..grn.layout import weight_matrix
from ..grn.network import Network
from ..grn.overlap import N_NEIGHBORS
from ..grn.score import Activity, CellScores, modality_agreement

if TYPE_CHECKING:
    from anndata import AnnData


def network_results(
    scores: CellScores,
    keys: GrnKeys,
    rna: AnnData,
    groups: pd.Series,
    record: dict[str, Any],
    *,
    fdr: Mapping[str, float] | None = None,
) -> Results:
    """Collect all slots of a new network; `fdr` holds the rates of its eRegulons by name."""
    out = cell_results(scores, keys, rna.obs_names, groups)
    out.stale = keys.of_cells
    eregulons = scores.network.eregulons
    if scores.region is not None:
        eregulons = eregulons.assign(agreement=modality_agreement(scores))
    if fdr:
        eregulons = eregulons.assign(fdr=eregulons["name"].astype(str).map(fdr).astype(np.float32))
    out.uns[keys.uns] = {**scores.network.to_uns(), "eregulons": eregulons, "params": record}
    out.varp[keys.varp] = weight_matrix(scores.network.edges, rna.var_names)
    return out


def link_results(
    network: Network, keys: GrnKeys, rna: AnnData, groups: pd.Series, record: dict[str, Any], stored: Mapping[str, Any]
) -> Results:
    """Collect the slots of a network that scores no cells, and what its system has `stored` beside it."""
    out = Results(stale=keys.of_cells)
    out.obs[keys.group] = pd.Categorical(groups.astype(str), categories=list(network.group_names))
    out.uns[keys.uns] = {**network.to_uns(), "params": record, **stored}
    out.varp[keys.varp] = weight_matrix(network.edges, rna.var_names)
    return out


def cell_results(scores: CellScores, keys: GrnKeys, cells: pd.Index, groups: pd.Series) -> Results:
    """Collect bits, AUC, the graph of cells and the group labels of scored cells."""
    names = scores.network.eregulons["name"].astype(str).to_numpy()
    out = Results(stale=keys.of_regions)
    out.obs[keys.group] = pd.Categorical(groups.astype(str), categories=list(scores.network.group_names))
    _activity(out, scores.gene, keys.auc, keys.active, cells, names)
    if scores.region is not None:
        _activity(out, scores.region, keys.auc_region, keys.active_region, cells, names)
    if scores.pool_size is not None:
        out.obs[keys.pool] = scores.pool_size.astype(np.int32)
    out.obsp[keys.connectivities] = scores.graph.connectivities
    out.obsp[keys.distances] = scores.graph.distances
    out.uns[keys.cells] = {
        "connectivities_key": keys.connectivities,
        "distances_key": keys.distances,
        "params": {
            "method": "umap",
            "n_neighbors": N_NEIGHBORS,
            "metric": "jaccard",
            "use_rep": keys.active,
            "random_state": 0,
        },
        "n_cells_without_edges": scores.graph.n_empty,
    }
    return out


def _activity(out: Results, activity: Activity, auc: str, active: str, cells: pd.Index, names: np.ndarray) -> None:
    out.obsm[auc] = pd.DataFrame(activity.auc, index=cells, columns=names)
    out.obsm[active] = sp.csr_matrix(activity.active)
