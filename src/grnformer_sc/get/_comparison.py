"""`get.comparison`: how networks were judged."""

from __future__ import annotations

from typing import Any, Literal

import pandas as pd

from .._core.checks import need_one_of
from .._core.keys import COMPARISON
from ._read import stored


def comparison(
    data: Any, part: Literal["figures", "overlap"] = "figures", *, key: str = COMPARISON, rna: str = "rna"
) -> pd.DataFrame:
    """Read the result of `grs.tl.compare_grns`.

    Parameters
    ----------
    data
        AnnData or MuData.
    part
        `"figures"`: every figure of every network beside its nulls; `"overlap"`: the Jaccard index of every two networks.
    key
        Key of the result in `uns`.
    rna
        Name of the RNA modality.

    Returns
    -------
    The table (columns as in `grs.tl.compare_grns`).

    Raises
    ------
    KeyError
        Networks were not compared yet.
    ValueError
        The part is unknown.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> for method in ("correlation", "ridge"):
    ...     grs.tl.build_grn(mdata, method=method, groupby="cell_type")
    >>> grs.tl.compare_grns(mdata, n_nulls=0)
    >>> grs.get.comparison(mdata, "overlap")["other"].tolist()
    ['grn_ridge']
    """
    need_one_of(part, ("figures", "overlap"), name="part")
    table: pd.DataFrame = stored(data, key, made_by="grs.tl.compare_grns(data)", rna=rna)[part]
    return table.copy()
