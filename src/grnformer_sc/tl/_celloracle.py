"""CellOracle in `build_grn`: the base network of a prior or of motifs, and a network of every group."""

from __future__ import annotations

import logging

import numpy as np
import scipy.sparse as sp

from .._core.checks import fail
from .._core.rng import generator
from ..grn.embedding import log_normalise, pca_scores
from ..grn.pooling import neighbour_pools, sample_cells
from ..grn.systems.celloracle.base import base_network
from ..grn.systems.celloracle.network import FEWEST_CELLS, group_network, needed_bytes
from ..grn.systems.celloracle.options import CellOracleOptions
from ..grn.systems.groups import GroupNetworks
from ._systems import EvidenceInput, SystemNetwork, need_cells, need_memory

logger = logging.getLogger(__name__)

POOLS, POOLED = 1000, 50  # pools over which regions are correlated, and their cells


def infer_celloracle(given: EvidenceInput, options: CellOracleOptions) -> SystemNetwork:
    """Fit the network of every group with enough cells, and lay out one edge table of them all."""
    read, cells = given.read, given.read.cells
    names = list(read.groups.cat.categories)
    size = np.bincount(cells.codes, minlength=len(names))
    n_few = need_cells("celloracle", size, names, FEWEST_CELLS)
    tfs = cells.genes.get_indexer(read.tfs)
    need_memory("celloracle", needed_bytes(tfs.size, cells.genes.size, options.n_bags), cells.genes.size)
    embedding = pca_scores(cells.counts)[0]
    base = sp.csc_matrix(_base(given, embedding, options))
    logger.info("celloracle: base network of %d links, %d TFs, %d genes", base.nnz, *(int(n) for n in _sizes(base)))
    empty = sp.csr_matrix((cells.genes.size, cells.genes.size), dtype=np.float64)
    weights = [
        group_network(
            cells, code, base, tfs, embedding, options, root=given.root, name=name, n_jobs=given.n_jobs,
        ) if size[code] >= FEWEST_CELLS else empty
        for code, name in enumerate(names)
    ]  # fmt: skip
    networks = GroupNetworks(cells.genes, tuple(names), weights)
    edges, holds = networks.edges(tfs, evidence="prior" if read.evidence.prior is not None else "direct")
    if not len(edges):
        raise fail(
            ValueError, "a network needs at least one link.", f"none of {base.nnz} with p <= {options.max_p:g}.",
            "check that the base network names genes of the data, or raise options={'max_p': ...}.",
        )  # fmt: skip
    return SystemNetwork(edges, holds, networks.to_uns(), {**read.dropped, "groups_with_few_cells": n_few})


def _base(given: EvidenceInput, embedding: np.ndarray, options: CellOracleOptions) -> sp.csr_matrix:
    """Boolean TFs x genes."""
    read, cells = given.read, given.read.cells
    if read.evidence.prior is not None:
        return sp.csr_matrix(read.evidence.prior != 0)
    if read.evidence.motifs is None or read.pairs is None or cells.accessibility is None:
        raise fail(
            ValueError, "method='celloracle' needs a base network: which TFs can act on a gene.",
            "no prior= and no motif hits.",
            "pass prior= (a table of TFs and genes, or a base network of CellOracle), or a MuData with motif hits.",
        )  # fmt: skip
    centres = sample_cells(cells.codes, min(POOLS, cells.codes.size), generator(given.root, "pools"))
    pools = neighbour_pools(embedding, np.zeros_like(cells.codes), centres, min(POOLED, cells.codes.size))
    access = sp.csc_matrix(log_normalise(cells.accessibility.weighted(pools)))
    return base_network(
        read.pairs, sp.csr_matrix(read.evidence.motifs), access, cells.genes.size, promoter=options.promoter,
        coaccess=float(options.coaccess),
    )  # fmt: skip


def _sizes(base: sp.csc_matrix) -> tuple[int, int]:
    return len(np.unique(base.indices)), int((np.diff(base.indptr) > 0).sum())
