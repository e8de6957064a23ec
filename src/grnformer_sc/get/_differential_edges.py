"""`get.differential_edges`: which links differ between two conditions."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ._read import chosen_rows, stored


def differential_edges(
    data: Any,
    *,
    tf: str | None = None,
    within: str | None = None,
    max_fdr: float | None = None,
    key: str = "grn_differential_edges",
    rna: str = "rna",
) -> pd.DataFrame:
    """Read the links that `tl.differential_edges` compared, best first in every cell type.

    Parameters
    ----------
    data
        AnnData or MuData.
    tf
        Links of one TF; all by default.
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
    Table with the columns that `tl.differential_edges` lists.

    Raises
    ------
    KeyError
        There is no such result, TF or cell type.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> mdata["rna"].obs["drug"] = ["no", "yes"] * 100
    >>> grs.tl.differential_edges(mdata, "drug", group="yes", reference="no", within="cell_type")
    >>> sorted(grs.get.differential_edges(mdata)["within"].unique())
    ['type1', 'type2']
    """
    table = stored(data, key, made_by="grs.tl.differential_edges", rna=rna)["table"]
    return chosen_rows(table, {"tf": tf, "within": within}, max_fdr)
