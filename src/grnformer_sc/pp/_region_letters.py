"""Letters of regions, one chromosome after the other, and how often each letter occurs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .._core.checks import fail, listing
from ..priors._sequence import OTHER, chromosomes

logger = logging.getLogger(__name__)

UNIFORM = np.full(4, 0.25)
Letters = tuple[np.ndarray, np.ndarray, np.ndarray]  # rows of the regions, their letters one after the other, starts


def region_letters(genome: str | Path | Mapping[str, Any], regions: pd.DataFrame) -> Iterator[Letters]:
    """Letters of the regions, one chromosome after the other."""
    seen: list[str] = []
    found = False
    chrom = regions["chrom"].to_numpy()
    for name, codes in chromosomes(genome, set(chrom), seen):
        found = True
        own = np.flatnonzero(chrom == name)
        begin, end = regions["start"].to_numpy()[own], regions["end"].to_numpy()[own]
        if (end > codes.size).any():
            raise fail(
                ValueError, "regions must lie within their chromosome.",
                f"{int((end > codes.size).sum())} of {own.size} end behind the {codes.size} bp of {name}.",
                "give the genome build that the regions were called on.",
            )  # fmt: skip
        start = np.r_[0, np.cumsum(end - begin)]
        place = np.arange(start[-1]) - np.repeat(start[:-1] - begin, end - begin)
        yield own, codes[place], start
    if not found:
        raise fail(
            ValueError, "regions and genome must share chromosome names.",
            f"regions {listing(pd.unique(chrom), 3)}, genome {listing(seen, 3)}.",
            "use the same naming (chr1 or 1) and the genome of the species.",
        )  # fmt: skip
    missing = sorted(set(chrom) - set(seen))
    if missing:
        logger.warning("scan_motifs: chromosomes without sequence, whose regions get no hits: %s", listing(missing, 5))


def background_of(
    background: str | Sequence[float], genome: str | Path | Mapping[str, Any], regions: pd.DataFrame
) -> np.ndarray:
    """Shares of A, C, G, T: those given, equal ones, or those of both strands of the regions."""
    if not isinstance(background, str):
        given = np.asarray(background, dtype=np.float64)
        if given.shape != (4,) or (given <= 0).any() or abs(given.sum() - 1) > 1e-3:
            raise fail(
                ValueError, "a background is four positive probabilities of A, C, G, T.", f"{background!r}.",
                "give numbers of sum 1.",
            )  # fmt: skip
        return given / given.sum()
    if background == "uniform":
        return UNIFORM
    if background != "regions":
        raise fail(
            ValueError, "background is 'regions', 'uniform' or four numbers.", f"{background!r}.", "choose one of them."
        )
    count = np.ones(OTHER + 1)
    for _, letters, _ in region_letters(genome, regions):
        count += np.bincount(letters, minlength=OTHER + 1)
    both = count[:OTHER] + count[:OTHER][::-1]
    return np.asarray(both / both.sum())
