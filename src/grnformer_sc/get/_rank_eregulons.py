"""`get.rank_eregulons`: which eRegulons differ between groups."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ._read import chosen_rows, stored


def rank_eregulons(
    data: Any,
    *,
    group: str | None = None,
    within: str | None = None,
    max_fdr: float | None = None,
    key: str = "grn_rank_eregulons",
    rna: str = "rna",
) -> pd.DataFrame:
    """Read the eRegulons that `tl.rank_eregulons` compared, best first in every contrast.

    Parameters
    ----------
    data
        AnnData or MuData.
    group
        One of the groups compared; all by default.
    within
        One of the cell types in which they were compared; all by default.
    max_fdr
        Largest false discovery rate; by default all rows, those without a test too.
    key
        Key of the result.
    rna
        Name of the RNA modality.

    Returns
    -------
    Table with the columns that `tl.rank_eregulons` lists.

    Raises
    ------
    KeyError
        There is no such result, group or cell type.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> grs.tl.rank_eregulons(mdata, "cell_type")
    >>> table = grs.get.rank_eregulons(mdata, group="type1")
    >>> bool(table["difference"].abs().is_monotonic_decreasing)
    True
    """
    table = stored(data, key, made_by="grs.tl.rank_eregulons", rna=rna)["table"]
    return chosen_rows(table, {"group": group, "within": within}, max_fdr)
