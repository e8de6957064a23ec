"""scRank's networks in `build_grn`: one for every group with enough cells."""

from __future__ import annotations

import logging

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from .._core.checks import fail
from .._core.logging import progress
from ..grn.systems.groups import GroupNetworks
from ..grn.systems.scrank.networks import FEWEST_CELLS, group_network, needed_bytes
from ..grn.systems.scrank.options import PcnetOptions
from ..priors import tf_names
from ._systems import SystemInput, SystemNetwork, need_cells, need_memory

logger = logging.getLogger(__name__)


def infer_pcnet(given: SystemInput, options: PcnetOptions) -> SystemNetwork:
    """Make the network of every group, and one edge table of them all."""
    names, genes, codes = list(given.groups.cat.categories), given.cells.genes, given.cells.codes
    need_memory("pcnet", needed_bytes(genes.size, given.n_jobs), genes.size)
    size = np.bincount(codes, minlength=len(names))
    n_few = need_cells("pcnet", size, names, FEWEST_CELLS)
    empty = sp.csr_matrix((genes.size, genes.size), dtype=np.float64)
    weights = []
    with threadpool_limits(1):
        for code, name in enumerate(progress(names, title="pcnet: groups", total=len(names))):
            cells = np.flatnonzero(codes == code)
            if cells.size < FEWEST_CELLS:
                weights.append(empty)
                continue
            weights.append(
                group_network(given.cells.counts, cells, options, root=given.root, name=name, n_jobs=given.n_jobs)
            )
    networks = GroupNetworks(genes, tuple(names), weights)
    regulators = tf_names(genes) if given.regulators is None else given.regulators
    edges, holds = networks.edges(genes.get_indexer(regulators))
    if not len(edges):
        raise fail(
            ValueError, "a network needs at least one link.", f"none of {len(regulators)} regulators.",
            "name other regulators with tfs=, or keep more links with options={'quantile': ...}.",
        )  # fmt: skip
    return SystemNetwork(edges, holds, networks.to_uns(), {"groups_with_few_cells": n_few})
