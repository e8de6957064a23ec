"""What contrasts read: labels of the cells and the sides that are named, checked."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._core.checks import fail, listing, need_between
from .._core.inputs import find_group
from ..grn.contrasts import REST, Labels

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

NO_REPLICATES = "%s: no sample_key, so no p-values: cells of one sample are no replicates of a condition"


def read_labels(
    data: Any,
    adata: AnnData,
    atac: AnnData | None,
    *,
    groupby: str,
    sample_key: str | None,
    within: str | None,
    min_cells: int,
) -> Labels:
    """Find the three columns; they must differ, and some sample must have enough cells."""
    need_between(min_cells, 1, float("inf"), name="min_cells")
    named = [column for column in (groupby, sample_key, within) if column is not None]
    if len(set(named)) < len(named):
        raise fail(
            ValueError, "groupby, sample_key and within must be different columns.", f"{listing(named)}.",
            "sample_key= names donors (or mice, wells): several of them share a condition.",
        )  # fmt: skip
    level, levels = _codes(data, adata, atac, groupby)
    sample, samples = (np.zeros_like(level), ()) if sample_key is None else _codes(data, adata, atac, sample_key)
    place, places = (np.zeros_like(level), ("",)) if within is None else _codes(data, adata, atac, within)
    labels = Labels(level, levels, sample, samples, place, places)
    if sample_key is not None:
        _need_samples(labels, sample_key, min_cells)
    return labels


def _codes(data: Any, adata: AnnData, atac: AnnData | None, column: str) -> tuple[np.ndarray, tuple[str, ...]]:
    labels = find_group(data, adata, atac, column)
    return labels.cat.codes.to_numpy().astype(np.int64), tuple(labels.cat.categories)


def _need_samples(labels: Labels, sample_key: str, min_cells: int) -> None:
    table = pd.DataFrame({"w": labels.within, "s": labels.sample, "l": labels.level})
    largest = int(table.value_counts(sort=False).max())
    if largest < min_cells:
        raise fail(
            ValueError, f"some sample needs {min_cells} cells in a group of a cell type.",
            f"{len(labels.samples)} samples in {sample_key!r} with at most {largest} such cells.",
            "name the column of donors, not of cells, or lower min_cells=.",
        )  # fmt: skip


def chosen_levels(labels: Labels, groupby: str, groups: Sequence[str] | None, reference: str) -> list[str]:
    """Groups to compare with the reference, each a level and none the reference itself."""
    levels = labels.levels
    if len(levels) < 2:
        raise fail(
            ValueError, "a contrast needs at least two groups.", f"{listing(levels)} in {groupby!r}.",
            "name a column with several values.",
        )  # fmt: skip
    if reference == REST and REST in levels:
        raise fail(
            ValueError, f"reference={REST!r} means all other cells.", f"a group of that name in {groupby!r}.",
            "rename this group.",
        )  # fmt: skip
    chosen = [level for level in levels if level != reference] if groups is None else [str(name) for name in groups]
    unknown = [name for name in (*chosen, reference) if name not in levels and name != REST]
    if unknown or not chosen:
        raise fail(
            KeyError, f"groups and reference must be values of {groupby!r}.",
            f"unknown {listing(unknown)}; there are {listing(levels, 30)}.", "choose among them.",
        )  # fmt: skip
    if reference in chosen:
        raise fail(
            ValueError,
            "a group cannot be its own reference.",
            f"{reference!r} in both.",
            "leave it out of one of them.",
        )
    return list(dict.fromkeys(chosen))


def log_contrasts(title: str, contrasts: pd.DataFrame) -> None:
    """One line for every reason why contrasts have no test, and one for samples left out."""
    here = contrasts["within"].astype(str)
    names = contrasts["group"].astype(str) + np.where(here == "", "", " in " + here)
    for reason, part in names.groupby(contrasts["reason"]):
        if reason == "no replicates":
            logger.warning(NO_REPLICATES, title)
        elif reason:
            logger.warning("%s: no p-values for %s: %s", title, listing(part), reason)
    left = contrasts[contrasts["n_samples_left_out"] > 0]
    if len(left):
        most = int(left["n_samples_left_out"].max())
        logger.warning(
            "%s: up to %d samples left out in %s (too few cells, or one side only among pairs)",
            title, most, listing(names[left.index]),
        )  # fmt: skip
