"""The one way into the slots: find the RNA AnnData and check that a slot is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._core.checks import fail, listing, need_key
from .._core.inputs import resolve
from ..grn.network import Network

if TYPE_CHECKING:
    from anndata import AnnData


def rna_of(data: Any, rna: str = "rna") -> AnnData:
    """RNA AnnData of a MuData, a pair or an AnnData."""
    if hasattr(data, "mod"):
        need_key(data.mod, rna, where="the MuData", fix="name the RNA modality with rna='...'.")
        return data.mod[rna]
    return data[0] if isinstance(data, tuple) else resolve(data)[0]


def stored(data: Any, key: str, *, made_by: str, rna: str = "rna") -> dict[str, Any]:
    """Content of `uns[key]`."""
    adata = rna_of(data, rna)
    need_key(adata.uns, key, where="adata.uns", fix=f"run {made_by} first, or name another result with key=.")
    found: dict[str, Any] = adata.uns[key]
    return found


def need_scores(adata: AnnData, slot: str) -> None:
    """Raise `KeyError` when the cells have no scores of a network."""
    fix = "run grs.tl.build_grn (with ATAC for regions), or grs.tl.cell_grn(..., thresholds='fit') for a system's network."
    need_key(adata.obsm, slot, where="adata.obsm", fix=fix)


def network_of(data: Any, key: str, rna: str = "rna") -> Network:
    """The stored network."""
    return Network.from_uns(stored(data, key, made_by="grs.tl.build_grn(mdata, groupby=...)", rna=rna))


def chosen_rows(table: pd.DataFrame, named: Mapping[str, str | None], max_fdr: float | None) -> pd.DataFrame:
    """Rows of a result that have the named values (`None`: any) and at most this false discovery rate; a copy."""
    keep = np.ones(len(table), dtype=bool)
    for column, value in named.items():
        values = table[column].astype(str)
        if value is not None and value not in set(values):
            raise fail(
                KeyError, f"{column}={value!r} is not in the result.", f"{listing(values.unique(), 30)}.",
                "choose one of them.",
            )  # fmt: skip
        keep &= True if value is None else (values == value).to_numpy()
    if max_fdr is not None:
        keep &= (table["fdr"] <= max_fdr).to_numpy()
    return table[keep].copy()
