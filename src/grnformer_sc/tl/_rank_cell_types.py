"""`tl.rank_cell_types`: in which cell types hitting a target shifts the network most."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from .._core.checks import fail
from .._core.inputs import copy_of
from .._core.keys import GrnKeys
from .._core.logging import step
from .._core.params import recipe
from .._core.results import Results
from ..get._read import rna_of
from ..grn.systems.groups import GroupNetworks
from ..grn.systems.scrank.ranking import Action, target_scores
from ._shifted import need_action, networks_of, targets_of

logger = logging.getLogger(__name__)


def rank_cell_types(
    data: Any,
    target: str | Sequence[str],
    *,
    action: Action = "antagonist",
    n_hops: int = 2,
    key: str = "grn_pcnet",
    rna: str = "rna",
    key_added: str | None = None,
    copy: bool = False,
) -> Any:
    """Rank cell types by how far a drug that hits a target shifts their networks (scRank, Li et al. 2024).

    In the network of every cell type the target loses its links, or gets strong ones; both networks are laid into one space,
    and the distance of every gene from itself is its shift. The score adds up the shifts of the target and of the genes
    that it regulates. A score is a matter of the inferred network alone: no drug was measured.

    Parameters
    ----------
    data
        Cells with networks of groups (`grs.tl.build_grn(adata, method="pcnet", groupby=...)`): AnnData, or MuData.
    target
        Gene or genes that the drug hits, all at once; their scores are added.
    action
        `"antagonist"`: the target regulates nothing any more. `"agonist"`: what it activates it activates fully.
    n_hops
        1: the shifts of all genes. 2: of the target and its targets, by their links. 3: also of the targets of these.
    key
        Base name of the networks.
    rna
        Name of the RNA modality.
    key_added
        Key of the result; by default `"grn_pcnet_rank_cell_types"`.
    copy
        Return a copy of `data` instead of writing to it.

    Returns
    -------
    `None`, or the copy. Sets in the RNA AnnData:

    `uns["grn_pcnet_rank_cell_types"]` : `table` (DataFrame, the highest score first: `group`, `score`, `place`, `n_links`
    of the target), `group_names` (the columns of `varm`), `params`
    `varm["grn_pcnet_rank_cell_types"]` : float64 genes x groups, shift of every gene (NaN outside the networks)

    Raises
    ------
    KeyError
        There are no networks of groups, or a target is not in them.
    ValueError
        The action or the number of hops is unknown, or the target has no link in any cell type.

    See Also
    --------
    grnformer_sc.tl.rank_targets : targets that matter more in one cell type than in another.
    grnformer_sc.get.rank_cell_types : the ranking as a table.
    grnformer_sc.pl.rank_cell_types : the figure.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> rna = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)["rna"]
    >>> grs.tl.build_grn(rna, method="pcnet", groupby="cell_type", tfs="is_tf")
    >>> grs.tl.rank_cell_types(rna, "TF05")
    >>> grs.get.rank_cell_types(rna)["place"].tolist()
    [1, 2]
    """
    need_action(action, n_hops)
    if copy:
        data = copy_of(data)
    adata, networks = rna_of(data, rna), networks_of(data, key, rna)
    targets = targets_of(networks, target)
    with step(logger, "rank_cell_types") as facts:
        table, shift = _scores(networks, targets, action, n_hops)
        facts.append(f"{len(table)} groups, highest score in {table['group'].iloc[0]}")
    place = networks.genes.get_indexer(adata.var_names)
    wide = np.full((adata.n_vars, len(table)), np.nan)
    wide[place >= 0] = shift[place[place >= 0]]
    params = {"target": list(networks.genes[targets]), "action": action, "n_hops": n_hops, "network": key}
    lost = len(networks.names) - len(table)
    record = recipe("rank_cell_types", params, inputs={"network": key}, dropped={"groups_without_network": lost})
    slot = GrnKeys(key).rank_cell_types if key_added is None else key_added
    names = np.asarray(table["group"].cat.categories, dtype=object)
    out = Results(varm={slot: wide}, uns={slot: {"table": table, "group_names": names, "params": record}})
    out.write(adata)
    return data if copy else None


def _scores(
    networks: GroupNetworks, targets: np.ndarray, action: Action, n_hops: int
) -> tuple[pd.DataFrame, np.ndarray]:
    """Table of the groups that have a network, best first, and shifts (genes x groups, in the order of the names)."""
    rows, shifts = [], []
    with threadpool_limits(1):
        for name, weights in zip(networks.names, networks.weights, strict=True):
            if weights.nnz:
                score, shift = target_scores(weights, targets, action, n_hops)
                rows.append((name, score, int(np.diff(weights.indptr)[targets].sum())))
                shifts.append(shift)
    table = pd.DataFrame(rows, columns=["group", "score", "n_links"])
    if not table["n_links"].any():
        raise fail(
            ValueError, "a target must have a link in some cell type, or nothing shifts.",
            f"none of {list(networks.genes[targets])} in {len(table)} groups.",
            "choose another target, or keep more links: build_grn(..., options={'quantile': ...}).",
        )  # fmt: skip
    table["group"] = pd.Categorical(table["group"], categories=list(table["group"]))
    table = table.sort_values("score", ascending=False, kind="stable", ignore_index=True)
    table.insert(2, "place", np.arange(1, len(table) + 1))
    return table.set_index(table.index.astype(str)), np.stack(shifts, axis=1)
