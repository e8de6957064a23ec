"""Cell-level results in their slots, shared by `build_grn` and `cell_grn`."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._core.keys import GrnKeys
from .._core.results import Results
from ..grn.overlap import N_NEIGHBORS
from ..grn.score import Activity, CellScores


def cell_results(scores: CellScores, keys: GrnKeys, cells: pd.Index, groups: pd.Series) -> Results:
    """Collect bits, AUC, the graph of cells and the group labels of scored cells."""
    names = scores.network.eregulons["name"].astype(str).to_numpy()
    out = Results()
    out.obs[keys.group] = pd.Categorical(groups.astype(str), categories=list(scores.network.group_names))
    _activity(out, scores.gene, keys.auc, keys.active, cells, names)
    if scores.region is not None:
        _activity(out, scores.region, keys.auc_region, keys.active_region, cells, names)
    if scores.pool_size is not None:
        out.obs[f"{keys.auc_region}_pool"] = scores.pool_size.astype(np.int32)
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
