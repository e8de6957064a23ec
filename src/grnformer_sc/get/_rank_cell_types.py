"""`get.rank_cell_types`: cell types by what hitting a target shifts."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ._read import stored


def rank_cell_types(data: Any, *, key: str = "grn_pcnet_rank_cell_types", rna: str = "rna") -> pd.DataFrame:
    """Read the cell types that `tl.rank_cell_types` ranked, the highest score first.

    Parameters
    ----------
    data
        AnnData or MuData.
    key
        Key of the result.
    rna
        Name of the RNA modality.

    Returns
    -------
    Table with `group`, `score`, `place`, `n_links`.

    Raises
    ------
    KeyError
        There is no such result.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> rna = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)["rna"]
    >>> grs.tl.build_grn(rna, method="pcnet", groupby="cell_type", tfs="is_tf")
    >>> grs.tl.rank_cell_types(rna, "TF05")
    >>> bool(grs.get.rank_cell_types(rna)["score"].is_monotonic_decreasing)
    True
    """
    table: pd.DataFrame = stored(data, key, made_by="grs.tl.rank_cell_types", rna=rna)["table"]
    return table.copy()
