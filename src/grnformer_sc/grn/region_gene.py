"""Regions and the genes they may regulate: names, search space, importance and correlation of every pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float, Int, UInt64

from .._core.checkpoint import NO_CHECKPOINT, Checkpoint
from .._core.checks import fail, listing
from .._core.tables import REGION_PATTERN
from .boosting import BoostSettings, bin_columns, blocks_of, boost_block, run_blocks
from .spearman import spearman_swapped

Anchor = Literal["tss", "body"]
WINDOW = 500_000  # bp: CRISPRi screens lose 4-8 % of true links beyond it, 13-25 % beyond 150 kb
DECAY = 0.87  # contact probability falls as distance ** -0.87
NEAREST = 5_000  # bp below which distance carries no information


def parse_regions(names: Sequence[str] | pd.Index) -> pd.DataFrame:
    """Split region names such as ``chr1:100-200`` (also with ``_`` or ``-``) into `chrom`, `start`, `end`.

    Raises
    ------
    ValueError
        A name is not of this form, or its end is not behind its start.
    """
    text = pd.Series(np.asarray(names, dtype=str))
    parts = text.str.extract(REGION_PATTERN)
    bad = parts["chrom"].isna().to_numpy()
    if not bad.any():
        table = pd.DataFrame(
            {"chrom": parts["chrom"], "start": parts["start"].astype(int), "end": parts["end"].astype(int)}
        )
        bad = (table["end"] <= table["start"]).to_numpy()
    if bad.any():
        raise fail(
            ValueError, "region names must read chrom:start-end with start < end.",
            f"{int(bad.sum())} of {text.size} that do not: {listing(text[bad])}.", "rename atac.var_names.",
        )  # fmt: skip
    return table


def search_space(
    genes: pd.DataFrame,
    regions: pd.DataFrame,
    *,
    window: int = WINDOW,
    anchor: Anchor = "tss",
    decay: float = DECAY,
) -> pd.DataFrame:
    """Find the candidate regions of every gene by two binary searches per gene.

    A region (its midpoint) is a candidate when it lies within `window` of the TSS or inside the gene body; with
    `anchor="body"` any region that touches the gene body widened by `window` (the SCENIC+ rule).

    Parameters
    ----------
    genes
        `chrom`, `start`, `end`, `strand` per gene; genes without a position (empty `chrom`) get no candidates.
    regions
        `chrom`, `start`, `end` per region.
    window
        Largest distance in bp.
    anchor
        From where distances are measured.
    decay
        Exponent of the distance weight ``max(distance, 5 kb) ** -decay``, scaled to 1 at 5 kb.

    Returns
    -------
    One row per pair, sorted by gene and region position: `gene` and `region` (row numbers), `distance` (bp, negative
    upstream, 0 inside the body with `anchor="body"`), `weight`.
    """
    left, right = regions["start"].to_numpy(), regions["end"].to_numpy()
    middle = np.rint((left + right) / 2).astype(np.int64)
    forward = genes["strand"].to_numpy() != "-"
    start, end = genes["start"].to_numpy(), genes["end"].to_numpy()
    tss = np.where(forward, start, end)
    widest = int((right - left).max(initial=0))
    low, high, place = (
        (start - window - widest, end + window - 1, left)
        if anchor == "body"
        else (np.minimum(tss - window, start), np.maximum(tss + window, end), middle)
    )
    gene_parts, region_parts = [], []
    gene_chrom, region_chrom = genes["chrom"].to_numpy(), regions["chrom"].to_numpy()
    for chrom in np.unique(gene_chrom[gene_chrom != ""]):
        of_chrom = np.flatnonzero(region_chrom == chrom)
        of_chrom = of_chrom[np.argsort(place[of_chrom], kind="stable")]
        wanted = np.flatnonzero(gene_chrom == chrom)
        first = np.searchsorted(place[of_chrom], low[wanted], side="left")
        count = np.searchsorted(place[of_chrom], high[wanted], side="right") - first
        gene_parts.append(np.repeat(wanted, count))
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        region_parts.append(of_chrom[np.repeat(first, count) + within])
    gene = np.concatenate([np.empty(0, int), *gene_parts])
    region = np.concatenate([np.empty(0, int), *region_parts])
    if anchor == "body":
        touches = right[region] > start[gene] - window
        gene, region = gene[touches], region[touches]
        at = middle[region]
        offset = np.maximum(at - end[gene], 0) - np.maximum(start[gene] - at, 0)
    else:
        offset = middle[region] - tss[gene]
    distance = np.where(forward[gene], offset, -offset)
    weight = (np.maximum(np.abs(distance), NEAREST) / NEAREST) ** -decay
    pairs = pd.DataFrame({"gene": gene, "region": region, "distance": distance, "weight": weight.astype(np.float32)})
    order = np.lexsort((region, middle[region], gene))
    return pairs.iloc[order].reset_index(drop=True)


def score_pairs(
    expression: Float[np.ndarray, "cells genes"],
    accessibility: sp.csc_matrix,
    gene: Int[np.ndarray, " pairs"],
    region: Int[np.ndarray, " pairs"],
    seeds: np.ndarray,
    *,
    settings: BoostSettings,
    n_jobs: int,
    checkpoint: Checkpoint = NO_CHECKPOINT,
) -> tuple[Float[np.ndarray, " pairs"], Float[np.ndarray, " pairs"]]:
    """Boosting importance (sum 1 per gene) and Spearman correlation of every candidate pair.

    `gene` must be sorted; `seeds` has one seed per gene; finished blocks are kept in `checkpoint`. Regions of a block of
    genes are binned together, so that memory is bounded by a block, and nothing of cells x regions is ever dense at once.
    """
    itself = np.arange(expression.shape[1])[None]
    importance, rho = score_swapped(
        expression, accessibility, gene, region, seeds[None], itself, settings=settings, n_jobs=n_jobs,
        checkpoint=checkpoint,
    )  # fmt: skip
    return importance[:, 0], rho[:, 0]


def score_swapped(
    expression: Float[np.ndarray, "cells genes"],
    accessibility: sp.csc_matrix,
    gene: Int[np.ndarray, " pairs"],
    region: Int[np.ndarray, " pairs"],
    seeds: UInt64[np.ndarray, "runs genes"],
    donors: Int[np.ndarray, "runs genes"],
    *,
    settings: BoostSettings,
    n_jobs: int,
    checkpoint: Checkpoint = NO_CHECKPOINT,
) -> tuple[Float[np.ndarray, "pairs runs"], Float[np.ndarray, "pairs runs"]]:
    """`score_pairs` where every gene has the expression of another one (`donors`) in each run.

    The regions of a block are binned, and ranked, once for all runs.
    """
    rho = spearman_swapped(expression, accessibility, gene, region, donors, n_jobs=n_jobs)
    start = np.searchsorted(gene, np.arange(expression.shape[1] + 1))
    target = np.ascontiguousarray(expression.T)
    shared = accessibility, start, region, target, seeds, donors, settings
    importance = run_blocks(
        _boost, blocks_of(np.diff(start)), *shared, n_jobs=n_jobs, title="region -> gene",
        checkpoint=checkpoint.of("region_gene", *shared),
    )  # fmt: skip
    return importance.reshape(-1, len(donors)), rho


def _boost(  # noqa: PLR0917  (called by joblib, which sends arguments by place)
    first: int, last: int, accessibility: sp.csc_matrix, start: np.ndarray, region: np.ndarray, target: np.ndarray,
    seeds: np.ndarray, donors: np.ndarray, settings: BoostSettings,
) -> Float[np.ndarray, "pairs runs"]:  # fmt: skip
    used, local = np.unique(region[start[first] : start[last]], return_inverse=True)
    features = bin_columns(accessibility[:, used], settings.n_bins)
    offsets = (start[first : last + 1] - start[first]).astype(np.int64)
    runs = [
        boost_block(features, offsets, local.astype(np.int64), target[donor[first:last]], seed[first:last], settings)[0]
        for seed, donor in zip(seeds, donors, strict=True)
    ]
    return np.stack(runs, axis=1)
