"""`get.drug_response`: measured and predicted responses, one row per held-out pair."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from .._core.checks import need_key
from .._core.keys import DRUG_RESPONSE, DrugResponseKeys
from ._read import rna_of, stored


def drug_response(data: Any, *, key: str = "drug_response_grnformer", rna: str = "rna") -> pd.DataFrame:
    """Read the held-out predictions of `tl.drug_response` as a table.

    Parameters
    ----------
    data
        AnnData or MuData with the cell lines.
    key
        Name of the result (`key_added` of `tl.drug_response`).
    rna
        Name of the modality of a MuData.

    Returns
    -------
    Table with one row per pair that was held out, sorted by fold, line and drug: `line`, `drug` (categorical), `value`,
    `predicted` (float64), `fold` (int64).

    Raises
    ------
    KeyError
        There is no such result.

    See Also
    --------
    grnformer_sc.tl.drug_response : make it.
    grnformer_sc.metrics.drug_response_scores : score it.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> lines = grs.datasets.simulate_drug_response(40, n_drugs=10, rng=0)
    >>> grs.pp.drug_response_setup(lines, lines.uns["response"])
    >>> grs.tl.drug_response(lines, method="offsets", split="pair")
    >>> grs.get.drug_response(lines, key="drug_response_offsets").columns.tolist()
    ['line', 'drug', 'value', 'predicted', 'fold']
    """
    found = stored(data, key, made_by="grs.tl.drug_response", rna=rna)
    adata, slots = rna_of(data, rna), DrugResponseKeys(key)
    for slot in (DRUG_RESPONSE, slots.held_out, slots.fold):
        need_key(
            adata.obsm, slot, where="adata.obsm", fix="run grs.tl.drug_response first, or name its result with key=."
        )
    fold = np.asarray(adata.obsm[slots.fold]).astype(np.int64)
    drugs = pd.Index([str(name) for name in found["drugs"]])
    row, column = np.nonzero(fold >= 0)
    order = np.lexsort((drugs.to_numpy(dtype=str)[column], adata.obs_names.to_numpy(dtype=str)[row], fold[row, column]))
    row, column = row[order], column[order]
    return pd.DataFrame(
        {
            "line": pd.Categorical(adata.obs_names[row]),
            "drug": pd.Categorical(drugs[column]),
            "value": np.asarray(adata.obsm[DRUG_RESPONSE], dtype=np.float64)[row, column],
            "predicted": np.asarray(adata.obsm[slots.held_out], dtype=np.float64)[row, column],
            "fold": fold[row, column],
        }
    )
