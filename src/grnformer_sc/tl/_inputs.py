"""Checked counts in name order, shared by the tools that build and score networks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from .._core.checks import fail, listing, need_nonempty_rows
from .._core.inputs import ALL_CELLS, find_group, open_rows
from .._core.keys import GrnKeys
from .._core.rows import row_sums
from ..grn.network import Network
from ..grn.region_gene import parse_regions
from ..grn.score import CellInput

if TYPE_CHECKING:
    from anndata import AnnData


def ordered_cells(
    rna: AnnData,
    atac: AnnData | None,
    codes: Int[np.ndarray, " cells"],
    *,
    layer: str | None,
    atac_layer: str | None,
) -> tuple[CellInput, np.ndarray, np.ndarray]:
    """Checked counts with genes in the order of names and regions in the order of coordinates.

    All arithmetic is done in this order, so results do not depend on the order of the user's variables. Returns the order
    of the genes and of the regions as well.
    """
    counts = open_rows(rna, layer, what="RNA counts")
    depth, rna_values = row_sums(counts)
    need_nonempty_rows(depth, rna.obs_names, what="RNA")
    by_name = np.argsort(rna.var_names.to_numpy(dtype=str), kind="stable")
    genes = rna.var_names[by_name]
    if atac is None:
        cells = CellInput(replace(counts, columns=by_name), genes, codes, depth, (rna_values, 0))
        return cells, by_name, np.empty(0, dtype=int)
    access = open_rows(atac, atac_layer, what="ATAC counts", option="atac_layer")
    fragments, atac_values = row_sums(access)
    need_nonempty_rows(fragments, atac.obs_names, what="ATAC")
    place = parse_regions(atac.var_names)
    by_place = np.lexsort((place["end"], place["start"], place["chrom"]))
    cells = CellInput(
        replace(counts, columns=by_name), genes, codes, depth, (rna_values, atac_values),
        replace(access, columns=by_place), atac.var_names[by_place], fragments,
    )  # fmt: skip
    return cells, by_name, by_place


def network_groups(
    data: Any,
    rna: AnnData,
    atac: AnnData | None,
    groupby: str | None,
    network: Network,
    keys: GrnKeys,
    *,
    fit: bool = False,
) -> pd.Series:
    """Labels of the cells by the names that the network knows (any names with `fit`); its own labels by default."""
    if groupby is None and keys.group in rna.obs:
        groupby = keys.group
    if groupby is None and network.group_names != (ALL_CELLS,) and not fit:
        raise fail(
            KeyError, "the cells need the cell types of the network.", f"no groupby= and no obs[{keys.group!r}].",
            f"name the column of obs whose values are among {listing(network.group_names)}.",
        )  # fmt: skip
    groups = find_group(data, rna, atac, groupby)
    unknown = sorted(set(groups.cat.categories) - set(network.group_names))
    if unknown and not fit:
        raise fail(
            ValueError, f"cell types must be those of the network: {listing(network.group_names)}.",
            f"unknown {listing(unknown)}.",
            "rename them or drop these cells, or fit the network to them: grs.tl.cell_grn(..., thresholds='fit').",
        )  # fmt: skip
    return groups
