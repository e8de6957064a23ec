"""What `build_grn` reads, checked and in name order, and its metacells."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._core.logging import step
from ..grn.cost import Sizes
from ..grn.embedding import log_normalise, pca_scores
from ..grn.infer import Evidence, InferSettings, Pools
from ..grn.metacells import assign_metacells, median_depth, metacell_count, pool
from ..grn.score import CellInput
from ..pp._link_regions import region_pairs
from ._inputs import ordered_cells

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Read:
    """Checked input in name order: genes by name, regions by coordinate."""

    rna: AnnData
    cells: CellInput
    groups: pd.Series
    tfs: pd.Index
    evidence: Evidence
    pairs: pd.DataFrame | None
    dropped: dict[str, int]

    @property
    def n_metacells(self) -> int:
        """Number of metacells that the regressions are done on."""
        cells = self.cells
        return metacell_count(cells.counts.shape[0], median_depth(cells.depth, cells.fragments))

    @property
    def sizes(self) -> Sizes:
        """Numbers that decide how long the steps take and how much they hold."""
        cells = self.cells
        access = cells.accessibility
        return Sizes(
            n_cells=cells.counts.shape[0],
            n_genes=cells.genes.size,
            n_regions=0 if access is None else access.shape[1],
            rna_values=cells.n_values[0],
            atac_values=cells.n_values[1],
            n_pairs=0 if self.pairs is None else len(self.pairs),
            n_metacells=self.n_metacells,
            n_tfs=self.tfs.size,
        )


def gather(
    rna: AnnData,
    atac: AnnData | None,
    groups: pd.Series,
    knowledge: tuple[pd.Index, Evidence, dict[str, int]],
    *,
    layer: str | None,
    atac_layer: str | None,
    annotation: str | Path | pd.DataFrame | None,
    settings: InferSettings,
) -> Read:
    """Bring counts, evidence and candidate pairs into name order."""
    names, evidence, dropped = knowledge
    codes = groups.cat.codes.to_numpy().astype(np.int64)
    cells, by_name, by_place = ordered_cells(rna, atac, codes, layer=layer, atac_layer=atac_layer)
    evidence = Evidence(
        motifs=None if evidence.motifs is None else evidence.motifs[by_place],
        prior=None if evidence.prior is None else evidence.prior[:, by_name],
    )
    if atac is None:
        return Read(rna, cells, groups, names, evidence, None, dropped)
    with step(logger, "build_grn: search space") as facts:
        pairs, far = region_pairs(
            rna, atac, annotation, window=settings.window, decay=settings.decay, anchor=settings.anchor
        )
        facts.append(f"{len(pairs)} region-gene pairs")
    new_gene, new_region = np.argsort(by_name), np.argsort(by_place)
    pairs = pairs.assign(gene=new_gene[pairs["gene"]], region=new_region[pairs["region"]])
    pairs = pairs.sort_values(["gene", "region"], ignore_index=True)
    return Read(rna, cells, groups, names, evidence, pairs, {**dropped, **far})


def pooled(read: Read, cells: CellInput, n_metacells: int) -> Pools:
    """Sum the cells of metacells and normalise; the only dense matrix is metacells x genes."""
    assigned = assign_metacells(pca_scores(cells.counts)[0], cells.codes, n_metacells=n_metacells)
    logger.info("metacells: %d cells -> %d", assigned.size, assigned.max() + 1)
    expression = log_normalise(pool(cells.counts, assigned)).toarray()
    tfs = cells.genes.get_indexer(read.tfs)
    if cells.accessibility is None:
        return Pools(expression, cells.genes, tfs)
    access = sp.csc_matrix(log_normalise(pool(cells.accessibility, assigned)))
    access.sort_indices()
    return Pools(expression, cells.genes, tfs, access, cells.regions, read.pairs)
