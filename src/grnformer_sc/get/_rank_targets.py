"""`get.rank_targets`: genes by how much more hitting them shifts one cell type than another."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ._read import stored


def rank_targets(data: Any, *, key: str = "grn_pcnet_rank_targets", rna: str = "rna") -> pd.DataFrame:
    """Read the genes that `tl.rank_targets` ranked, the highest ratio first.

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
    Table with `gene`, `score_group`, `score_reference`, `ratio`.

    Raises
    ------
    KeyError
        There is no such result.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> rna = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)["rna"]
    >>> grs.tl.build_grn(rna, method="pcnet", groupby="cell_type", tfs="is_tf")
    >>> grs.tl.rank_targets(rna, "type1", "type2", genes=["TF01", "TF05"])
    >>> sorted(grs.get.rank_targets(rna)["gene"])
    ['TF01', 'TF05']
    """
    table: pd.DataFrame = stored(data, key, made_by="grs.tl.rank_targets", rna=rna)["table"]
    return table.copy()
