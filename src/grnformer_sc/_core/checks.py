"""Checks of user input: one message form (what was expected, what was found, how to mend it)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

SHOWN = 10  # names printed in a message before "..."


def listing(names: Iterable[object], shown: int = SHOWN) -> str:
    """Print the first names of a collection and how many more there are."""
    items = [str(name) for name in names]
    tail = f", ... ({len(items) - shown} more)" if len(items) > shown else ""
    return "[" + ", ".join(items[:shown]) + tail + "]"


def nearest(names: Iterable[object], known: Iterable[object], shown: int = 3) -> str:
    """Print names that are not known, each with the known names most like it."""
    among = [str(name) for name in known]
    items = [str(name) for name in names]
    said = [f"{name!r} (nearest: {listing(get_close_matches(name, among, 3, 0))})" for name in items[:shown]]
    return ", ".join(said) + (f", and {len(items) - shown} more" if len(items) > shown else "")


def fail(error: type[Exception], expected: str, found: str, fix: str) -> Exception:
    """Build an error of the one message form; the caller raises it."""
    return error(f"{expected} Found: {found} Fix: {fix}")


def need_key(mapping: Mapping[str, Any], key: str, *, where: str, fix: str) -> None:
    """Raise `KeyError` when a slot is missing, naming those that are there."""
    if key not in mapping:
        raise fail(KeyError, f"{where} needs {key!r}.", f"{listing(mapping.keys())}.", fix)


def need_one_of(value: object, allowed: Collection[Any], *, name: str) -> None:
    """Raise `ValueError` when an option is not among the allowed ones."""
    if value not in allowed:
        raise fail(
            ValueError, f"{name} must be one of {listing(allowed)}.", f"{value!r}.", f"choose one of them for {name}="
        )


def need_between(value: Any, low: float, high: float, *, name: str) -> None:
    """Raise `ValueError` when a number leaves its closed range (NaN included), `TypeError` when it is none."""
    if not isinstance(value, Real):
        raise fail(TypeError, f"{name} must be a number.", f"{value!r}.", f"give a number from {low} to {high}.")
    if not low <= float(value) <= high:
        raise fail(
            ValueError, f"{name} must lie in [{low}, {high}].", f"{value!r}.", f"give a {name} inside the range."
        )


def need_unique(names: Sequence[str] | pd.Index, *, what: str) -> None:
    """Raise `ValueError` for duplicated or empty names."""
    index = pd.Index(names)
    blank = index.isna() | (index.astype(str).str.strip() == "")
    if blank.any():
        raise fail(
            ValueError,
            f"{what} must not be empty.",
            f"{int(blank.sum())} empty of {index.size}, the first at position {int(np.argmax(blank))}.",
            "name or remove them.",
        )
    twice = index[index.duplicated()].unique()
    if twice.size:
        raise fail(
            ValueError,
            f"{what} must be unique.",
            f"{twice.size} repeated: {listing(twice)}.",
            "call .var_names_make_unique() / .obs_names_make_unique(), or drop the copies.",
        )


def stored_values(x: Any) -> np.ndarray:
    """Values of a dense or sparse matrix that are held in memory."""
    return np.asarray(x.data if sp.issparse(x) else x)


def need_finite_nonnegative(x: Any, *, what: str) -> None:
    """Raise `ValueError` for NaN, infinite or negative (scaled) values."""
    values = stored_values(x)
    if values.size == 0:
        return
    low = values.min()
    if not np.isfinite(values.sum(dtype=np.float64)):
        bad = int((~np.isfinite(values)).sum())
        raise fail(
            ValueError,
            f"{what} must be finite.",
            f"{bad} NaN or infinite values.",
            "remove or repair them; give another matrix with layer=.",
        )
    if low < 0:
        raise fail(
            ValueError,
            f"{what} must not be negative (scaled or centred data cannot be used).",
            f"minimum {low:.4g}.",
            "give raw counts with layer='counts'.",
        )


def need_counts(x: Any, *, what: str, layer: str = "layer") -> None:
    """Raise `ValueError` unless all values are non-negative integers."""
    need_finite_nonnegative(x, what=what)
    values = stored_values(x)
    if values.size == 0 or np.issubdtype(values.dtype, np.integer):
        return
    if not np.array_equal(values, np.rint(values)):
        example = values[values != np.rint(values)].flat[0]
        raise fail(
            ValueError,
            f"{what} must be raw counts (integers).",
            f"values such as {example:.4g} (normalised or log-transformed data).",
            f"name the layer that holds the counts, for example {layer}='counts'.",
        )


def need_nonempty_rows(totals: np.ndarray, names: pd.Index, *, what: str) -> None:
    """Raise `ValueError` when rows are all zero."""
    empty = np.flatnonzero(totals == 0)
    if empty.size:
        raise fail(
            ValueError,
            f"every cell needs counts in {what}.",
            f"{empty.size} all-zero cells: {listing(names[empty])}.",
            "filter them first, for example with sc.pp.filter_cells(adata, min_counts=1).",
        )
