"""What the steps of `build_grn` hold in memory, from sizes alone."""

from __future__ import annotations

from dataclasses import dataclass

from .embedding import FITTED_CELLS
from .metacells import POOL_BLOCK
from .pooling import MOST_NEIGHBOURS
from .tf_gene import SCREENED

STAGES = ("read", "rows", "region -> gene", "TF -> gene", "eRegulons", "cells")
VALUE = 8  # bytes of a stored value with its column
PAIR = 96  # of a row of the table of pairs, with what is computed beside it
EDGE = 600  # of a row of the edge table while its texts are made
EDGES_PER_GENE, MOST_EDGES = 100, 1_000_000  # without motifs; with motifs there are fewer
EREGULONS_PER_TF = 2
LANCZOS = 63  # vectors that the search for 30 components holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Numbers of a data set; `rna_values` and `atac_values` count nonzero counts."""

    n_cells: int
    n_genes: int
    n_regions: int
    rna_values: int
    atac_values: int
    n_pairs: int
    n_pools: int
    n_neighbours: int
    n_single: int
    n_tfs: int

    @property
    def n_eregulons(self) -> int:
        """Number of eRegulons to be expected."""
        return EREGULONS_PER_TF * self.n_tfs


def stage_bytes(size: Sizes) -> dict[str, float]:
    """Peak memory of every stage beyond what the process held before it and the user's own matrices."""
    dense = size.n_pools * size.n_genes
    fitted = min(1.0, FITTED_CELLS / size.n_cells)
    held = (
        size.n_pools * size.n_neighbours / size.n_cells
    )  # share of the values that pools hold, counted again and again
    pooled_rna = min(dense, held * size.rna_values)
    pooled_atac = min(size.n_pools * size.n_regions, held * size.atac_values)
    block = min(1.0, POOL_BLOCK / size.n_cells) * max(size.rna_values, size.atac_values)
    scores = size.n_tfs * size.n_genes
    fitted_to = size.n_single or size.n_pools
    kept = VALUE * pooled_atac + 4 * dense + 4 * size.n_single * size.n_genes  # what the regressions read
    edges = min(EDGES_PER_GENE * size.n_genes, MOST_EDGES)
    cells = size.n_cells * (6 * size.n_eregulons + 2 * VALUE * MOST_NEIGHBOURS)
    found = {
        "read": 5 * max(size.rna_values, size.atac_values) + PAIR * size.n_pairs,
        "rows": max(
            2 * VALUE * fitted * size.rna_values + 4 * LANCZOS * (size.n_cells + size.n_genes),
            3 * VALUE * max(pooled_rna, pooled_atac) + VALUE * block,
        ),
        "region -> gene": kept + 4 * dense + PAIR * size.n_pairs if size.n_pairs else 0.0,
        "TF -> gene": kept + 20 * fitted_to * size.n_genes + 60 * scores + 16 * min(scores, SCREENED * size.n_genes),
        "eRegulons": kept + EDGE * edges,
        "cells": EDGE / 2 * edges + cells + 2 * VALUE * fitted * size.atac_values,
    }
    return {stage: float(found[stage]) for stage in STAGES}
