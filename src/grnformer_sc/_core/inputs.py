"""Reading the user's objects: modalities, count matrices, group labels. Never writes."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .checks import fail, listing, need_counts, need_finite_nonnegative, need_one_of, need_unique
from .rows import Rows, clean

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

Barcodes = Literal["exact", "stem"]
ALL_CELLS = "all"  # name of the one group when no labels are given
BARCODE_STEM = re.compile(r"[ACGTN]{8,}")


def resolve(
    data: Any, rna: str = "rna", atac: str = "atac", *, barcodes: Barcodes = "exact"
) -> tuple[AnnData, AnnData | None]:
    """Find the RNA and ATAC AnnData in a MuData, a pair or a single AnnData, with paired cells in the same order.

    The RNA object is the user's own (results are written to it); the ATAC one may be a reordered view.
    """
    from anndata import AnnData

    need_one_of(barcodes, ("exact", "stem"), name="barcodes")
    if isinstance(data, AnnData):
        need_unique(data.obs_names, what="cell barcodes (obs_names)")
        return data, None
    if isinstance(data, tuple):
        if len(data) != 2 or not all(isinstance(part, AnnData) for part in data):
            raise fail(
                TypeError, "a pair must be (rna, atac), two AnnData.", f"{[type(p).__name__ for p in data]}.",
                "pass (rna, atac) or a MuData.",
            )  # fmt: skip
        first, second = data
    elif isinstance(getattr(data, "mod", None), Mapping):  # a DataFrame has a method of that name
        if rna not in data.mod:
            raise fail(
                KeyError, f"the MuData needs the modality {rna!r}.", f"{listing(data.mod)}.",
                "name the modality with rna='...'.",
            )  # fmt: skip
        first, second = data.mod[rna], data.mod.get(atac)
    else:
        raise fail(
            TypeError, "data must be a MuData, an AnnData or a pair (rna, atac).", f"{type(data).__name__}.",
            "wrap the modalities: mudata.MuData({'rna': rna, 'atac': atac}).",
        )  # fmt: skip
    need_unique(first.obs_names, what="cell barcodes of the RNA (obs_names)")
    if second is None:
        logger.info("no modality %r: RNA only", atac)
        return first, None
    need_unique(second.obs_names, what="cell barcodes of the ATAC (obs_names)")
    return first, _pair(first, second, barcodes)


def _pair(rna: AnnData, atac: AnnData, barcodes: Barcodes) -> AnnData:
    if rna.obs_names.equals(atac.obs_names):
        return atac
    order = atac.obs_names.get_indexer(rna.obs_names)
    if atac.n_obs == rna.n_obs and (order >= 0).all():
        return atac[order]
    stem_rna, stem_atac = _stems(rna.obs_names), _stems(atac.obs_names)
    unique = stem_rna.is_unique and stem_atac.is_unique
    order_by_stem = stem_atac.get_indexer(stem_rna) if unique else np.full(rna.n_obs, -1)
    if barcodes == "stem" and atac.n_obs == rna.n_obs and (order_by_stem >= 0).all():
        logger.info("paired %d cells by the nucleotide stem of their barcodes", rna.n_obs)
        paired = atac[order_by_stem].copy()
        paired.obs_names = rna.obs_names
        return paired
    shared, by_stem = int((order >= 0).sum()), int((order_by_stem >= 0).sum())
    fix = "keep the shared cells of both, for example with muon.pp.intersect_obs(mdata)"
    if by_stem > shared:
        fix = (
            f"{by_stem} cells match by the nucleotide stem ({rna.obs_names[0]!r} and {atac.obs_names[0]!r}): "
            "pass barcodes='stem'"
        )
    raise fail(
        ValueError, "RNA and ATAC must hold the same cells.",
        f"{rna.n_obs} RNA and {atac.n_obs} ATAC cells, {shared} shared barcodes.", f"{fix}.",
    )  # fmt: skip


def copy_of(data: Any) -> Any:
    """Copy a MuData, an AnnData or a pair."""
    return tuple(part.copy() for part in data) if isinstance(data, tuple) else data.copy()


def as_mudata(modalities: dict[str, AnnData]) -> Any:
    """Make a MuData that leaves the columns of its modalities where they are (the behaviour of mudata 0.4)."""
    import mudata

    with mudata.set_options(pull_on_update=False):
        return mudata.MuData(modalities)


def _stems(names: pd.Index) -> pd.Index:
    def stem(name: str) -> str:
        found = BARCODE_STEM.search(name)
        return found.group() if found else re.split(r"[-_#.]", name)[0]

    return pd.Index([stem(str(name)) for name in names])


def open_rows(adata: AnnData, layer: str | None, *, what: str, option: str = "layer", counts: bool = True) -> Rows:
    """Open `X` or a layer to be read in blocks of rows; anything else than counts is a named error.

    What is in memory is checked at once; a file on disk or a dask array block by block as it is read. With
    `counts=False` any finite, non-negative values will do.
    """
    need_unique(adata.var_names, what=f"feature names of {what} (var_names)")
    if layer is not None and layer not in adata.layers:
        raise fail(
            KeyError, f"{what}: layer {layer!r} is missing.", f"layers {listing(adata.layers)}.",
            "name an existing layer, or None for .X.",
        )  # fmt: skip
    x = adata.X if layer is None else adata.layers[layer]
    if x is None:
        raise fail(
            ValueError, f"{what} has no matrix in .X.", f"layers {listing(adata.layers)}.", "name the layer to use."
        )
    name = f"{what} ({'.X' if layer is None else f'layer {layer!r}'})"

    def check(values: sp.csr_matrix) -> None:
        if counts:
            need_counts(values, what=name, layer=option)
        else:
            need_finite_nonnegative(values, what=name)

    chunks = getattr(x, "chunks", None) or ()
    if any(np.isnan(size) for axis in chunks if isinstance(axis, tuple) for size in axis):
        raise fail(
            ValueError, f"{name}: the sizes of all dask chunks must be known.", "unknown chunk sizes.",
            "call .compute_chunk_sizes() on the array first.",
        )  # fmt: skip
    if getattr(x, "format", "csr") == "csc" and hasattr(x, "to_memory"):
        logger.info("%s is stored by columns: read as a whole; write it as CSR to have it read in blocks", name)
        x = x.to_memory()
    if sp.issparse(x) or isinstance(x, np.ndarray):
        x = clean(x)
        check(x)
        return Rows(x)
    return Rows(x, check=check)


def read_counts(adata: AnnData, layer: str | None, *, what: str, option: str = "layer") -> sp.csr_matrix:
    """Read raw counts as CSR float32 without stored zeros; anything else than counts is a named error."""
    return open_rows(adata, layer, what=what, option=option).to_memory()


def table_of(table: Any) -> pd.DataFrame:
    """Read `obs` or `var` of a lazily opened object into memory; a DataFrame stays as it is."""
    return table if isinstance(table, pd.DataFrame) else table.to_memory()


def find_group(
    data: Any, rna: AnnData, atac: AnnData | None, groupby: str | None, *, option: str = "groupby"
) -> pd.Series:
    """Find the group labels in `mdata.obs`, `rna.obs` or `atac.obs`, as a categorical with sorted text categories.

    `option` is the name of the argument that an error mentions.
    """
    if groupby is None:
        logger.info("groupby=None: all cells are one group %r", ALL_CELLS)
        return pd.Series(pd.Categorical([ALL_CELLS] * rna.n_obs), index=rna.obs_names, name=ALL_CELLS)
    tables = [data.obs] if hasattr(data, "mod") else []
    tables = [table_of(table) for table in [*tables, *(part.obs for part in (rna, atac) if part is not None)]]
    for table in tables:
        if groupby in table:
            labels = table[groupby].reindex(rna.obs_names)
            break
    else:
        columns = dict.fromkeys(str(name) for table in tables for name in table.columns)
        raise fail(
            KeyError, f"{option}={groupby!r} names no column of obs.", f"{listing(columns)}.",
            "name one of them, or None for a single group." if option == "groupby" else "name one of them.",
        )  # fmt: skip
    if labels.isna().any():
        raise fail(
            ValueError, f"every cell needs a label in {groupby!r}.", f"{int(labels.isna().sum())} cells without one.",
            "drop these cells or give them a label such as 'unknown'.",
        )  # fmt: skip
    text = labels.astype(str)
    return pd.Series(pd.Categorical(text, categories=sorted(text.unique())), index=rna.obs_names, name=groupby)
