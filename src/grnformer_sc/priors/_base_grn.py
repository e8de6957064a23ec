"""Base networks of CellOracle: wide tables of promoters or peaks with one column per TF."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from .._core.checks import listing
from .._core.optional import need

logger = logging.getLogger(__name__)

PLACE = ("peak_id", "gene_short_name")
CHUNK = 64  # TF columns that are read at once: the whole table may take gigabytes


def is_base_grn(columns: pd.Index | list[str]) -> bool:
    """Whether a table is laid out like a base network."""
    return set(PLACE) <= set(columns)


def links_of_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per link: `tf, peak_id, gene_short_name`. A table that is long already stays as it is."""
    if "tf" in frame:
        return frame
    names = _tf_columns(frame.columns)
    parts = (frame[names[i : i + CHUNK]] for i in range(0, len(names), CHUNK))
    return _links(frame[list(PLACE)], parts)


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a parquet table; a base network comes long (`tf, peak_id, gene_short_name`), read a few TFs at a time."""
    file = need("pyarrow.parquet", package="pyarrow").ParquetFile(path)
    columns = file.schema_arrow.names
    if not is_base_grn(columns) or "tf" in columns:
        table: pd.DataFrame = file.read().to_pandas()
        return table
    names = _tf_columns(columns)
    place = file.read(columns=list(PLACE)).to_pandas(ignore_metadata=True)
    parts = (
        file.read(columns=names[i : i + CHUNK]).to_pandas(ignore_metadata=True) for i in range(0, len(names), CHUNK)
    )
    return _links(place, parts)


def _tf_columns(columns: pd.Index | list[str]) -> list[str]:
    """Columns but those of the place and the index that pandas writes along."""
    return [str(n) for n in columns if n not in PLACE and not str(n).startswith(("__index_level", "Unnamed:"))]


def _links(place: pd.DataFrame, parts: Iterator[pd.DataFrame]) -> pd.DataFrame:
    rows: list[np.ndarray] = []
    tfs: list[np.ndarray] = []
    names: list[str] = []
    for part in parts:
        numbers = part.select_dtypes(["number", "bool"])
        if numbers.shape[1] < part.shape[1]:
            other = part.columns.difference(numbers.columns)
            logger.info("base network: columns that hold no numbers are left out: %s", listing(other))
        row, tf = np.nonzero(numbers.to_numpy(dtype=np.float32, na_value=0))
        rows.append(row)
        tfs.append(tf + len(names))
        names += [str(name) for name in numbers.columns]
    row, tf = (np.concatenate([np.empty(0, np.int64), *found]) for found in (rows, tfs))
    out = place.astype("category").iloc[row].reset_index(drop=True)
    out.insert(0, "tf", pd.Categorical.from_codes(tf, categories=pd.Index(names, dtype=object)))
    return out
