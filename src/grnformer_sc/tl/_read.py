"""What `build_grn` reads, checked and in name order."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._core.checks import fail, listing, need_unique
from .._core.inputs import Barcodes, find_group, resolve
from .._core.logging import step
from ..grn.cost import Sizes
from ..grn.links import Evidence
from ..grn.metacells import median_depth
from ..grn.pooling import RowPlan, plan_rows
from ..grn.score import CellInput
from ..grn.settings import InferSettings
from ..pp._link_regions import region_pairs
from ._evidence import read_evidence
from ._inputs import ordered_cells

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

SMALLEST_BATCH = 50  # cells from which links can be scored
FEWEST_CELLS = 10  # pools or metacells may be so few


@dataclass(frozen=True, slots=True)
class Read:
    """Checked input in name order: genes by name, regions by coordinate. `batches` numbers the batch of every cell."""

    rna: AnnData
    cells: CellInput
    groups: pd.Series
    batches: np.ndarray
    tfs: pd.Index
    evidence: Evidence
    pairs: pd.DataFrame | None
    dropped: dict[str, int]

    @property
    def depth(self) -> float:
        """Median counts per cell of the sparser modality."""
        return median_depth(self.cells.depth, self.cells.fragments)

    @property
    def plan(self) -> RowPlan:
        """Rows that links are fitted to."""
        return plan_rows(self.cells.counts.shape[0], self.depth)

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
            n_pools=self.plan.n_pools,
            n_neighbours=self.plan.n_neighbours,
            n_single=self.plan.n_single,
            n_tfs=self.tfs.size,
        )


def gather(
    data: Any,
    *,
    groupby: str | None,
    batch_key: str | None,
    rna: str,
    atac: str,
    layer: str | None,
    atac_layer: str | None,
    barcodes: Barcodes,
    annotation: str | Path | pd.DataFrame | None,
    tfs: Any,
    motifs: Any,
    prior: Any,
    settings: InferSettings,
    regions: bool = True,
) -> Read:
    """Check counts, groups, evidence and candidate pairs, and bring them into name order.

    Without `regions` the ATAC has no say but in the names of the TFs, so that all methods score the same ones.
    """
    rna_data, atac_data = resolve(data, rna, atac, barcodes=barcodes)
    if rna_data.n_obs < FEWEST_CELLS:
        raise fail(
            ValueError, f"a network needs at least {FEWEST_CELLS} cells.", f"{rna_data.n_obs} cells.",
            "check the filters of the cells; to score few cells with a network, use grs.tl.cell_grn.",
        )  # fmt: skip
    groups = find_group(data, rna_data, atac_data, groupby)
    batches = np.zeros(rna_data.n_obs, dtype=np.int64)
    if batch_key is not None:
        batches = _batch_codes(find_group(data, rna_data, atac_data, batch_key, option="batch_key"))
    names, evidence, dropped = read_evidence(rna_data, atac_data, tfs, motifs, prior)
    if not regions:
        atac_data, evidence = None, Evidence(prior=evidence.prior)
    need_unique(names.str.replace("/", "_"), what="names of TFs with _ for / (as eRegulons are named)")
    codes = groups.cat.codes.to_numpy().astype(np.int64)
    cells, by_name, by_place = ordered_cells(rna_data, atac_data, codes, layer=layer, atac_layer=atac_layer)
    evidence = Evidence(
        motifs=None if evidence.motifs is None else evidence.motifs[by_place],
        extended=None if evidence.extended is None else evidence.extended[by_place],
        prior=None if evidence.prior is None else evidence.prior[:, by_name],
    )
    if atac_data is None:
        return Read(rna_data, cells, groups, batches, names, evidence, None, dropped)
    with step(logger, "build_grn: search space") as facts:
        pairs, far = region_pairs(
            rna_data, atac_data, annotation, window=settings.window, decay=settings.decay, anchor=settings.anchor
        )
        facts.append(f"{len(pairs)} region-gene pairs")
    new_gene, new_region = np.argsort(by_name), np.argsort(by_place)
    pairs = pairs.assign(gene=new_gene[pairs["gene"]], region=new_region[pairs["region"]])
    pairs = pairs.sort_values(["gene", "region"], ignore_index=True)
    return Read(rna_data, cells, groups, batches, names, evidence, pairs, {**dropped, **far})


def _batch_codes(labels: pd.Series) -> np.ndarray:
    size = labels.value_counts()
    small = size[size < SMALLEST_BATCH]
    if len(small):
        raise fail(
            ValueError, f"every batch needs at least {SMALLEST_BATCH} cells.",
            f"{len(small)} of {len(size)} batches with fewer: {listing(small.index)}.",
            "merge or leave out small batches, or pass batch_key=None.",
        )  # fmt: skip
    return labels.cat.codes.to_numpy().astype(np.int64)
