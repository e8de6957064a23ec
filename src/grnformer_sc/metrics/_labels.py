"""Whether labels can be learnt from at all: two sets that are one, labels that follow the batch."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from .._core.checks import fail
from .._core.typing import Number
from .._core.warnings import ConfoundedLabelsWarning, InvertedLabelsWarning, warn
from ._auc import roc_auc

FEWEST = 10  # shared cells that an agreement is judged on
COLLINEAR = 0.98  # share of the cells whose label the batch gives away


def label_agreement(labels: pd.DataFrame, *, tolerance: Number = 0.01) -> pd.DataFrame:
    """Compare the labels of several drugs on the same cells, and warn where two sets are one.

    Labels that are equal, or equal after turning one round, are one data set: whatever scores a on the first scores a, or
    1 - a, on the second, and their mean says nothing more.

    Parameters
    ----------
    labels
        Cells x drugs, 0 or 1, NaN where a cell has no label.
    tolerance
        Share of the shared cells that may deviate.

    Returns
    -------
    Table with a row per pair of columns: `first`, `second`, `n` (cells with both labels), `agreement` (share of these with
    equal labels) and `relation` (`"same"`, `"inverted"` or `""`; always `""` below 10 shared cells or for a single class).

    Raises
    ------
    ValueError
        A label is neither 0 nor 1.

    Examples
    --------
    >>> import warnings
    >>> import pandas as pd, grnformer_sc as grs
    >>> labels = pd.DataFrame({"A": [0, 1] * 10, "B": [1, 0] * 10})
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", grs.metrics.InvertedLabelsWarning)
    ...     grs.metrics.label_agreement(labels)["relation"].tolist()
    ['inverted']
    """
    table = labels.astype(np.float64)
    other = set(np.unique(table.to_numpy()[table.notna().to_numpy()])) - {0.0, 1.0}
    if other:
        raise fail(ValueError, "labels must be 0 or 1.", f"{sorted(other)[:5]}.", "code the labels as 0 and 1.")
    rows = []
    for first, second in combinations(table.columns, 2):
        both = table[[first, second]].dropna().to_numpy()
        agreement = float((both[:, 0] == both[:, 1]).mean()) if len(both) else float("nan")
        rows.append((str(first), str(second), len(both), agreement, _relation(both, agreement, float(tolerance))))
    found = pd.DataFrame(rows, columns=["first", "second", "n", "agreement", "relation"])
    for row in found[found["relation"] != ""].itertuples():
        how = "inverted labels" if row.relation == "inverted" else "same labels"
        warn(
            InvertedLabelsWarning, f"Same cells, {how}: two drugs must not be one data set.",
            f"{row.first!r} and {row.second!r} agree in {row.agreement:.1%} of {row.n} shared cells.",
            "report one of them, and do not average over both.",
        )  # fmt: skip
    return found


def _relation(both: np.ndarray, agreement: float, tolerance: float) -> str:
    if len(both) < FEWEST or any(np.unique(column).size < 2 for column in both.T):
        return ""
    if agreement <= tolerance:
        return "inverted"
    return "same" if agreement >= 1 - tolerance else ""


def batch_confounding(labels: Any, batches: Any, scores: Any = None) -> pd.Series:
    """Say how far labels and scores follow the batch, and warn where batch and label cannot be told apart.

    Parameters
    ----------
    labels
        0 or 1; NaN are left out.
    batches
        Batch (sample, plate, day) of every cell.
    scores
        Scores of the cells.

    Returns
    -------
    Series `label_from_batch` (share of the cells whose label is the commonest one of their batch), `chance` (the same with
    a single batch), `batch_auc` (area of every batch against the others by the same score, either way round, weighted by
    cells: 1 tells batches apart) and `within_auc` (area of the labels among cells of the same batch, weighted by pairs of
    cells; NaN where every batch has one label). The last two are NaN without scores.

    Raises
    ------
    ValueError
        Lengths differ, or a label is neither 0 nor 1.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> found = grs.metrics.batch_confounding([0, 1, 0, 1], ["a", "a", "b", "b"], [0.1, 0.8, 0.3, 0.9])
    >>> found[["label_from_batch", "batch_auc", "within_auc"]].tolist()
    [0.5, 0.75, 1.0]
    """
    found, n = confounding(labels, batches, scores)
    if n.min() > 1 and found["label_from_batch"] >= COLLINEAR:
        warn(
            ConfoundedLabelsWarning, "Label and batch are collinear: some batch must hold cells of both labels.",
            f"the batch gives away the label of {found['label_from_batch']:.1%} of the cells in {n[0]} batches.",
            "a high area may be nothing but the batch; look for data in which both labels were measured together.",
        )  # fmt: skip
    return found


def confounding(labels: Any, batches: Any, scores: Any = None) -> tuple[pd.Series, np.ndarray]:
    """Figures of `batch_confounding` without a warning, and the numbers of batches and of classes."""
    y = np.asarray(labels, dtype=np.float64).ravel()
    batch = pd.Series(np.asarray(batches, dtype=object).ravel()).astype("str").to_numpy()
    if y.size != batch.size or (scores is not None and np.size(scores) != y.size):
        raise fail(
            ValueError, "every cell needs a label, a batch and a score.", f"{y.size} labels, {batch.size} batches.",
            "take all from the same cells.",
        )  # fmt: skip
    known = ~np.isnan(y)
    y, batch = y[known], batch[known]
    names, code = np.unique(batch, return_inverse=True)
    size = np.bincount(code, minlength=names.size)
    up = np.bincount(code, weights=y, minlength=names.size)
    purity = float(np.maximum(up, size - up).sum() / max(y.size, 1))
    chance = float(max(y.mean(), 1 - y.mean())) if y.size else float("nan")
    found = {"label_from_batch": purity, "chance": chance, "batch_auc": float("nan"), "within_auc": float("nan")}
    if scores is not None:
        found |= _followed(y, code, size, np.asarray(scores, dtype=np.float64).ravel()[known])
    return pd.Series(found, dtype=np.float64), np.array([names.size, np.unique(y).size])


def _followed(y: np.ndarray, code: np.ndarray, size: np.ndarray, score: np.ndarray) -> dict[str, float]:
    """Areas of batches by the score, and of labels within batches."""
    nan = float("nan")
    areas = np.array([roc_auc(code == k, score) for k in range(size.size)])
    areas = np.maximum(areas, 1 - areas)
    within = np.array([roc_auc(y[code == k], score[code == k]) for k in range(size.size)])
    up = np.bincount(code, weights=y, minlength=size.size)
    pairs = up * (size - up)
    told = np.isfinite(areas)
    return {
        "batch_auc": float(np.average(areas[told], weights=size[told])) if told.any() else nan,
        "within_auc": float(np.average(within[pairs > 0], weights=pairs[pairs > 0])) if (pairs > 0).any() else nan,
    }
