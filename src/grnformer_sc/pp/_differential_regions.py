"""`pp.differential_regions`: regions that are more open in one group of cells."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._core.checks import fail, listing, need_between
from .._core.inputs import copy_of, find_group, open_rows, resolve
from .._core.keys import DIFFERENTIAL_REGIONS
from .._core.logging import step
from ..grn.differential import differential_table

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

MIN_LOG2FC = float(np.log2(1.5))


def differential_regions(
    data: Any,
    groupby: str,
    *,
    layer: str | None = None,
    max_fdr: float = 0.05,
    min_log2fc: float = MIN_LOG2FC,
    n_strata: int = 10,
    rna: str = "rna",
    atac: str = "atac",
    copy: bool = False,
) -> Any:
    """Find the regions that are open in more cells of a group than of all others.

    Cells are compared with cells of like depth: a test after Mantel and Haenszel over strata of the number of open regions.
    Deep cells have every region open more often, and regions that are open in nearly every cell saturate, so that dividing
    by the depth would make shallow groups look open. The p-value also holds for rare groups and regions, where a few open
    cells decide. The counts are read twice, in blocks.

    Parameters
    ----------
    data
        MuData, a pair (rna, atac), or the ATAC AnnData.
    groupby
        Column of `obs` with the groups.
    layer
        Layer of the ATAC with the counts, `None` for `.X`; only whether a value is above 0 matters.
    max_fdr
        Largest false discovery rate (Benjamini-Hochberg over the regions of a group, one-sided test).
    min_log2fc
        Least log2 fold change at equal depth.
    n_strata
        Strata of depth; 1 compares all cells with all.
    rna, atac
        Names of the modalities.
    copy
        Return a copy of `data` instead of writing to it.

    Returns
    -------
    `None`, or the copy. Sets:

    `atac.uns["differential_regions"]` : table with one row per group and region that passes, best first: `group`,
    `region`, `share` and `share_rest` (0 to 1, cells with the region open), `log2fc`, `pvalue`, `fdr`

    Raises
    ------
    KeyError
        There is no ATAC modality, or no such column.
    ValueError
        There are fewer than two groups, or a value is negative or missing.

    References
    ----------
    Mantel and Haenszel, *Journal of the National Cancer Institute* 1959.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> grs.pp.differential_regions(mdata, "cell_type")
    >>> sorted(mdata["atac"].uns["differential_regions"]["group"].unique())
    ['type1', 'type2']
    """
    data = copy_of(data) if copy else data
    need_between(max_fdr, 0, 1, name="max_fdr")
    need_between(n_strata, 1, 1000, name="n_strata")
    table = find_differential(
        data, groupby, layer=layer, max_fdr=max_fdr, min_log2fc=min_log2fc, n_strata=n_strata, rna=rna, atac=atac
    )
    modalities(data, rna, atac)[2].uns[DIFFERENTIAL_REGIONS] = table
    return data if copy else None


def modalities(data: Any, rna: str, atac: str) -> tuple[AnnData | None, AnnData, AnnData]:
    """RNA (where there is any), ATAC in the order of its cells, and the ATAC object of the user; one AnnData is ATAC."""
    from anndata import AnnData

    if isinstance(data, AnnData):
        return None, resolve(data)[0], data
    first, second = resolve(data, rna, atac)
    if second is None:
        raise fail(
            KeyError, f"this step needs the modality {atac!r}.", f"{listing(data.mod)}.",
            "name the modality with atac='...', or pass the ATAC AnnData alone.",
        )  # fmt: skip
    return first, second, data.mod[atac] if hasattr(data, "mod") else data[1]


def find_differential(
    data: Any,
    groupby: str,
    *,
    layer: str | None,
    max_fdr: float,
    min_log2fc: float,
    n_strata: int,
    rna: str,
    atac: str,
) -> pd.DataFrame:
    """The table of `differential_regions`, not written."""
    rna_data, atac_data, _ = modalities(data, rna, atac)
    one = atac_data if rna_data is None else rna_data
    groups = find_group(data, one, None if rna_data is None else atac_data, groupby)
    names = groups.cat.categories
    if len(names) < 2:
        raise fail(
            ValueError, "differential regions need at least two groups.", f"{listing(names)} in {groupby!r}.",
            "name a column with several groups.",
        )  # fmt: skip
    with step(logger, "differential regions") as facts:
        x = open_rows(atac_data, layer, what="ATAC", counts=False)
        codes = groups.cat.codes.to_numpy().astype(np.int64)
        table = differential_table(
            x, codes, names, atac_data.var_names, n_strata=n_strata, max_fdr=max_fdr, min_log2fc=min_log2fc
        )
        per_group = table["group"].value_counts().reindex(names.astype(str), fill_value=0)
        facts.append(", ".join(f"{name} {n}" for name, n in per_group.items()) + f" of {x.shape[1]} regions")
    return table
