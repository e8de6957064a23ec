"""Networks of all cells and of resampled cells: rows of every batch, then the pure core."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from .._core.rng import generator, seed_for, seeds_for
from ..grn.embedding import log_normalise, pca_scores
from ..grn.infer import Inferred
from ..grn.layout import edge_frequency
from ..grn.links import Evidence, Pools, Work
from ..grn.pooling import RowPlan, cells_by_seed, cells_of_pool, neighbour_pools
from ..grn.score import CellInput
from ._read import Read

logger = logging.getLogger(__name__)

RESAMPLED = 0.9  # share of the cells of a further run

Infer = Callable[[Sequence[Pools], Evidence, Work], Inferred]


def infer_runs(read: Read, work: Work, n_runs: int, *, infer: Infer) -> Inferred:
    """Infer the network of all cells, and the share of further runs on 90 % of the cells that find each edge again.

    Every run draws its own cells and seeds; the components that neighbours are found in are those of all cells.
    """
    n_cells = read.cells.counts.shape[0]
    pooled_cells = read.plan.n_neighbours > 1
    embedding = pca_scores(read.cells.counts)[0] if pooled_cells else np.empty((n_cells, 0))
    found = infer(pools_of(read, embedding, np.ones(n_cells, dtype=bool), work.root), read.evidence, work)
    once = replace(work.settings, n_perm=0, max_fdr=1.0)
    others = []
    for number in range(1, n_runs):
        keep = np.zeros(n_cells, dtype=bool)
        keep[generator(work.root, "run", number).permutation(n_cells)[: round(RESAMPLED * n_cells)]] = True
        again = replace(work, settings=once, root=seed_for(work.root, "run", number))
        others.append(infer(pools_of(read, embedding, keep, again.root), read.evidence, again).edges)
    frequency = edge_frequency(found.edges, others).astype(np.float32)
    return replace(found, edges=found.edges.assign(frequency=frequency))


def pools_of(read: Read, embedding: np.ndarray, keep: np.ndarray, root: int) -> list[Pools]:
    """Rows of the regressions from the kept cells, batch by batch."""
    made, seeds = [], seeds_for(root, "rows", read.rna.obs_names)
    for batch in np.unique(read.batches):
        rows = np.flatnonzero(keep & (read.batches == batch))
        share, plan = rows.size / keep.size, read.plan
        size = 1 if plan.n_neighbours == 1 else cells_of_pool(rows.size, read.depth)
        own = RowPlan(max(1, round(plan.n_pools * share)), size, round(plan.n_single * share))
        pool = "cells" if size == 1 else f"pools of {size} cells"
        for_tfs = f"{own.n_single} cells" if own.n_single else "the same"
        logger.info("build_grn: region -> gene links from %d %s, TF -> gene links from %s", own.n_pools, pool, for_tfs)
        made.append(pooled(read, read.cells, embedding, rows, own, seeds))
    return made


def pooled(
    read: Read, cells: CellInput, embedding: np.ndarray, rows: np.ndarray, plan: RowPlan, seeds: np.ndarray
) -> Pools:
    """Sum and normalise the cells of every row, which `seeds` of the cells draw; only rows x genes are ever dense."""
    centres = cells_by_seed(cells.codes[rows], plan.n_pools, seeds[rows])
    weights = neighbour_pools(embedding[rows], cells.codes[rows], centres, plan.n_neighbours)
    weights = sp.csr_matrix((weights.data, rows[weights.indices], weights.indptr), (centres.size, cells.codes.size))
    pools = Pools(
        expression=log_normalise(cells.counts.weighted(weights)).toarray(), codes=cells.codes[rows[centres]],
        genes=cells.genes, tfs=cells.genes.get_indexer(read.tfs),
    )  # fmt: skip
    if plan.n_single:
        single = rows[cells_by_seed(cells.codes[rows], plan.n_single, seeds[rows])]
        x = log_normalise(cells.counts.take(single)).toarray()
        pools = replace(pools, single=x, single_codes=cells.codes[single])
    if cells.accessibility is None:
        return pools
    access = sp.csc_matrix(log_normalise(cells.accessibility.weighted(weights)))
    access.sort_indices()
    return replace(pools, accessibility=access, regions=cells.regions, pairs=read.pairs)
