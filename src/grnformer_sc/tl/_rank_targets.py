"""`tl.rank_targets`: genes whose loss shifts the network of one cell type more than that of another."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

from .._core.checks import fail, listing
from .._core.inputs import copy_of
from .._core.keys import GrnKeys
from .._core.logging import progress, step
from .._core.params import recipe
from .._core.results import Results
from .._core.settings import resolve_jobs
from ..get._read import rna_of
from ..grn.systems.groups import GroupNetworks
from ..grn.systems.scrank.ranking import Action, target_scores
from ._shifted import need_action, networks_of, targets_of

logger = logging.getLogger(__name__)


def rank_targets(
    data: Any,
    group: str,
    reference: str,
    *,
    genes: str | Sequence[str] | None = None,
    action: Action = "antagonist",
    n_hops: int = 2,
    key: str = "grn_pcnet",
    rna: str = "rna",
    key_added: str | None = None,
    n_jobs: int | None = None,
    copy: bool = False,
) -> Any:
    """Rank genes by how much more hitting them shifts one cell type than another (scRank's resistance targets).

    With a resistant cell type as `group` and a sensitive one as `reference`, a high ratio names a gene on which the
    resistant cells rest and the sensitive ones do not: a second target for those that the drug spares.

    Parameters
    ----------
    data
        Cells with networks of groups (`grs.tl.build_grn(adata, method="pcnet", groupby=...)`): AnnData, or MuData.
    group
        Cell type to find targets for, such as resistant cells.
    reference
        Cell type to spare, such as sensitive cells.
    genes
        Candidates; by default all genes that regulate something in both.
    action, n_hops
        As in `grs.tl.rank_cell_types`.
    key
        Base name of the networks.
    rna
        Name of the RNA modality.
    key_added
        Key of the result; by default `"grn_pcnet_rank_targets"`.
    n_jobs
        Threads; `None` means `grs.settings.n_jobs`.
    copy
        Return a copy of `data` instead of writing to it.

    Returns
    -------
    `None`, or the copy. Sets in the RNA AnnData:

    `uns["grn_pcnet_rank_targets"]` : `table` (DataFrame, the highest ratio first: `gene`, `score_group`,
    `score_reference`, `ratio`; infinite where only the group is shifted, NaN where neither is), `params`

    Raises
    ------
    KeyError
        There are no networks of groups, or a gene or group is not in them.
    ValueError
        Both groups are the same, or no gene regulates something in both.

    See Also
    --------
    grnformer_sc.tl.rank_cell_types : cell types by one target.
    grnformer_sc.get.rank_targets : the ranking as a table.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> rna = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)["rna"]
    >>> grs.tl.build_grn(rna, method="pcnet", groupby="cell_type", tfs="is_tf")
    >>> grs.tl.rank_targets(rna, "type1", "type2", genes=["TF01", "TF05"])
    >>> len(grs.get.rank_targets(rna))
    2
    """
    need_action(action, n_hops)
    jobs = resolve_jobs(n_jobs)
    if copy:
        data = copy_of(data)
    adata, networks = rna_of(data, rna), networks_of(data, key, rna)
    pair = _pair(networks, group, reference)
    targets = _candidates(networks, pair, genes)
    with step(logger, "rank_targets") as facts:
        table = _ratios(networks, pair, targets, action, n_hops, jobs)
        facts.append(f"{len(table)} genes, highest ratio {table['gene'].iloc[0]}")
    params = {
        "group": group, "reference": reference, "action": action, "n_hops": n_hops, "n_genes": len(table), "network": key,
    }  # fmt: skip
    record = recipe("rank_targets", params, inputs={"network": key}, dropped={})
    slot = GrnKeys(key).rank_targets if key_added is None else key_added
    Results(uns={slot: {"table": table, "params": record}}).write(adata)
    return data if copy else None


def _pair(networks: GroupNetworks, group: str, reference: str) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Networks of two different groups, each with links."""
    known = [name for name, weights in zip(networks.names, networks.weights, strict=True) if weights.nnz]
    unknown = [name for name in (group, reference) if name not in known]
    if unknown:
        raise fail(
            KeyError, "group and reference must be groups with a network.", f"unknown {listing(unknown)}.",
            f"choose among {listing(known, 30)}.",
        )  # fmt: skip
    if group == reference:
        raise fail(ValueError, "a group cannot be its own reference.", f"{group!r} twice.", "name two groups.")
    return networks.weights[networks.names.index(group)], networks.weights[networks.names.index(reference)]


def _candidates(
    networks: GroupNetworks, pair: tuple[sp.csr_matrix, sp.csr_matrix], genes: str | Sequence[str] | None
) -> np.ndarray:
    if genes is not None:
        return targets_of(networks, genes)
    found = np.flatnonzero(np.logical_and(*(np.diff(weights.indptr) > 0 for weights in pair)))
    if not found.size:
        raise fail(
            ValueError, "some gene must regulate others in both groups.", "none.",
            "name candidates with genes=, or keep more links: build_grn(..., options={'quantile': ...}).",
        )  # fmt: skip
    return found


def _ratios(
    networks: GroupNetworks, pair: tuple[sp.csr_matrix, sp.csr_matrix], targets: np.ndarray, action: Action, n_hops: int,
    n_jobs: int,
) -> pd.DataFrame:  # fmt: skip
    def of(target: int) -> tuple[float, float]:
        one, other = (target_scores(weights, np.array([target]), action, n_hops)[0] for weights in pair)
        return one, other

    with threadpool_limits(1):
        jobs = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator")
        scores = jobs(delayed(of)(int(target)) for target in targets)
        found = np.array(list(progress(scores, title="targets", total=targets.size)))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = found[:, 0] / found[:, 1]
    table = pd.DataFrame(
        {
            "gene": networks.genes[targets].to_numpy(dtype=object), "score_group": found[:, 0],
            "score_reference": found[:, 1], "ratio": ratio,
        }
    )  # fmt: skip
    table = table.sort_values("ratio", ascending=False, kind="stable", ignore_index=True)
    return table.set_index(table.index.astype(str))
