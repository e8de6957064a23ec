"""Networks of all cells and of resampled cells: metacells and sampled cells of every batch, then the pure core."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from .._core.rng import generator, seed_for
from ..grn.embedding import log_normalise, pca_scores
from ..grn.infer import Inferred, infer_edges
from ..grn.layout import edge_frequency
from ..grn.links import Pools, Work
from ..grn.metacells import assign_metacells, pool
from ..grn.score import CellInput
from ._read import Read

logger = logging.getLogger(__name__)

RESAMPLED = 0.9  # share of the cells of a further run


def infer_runs(read: Read, work: Work, n_runs: int) -> Inferred:
    """Infer the network of all cells, and the share of further runs on 90 % of the cells that find each edge again.

    Every run makes its own metacells and draws its own seeds; the components that metacells are cut by are those of all
    cells.
    """
    n_cells = read.cells.counts.shape[0]
    embedding = pca_scores(read.cells.counts)[0]
    found = infer_edges(pools_of(read, embedding, np.ones(n_cells, dtype=bool), work.root), read.evidence, work)
    once = replace(work.settings, n_perm=0, max_fdr=1.0)
    others = []
    for number in range(1, n_runs):
        keep = np.zeros(n_cells, dtype=bool)
        keep[generator(work.root, "run", number).permutation(n_cells)[: round(RESAMPLED * n_cells)]] = True
        again = replace(work, settings=once, root=seed_for(work.root, "run", number))
        others.append(infer_edges(pools_of(read, embedding, keep, again.root), read.evidence, again).edges)
    frequency = edge_frequency(found.edges, others).astype(np.float32)
    return replace(found, edges=found.edges.assign(frequency=frequency))


def pools_of(read: Read, embedding: np.ndarray, keep: np.ndarray, root: int) -> list[Pools]:
    """Metacells and sampled cells of the kept cells, batch by batch."""
    n_cells = keep.size
    made = []
    for batch in np.unique(read.batches):
        rows = np.flatnonzero(keep & (read.batches == batch))
        n_metacells, n_single = (max(1, round(n * rows.size / n_cells)) for n in (read.n_metacells, read.n_single))
        single = np.empty(0, dtype=np.int64)
        if read.n_single:
            drawn = generator(root, "single cells", int(batch)).permutation(rows.size)[:n_single]
            single = rows[np.sort(drawn)]
        made.append(pooled(read, read.cells, embedding, rows, n_metacells, single))
    return made


def pooled(
    read: Read, cells: CellInput, embedding: np.ndarray, rows: np.ndarray, n_metacells: int, single: np.ndarray
) -> Pools:
    """Sum the cells of metacells and normalise; the only dense matrices are metacells and sampled cells x genes."""
    assigned = np.full(cells.codes.size, -1, dtype=np.int64)
    assigned[rows] = assign_metacells(embedding[rows], cells.codes[rows], n_metacells=n_metacells)
    n_made = int(assigned.max()) + 1
    logger.info("metacells: %d cells -> %d; %d single cells for TF -> gene links", rows.size, n_made, single.size)
    codes = np.zeros(n_made, dtype=np.int64)
    codes[assigned[rows]] = cells.codes[rows]
    pools = Pools(
        expression=log_normalise(pool(cells.counts, assigned)).toarray(), codes=codes, genes=cells.genes,
        tfs=cells.genes.get_indexer(read.tfs),
    )  # fmt: skip
    if single.size:
        x = log_normalise(cells.counts.take(single)).toarray()
        pools = replace(pools, single=x, single_codes=cells.codes[single])
    if cells.accessibility is None:
        return pools
    access = sp.csc_matrix(log_normalise(pool(cells.accessibility, assigned)))
    access.sort_indices()
    return replace(pools, accessibility=access, regions=cells.regions, pairs=read.pairs)
