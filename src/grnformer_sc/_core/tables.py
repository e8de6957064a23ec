"""The edge table: one schema for every method, checked once where it is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd

EVIDENCE = ("direct", "extended", "prior", "correlation", "none")

# Names and dtypes of `uns["grn"]["edges"]`, one row per TF-region-gene link; missing numbers are NaN, missing text "".
EDGE_COLUMNS: dict[str, str] = {
    "tf": "category",
    "region": "category",
    "gene": "category",
    "tf_gene_importance": "float32",
    "tf_gene_rho": "float32",
    "region_gene_importance": "float32",
    "region_gene_rho": "float32",
    "distance": "float32",
    "motif_score": "float32",
    "evidence": "category",
    "sign": "int8",
    "region_sign": "int8",
    "support": "int16",
    "region_gene_fdr": "float32",
    "tf_gene_fdr": "float32",
    "fdr": "float32",
    "frequency": "float32",
    "triplet_rank": "float32",
    "score": "float32",
    "eregulon": "category",
}
EDGE_DEFAULTS: dict[str, Any] = {"category": "", "float32": np.nan, "int8": 0, "int16": 0}
EDGE_ORDER = ["tf", "eregulon", "gene", "region"]
STATE_WORDS = {1: "open", -1: "closed"}
SIGN_WORDS = {1: "act", -1: "rep"}
REGION_PATTERN = r"^(?P<chrom>.+)[:_-](?P<start>\d+)[-_](?P<end>\d+)$"
REGION_FORM = r"\g<chrom>:\g<start>-\g<end>"


def eregulon_name(tf: str, sign: int, region_sign: int) -> str:
    """Name an eRegulon ``TF|act|open``; without regions ``TF|act``. "/" is replaced, because zarr refuses it."""
    parts = [tf, SIGN_WORDS[sign]]
    if region_sign:
        parts.append(STATE_WORDS[region_sign])
    return "|".join(parts).replace("/", "_")


def by_upper(names: Iterable[object]) -> dict[str, str]:
    """Names by their upper-case form, the first of those that differ in letter case only."""
    return {str(name).upper(): str(name) for name in reversed(list(names))}


def alike(name: str, spelled: Mapping[str, str], *, cutoff: float, n: int = 3) -> list[str]:
    """Names that are most like another, letter case aside; `spelled` comes from `by_upper`."""
    return [spelled[hit] for hit in get_close_matches(name.upper(), list(spelled), n=n, cutoff=cutoff)]


def places_by_upper(names: Iterable[object], values: Iterable[object]) -> np.ndarray:
    """Place of every value in `names`, letter case aside (-1: absent); of names that differ in case only the first."""
    place = {str(name).upper(): number for number, name in reversed(list(enumerate(names)))}
    return np.array([place.get(str(value).upper(), -1) for value in values], dtype=np.int64)


def places_in(names: pd.Index, column: pd.Series) -> np.ndarray:
    """Place of every value of a column in `names` (-1: absent), looked up once per distinct value."""
    values = column.astype("category").cat
    return names.get_indexer(values.categories.astype(str))[values.codes]


def spell_regions(column: pd.Series, form: str = REGION_FORM) -> pd.Series:
    """Spell region names in one form (`chrom:start-end`); other names stay, missing ones become ""."""
    values = column.astype(object).fillna("").astype("category").cat
    names = pd.Series(values.categories.astype(str)).str.replace(REGION_PATTERN, form, regex=True)
    return pd.Series(names.to_numpy(dtype=object)[values.codes], index=column.index, name=column.name)


def link_scores(edges: pd.DataFrame) -> np.ndarray:
    """Score of every link; the size of its weight where a network has no scores."""
    score = edges["score"].to_numpy(dtype=np.float64)
    return np.abs(edges["tf_gene_importance"].to_numpy(dtype=np.float64)) if np.isnan(score).all() else score


def edge_table(columns: pd.DataFrame | dict[str, Any]) -> pd.DataFrame:
    """Complete, cast and sort the columns of an edge table.

    Columns that are left out get their default; unknown columns are an error. Rows are sorted by TF, eRegulon, gene,
    region, so that the table does not depend on the order of the input.
    """
    frame = pd.DataFrame(columns)
    unknown = [name for name in frame.columns if name not in EDGE_COLUMNS]
    if unknown:
        msg = f"unknown edge columns {unknown}; the schema has {list(EDGE_COLUMNS)}."
        raise KeyError(msg)
    for name, dtype in EDGE_COLUMNS.items():
        if name not in frame:
            frame[name] = EDGE_DEFAULTS[dtype]
    frame = frame.astype(dict.fromkeys(EDGE_ORDER, "str"))
    frame = frame.sort_values(EDGE_ORDER, kind="stable").reset_index(drop=True)
    frame.index = frame.index.astype(str)
    frame["evidence"] = pd.Categorical(frame["evidence"], categories=list(EVIDENCE))
    return frame.astype({n: d for n, d in EDGE_COLUMNS.items() if n != "evidence"})[list(EDGE_COLUMNS)]
