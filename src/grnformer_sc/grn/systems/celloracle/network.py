"""The network of a group: smoothed expression, bagged regressions on the base network, links that are sure and large."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int
from threadpoolctl import threadpool_limits

from ...._core.logging import progress
from ...._core.rng import generator
from ...embedding import log_normalise
from ...pooling import neighbour_pools, sample_cells
from ...score import CellInput
from .bagging import BLOCK_CELLS, BLOCK_GENES, bags, centred_products, ridge_of_gene
from .options import CellOracleOptions

FEWEST_CELLS = 20  # of a group
SHARE = 0.025  # of the cells of a group that expression is averaged over


def group_network(
    cells: CellInput,
    group: int,
    base: sp.csc_matrix,
    tfs: Int[np.ndarray, " tfs"],
    embedding: Float[np.ndarray, "cells comps"],
    options: CellOracleOptions,
    *,
    root: int,
    name: str,
    n_jobs: int,
) -> sp.csr_matrix:
    """Signed coefficients (genes x genes, TF -> gene) of the links of a group that pass the filters.

    `base` is TFs x genes; `tfs` are the places of the TFs among the genes.
    """
    own = np.flatnonzero(cells.codes == group)
    if own.size > options.most_cells:
        own = own[sample_cells(np.zeros(own.size, dtype=np.int64), options.most_cells, generator(root, "cells", name))]
    x = smoothed(cells, own, embedding, options.n_neighbors)
    weights = bags(own.size, options.n_bags, generator(root, "bags", name))
    n_genes = cells.genes.size

    def load(columns: np.ndarray) -> Iterator[np.ndarray]:
        part = x[1][:, columns]
        for first in range(0, own.size, BLOCK_CELLS):
            yield np.asarray((x[0][first : first + BLOCK_CELLS] @ part).toarray(), dtype=np.float64)

    found: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
    with threadpool_limits(1):
        gram = centred_products(load, weights, tfs, tfs, n_jobs=n_jobs)
        targets = np.flatnonzero(np.diff(base.indptr))
        blocks = [targets[a : a + BLOCK_GENES] for a in range(0, targets.size, BLOCK_GENES)]
        for block in progress(blocks, title=f"celloracle: {name}", total=len(blocks)):
            cross = centred_products(load, weights, tfs, block, n_jobs=n_jobs)
            for place, gene in enumerate(block):
                rows = base.indices[base.indptr[gene] : base.indptr[gene + 1]]
                rows = np.sort(rows[tfs[rows] != gene])
                if rows.size:
                    rng = generator(root, "features", name, cells.genes[gene])
                    coefficient, p = ridge_of_gene(
                        gram[:, rows[:, None], rows], cross[:, rows, place], float(options.alpha),
                        float(options.max_features), rng,
                    )  # fmt: skip
                    found.append((tfs[rows], np.full(rows.size, gene), coefficient, p))
    return _kept(found, n_genes, options)


def smoothed(
    cells: CellInput, own: np.ndarray, embedding: np.ndarray, n_neighbors: int | None
) -> tuple[sp.csr_matrix, sp.csc_matrix]:
    """Weights (cells x cells) and log-normalised expression, whose product is the smoothed expression of a group."""
    expression = sp.csc_matrix(log_normalise(cells.counts.take(own), size=cells.depth[own])).astype(np.float64)
    k = max(1, round(SHARE * own.size)) if n_neighbors is None else min(n_neighbors, own.size)
    pools = neighbour_pools(embedding[own], np.zeros(own.size, dtype=np.int64), np.arange(own.size), k)
    return sp.csr_matrix(pools.astype(np.float64) / k), expression


def _kept(
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]], n_genes: int, options: CellOracleOptions
) -> sp.csr_matrix:
    if not found:
        return sp.csr_matrix((n_genes, n_genes), dtype=np.float64)
    tf, gene, coefficient, p = (np.concatenate(part) for part in zip(*found, strict=True))
    sure = np.flatnonzero((p <= options.max_p) & (coefficient != 0))
    largest = sure[np.argsort(-np.abs(coefficient[sure]), kind="stable")[: options.top]]
    return sp.csr_matrix((coefficient[largest], (tf[largest], gene[largest])), (n_genes, n_genes))


def needed_bytes(n_tfs: int, n_genes: int, n_bags: int) -> float:
    """Memory of the products of the bags."""
    return 8.0 * n_bags * (n_tfs + 1) * (n_tfs + 2 * min(n_genes, BLOCK_GENES) + 1)
