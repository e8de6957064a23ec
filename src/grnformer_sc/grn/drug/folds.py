"""Who is held out: pairs, lines, groups of lines, drugs, or lines and drugs at once."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Int

from ..._core.checks import fail

Split: TypeAlias = Literal["pair", "line", "group", "drug", "both"]
SPLITS = ("pair", "line", "group", "drug", "both")


def folds_of(
    split: Split,
    known: Bool[np.ndarray, "lines drugs"],
    *,
    n_splits: int,
    groups: np.ndarray | None,
    rng: np.random.Generator,
) -> Int[np.ndarray, "lines drugs"]:
    """Fold of every measured pair; -1 for what is not measured or, with `"both"`, in no block of the diagonal.

    Lines without any value, and drugs without any, take no part. Groups go to folds by size, the largest first, each to the
    fold that has fewest lines.
    """
    lines, drugs = known.any(axis=1), known.any(axis=0)
    if split == "pair":
        out = np.full(known.shape, -1)
        out[known] = _even(int(known.sum()), n_splits, rng, "measured pairs")
        return out
    row = np.zeros(known.shape[0], dtype=np.int64)
    column = np.zeros(known.shape[1], dtype=np.int64)
    if split in ("line", "both"):
        row[lines] = _even(int(lines.sum()), n_splits, rng, "lines with a response")
    if split == "group":
        row[lines] = _by_size(np.asarray(groups)[lines], n_splits, rng)
    if split in ("drug", "both"):
        column[drugs] = _even(int(drugs.sum()), n_splits, rng, "drugs with a response")
    if split == "both":
        return np.where(known & (row[:, None] == column), row[:, None], -1)
    return np.where(known, row[:, None] if split != "drug" else column, -1)


def training_pairs(
    split: Split, known: Bool[np.ndarray, "lines drugs"], test: Bool[np.ndarray, "lines drugs"]
) -> Bool[np.ndarray, "lines drugs"]:
    """Pairs that may be trained on when `test` is held out; both-cold folds lose the whole lines and drugs."""
    if split == "both":
        lines, drugs = np.asarray(test.any(axis=1)), np.asarray(test.any(axis=0))
        return known & ~lines[:, None] & ~drugs
    return known & ~test


def _even(n: int, n_splits: int, rng: np.random.Generator, what: str) -> Int[np.ndarray, " items"]:
    if n < n_splits:
        raise fail(ValueError, f"n_splits={n_splits} needs as many {what}.", f"{n}.", "lower n_splits.")
    return rng.permutation(np.arange(n) % n_splits)


def _by_size(groups: np.ndarray, n_splits: int, rng: np.random.Generator) -> Int[np.ndarray, " lines"]:
    names, code, size = np.unique(groups.astype(str), return_inverse=True, return_counts=True)
    if names.size < n_splits:
        raise fail(
            ValueError, f"n_splits={n_splits} needs as many groups of lines.", f"{names.size}.", "lower n_splits."
        )
    fold, filled = np.zeros(names.size, dtype=np.int64), np.zeros(n_splits)
    order = rng.permutation(names.size)
    for place in order[np.argsort(-size[order], kind="stable")]:
        fold[place] = int(np.argmin(filled))
        filled[fold[place]] += size[place]
    return fold[code]
