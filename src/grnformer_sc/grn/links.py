"""Scores of all candidate links, region -> gene and TF -> gene, in one set of cells or averaged over batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float, Int
from scipy.stats import rankdata

from .._core.checkpoint import NO_CHECKPOINT, Checkpoint
from .._core.rng import seeds_for
from .region_gene import score_swapped
from .settings import InferSettings
from .tf_gene import TfGeneLinks, TfScores, combine_parts, tf_gene_links

SELF_MARGIN = 1e-5
RUNS_AT_ONCE = 10  # runs that share what is binned and ranked; their scores are held together
STRONGEST_RHO = 0.9999  # limit of a correlation whose Fisher transform is averaged


@dataclass(frozen=True)
class Evidence:
    """What ties TFs to regions (motif hits, direct and extended) or to genes (a prior network); at most one of the two."""

    motifs: sp.csr_matrix | None = None
    extended: sp.csr_matrix | None = None
    prior: sp.csr_matrix | None = None

    @cached_property
    def hits(self) -> sp.csr_matrix | None:
        """Direct and extended motif hits together."""
        return self.motifs if self.extended is None else sp.csr_matrix(self.motifs + self.extended)

    @cached_property
    def ranks(self) -> sp.csr_matrix | None:
        """Rank (0 to 1, 1: best) of every hit among those of its TF; motifs of different lengths become comparable."""
        if self.hits is None:
            return None
        by_tf = self.hits.tocsc()
        ranks = [rankdata(part) / max(part.size, 1) for part in np.split(by_tf.data, by_tf.indptr[1:-1])]
        return sp.csr_matrix(sp.csc_matrix((np.concatenate(ranks), by_tf.indices, by_tf.indptr), by_tf.shape))


@dataclass(frozen=True, slots=True)
class Pools:
    """Data of the regressions in name order, log-normalised, with the group of every row.

    `expression` and `accessibility` are those of metacells. `single` holds single cells for TF -> gene links, where they
    are deep enough to be better; `None` means the metacells.
    """

    expression: Float[np.ndarray, "cells genes"]
    codes: Int[np.ndarray, " cells"]
    genes: pd.Index
    tfs: Int[np.ndarray, " tfs"]
    accessibility: sp.csc_matrix | None = None
    regions: pd.Index | None = None
    pairs: pd.DataFrame | None = None
    single: Float[np.ndarray, "singles genes"] | None = None
    single_codes: Int[np.ndarray, " singles"] | None = None

    @property
    def for_tfs(self) -> tuple[np.ndarray, np.ndarray]:
        """Expression that TF -> gene links are fitted to, and the group of every row."""
        if self.single is None or self.single_codes is None:
            return self.expression, self.codes
        return self.single, self.single_codes


@dataclass(frozen=True, slots=True)
class LinkScores:
    """Scores of all candidate links; `region_gene` is the table of pairs with `importance`, `rho` and `score`."""

    region_gene: pd.DataFrame | None
    tf_gene: TfScores


@dataclass(frozen=True, slots=True)
class PartScores(LinkScores):
    """Scores of the default method, with the parts that permutations compare."""

    tf_gene: TfGeneLinks


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """How to do the regressions: settings, root of all seeds, threads, where finished parts are kept."""

    settings: InferSettings
    root: int
    n_jobs: int
    checkpoint: Checkpoint = NO_CHECKPOINT

    def tf_links(
        self,
        expression: Float[np.ndarray, "cells genes"],
        tfs: Int[np.ndarray, " tfs"],
        seeds: np.ndarray,
        *,
        n_targets: int | None = None,
    ) -> TfGeneLinks:
        """TF -> gene links of one set of cells."""
        return tf_gene_links(
            expression, tfs, seeds, settings=self.settings.tf_gene, n_jobs=self.n_jobs, n_targets=n_targets,
            checkpoint=self.checkpoint,
        )  # fmt: skip


def score_links(batches: Sequence[Pools], work: Work) -> PartScores:
    """Score all links in every batch by itself and average them, so that no difference between batches makes a link."""
    tf_gene = score_tfs(batches, work)
    if work.settings.self_links:
        tf_gene = with_self_links(tf_gene, batches[0].tfs)
    pairs = batches[0].pairs
    return PartScores(None if pairs is None else score_regions(batches, pairs, work), tf_gene)


def score_regions(batches: Sequence[Pools], pairs: pd.DataFrame, work: Work) -> pd.DataFrame:
    """Score all pairs."""
    genes = batches[0].genes
    return next(
        _score(batches, pairs, work, seeds_for(work.root, "region_gene", genes)[None], np.arange(genes.size)[None])
    )


def score_swapped_regions(
    batches: Sequence[Pools], pairs: pd.DataFrame, work: Work, donors: Int[np.ndarray, "runs genes"]
) -> Iterator[pd.DataFrame]:
    """Score all pairs once per run, in which every gene's locus is given the expression of another gene."""
    for first in range(0, len(donors), RUNS_AT_ONCE):
        part = donors[first : first + RUNS_AT_ONCE]
        titles = [f"null region_gene {run}" for run in range(first, first + len(part))]
        seeds = np.stack([seeds_for(work.root, title, batches[0].genes) for title in titles])
        yield from _score(batches, pairs, work, seeds, part)


def _score(
    batches: Sequence[Pools], pairs: pd.DataFrame, work: Work, seeds: np.ndarray, donors: Int[np.ndarray, "runs genes"]
) -> Iterator[pd.DataFrame]:
    settings = work.settings
    given = pairs["gene"].to_numpy(), pairs["region"].to_numpy(), seeds, donors
    found = [
        score_swapped(
            pools.expression, pools.accessibility, *given, settings=settings.region_gene, n_jobs=work.n_jobs,
            checkpoint=work.checkpoint,
        )
        for pools in batches
    ]  # fmt: skip
    for run in range(len(donors)):
        importance = mean_of_batches([i[:, run] for i, _ in found], batches)
        rho = mean_of_batches([r[:, run] for _, r in found], batches, correlation=True)
        score = importance * np.abs(rho) * pairs["weight"].to_numpy() if settings.contact else importance
        yield pairs.assign(importance=importance, rho=rho, score=score)


def score_tfs(batches: Sequence[Pools], work: Work) -> TfGeneLinks:
    """Score every TF for every gene."""
    seeds = seeds_for(work.root, "tf_gene", batches[0].genes)
    parts = [work.tf_links(pools.for_tfs[0], pools.tfs, seeds) for pools in batches]
    return average_tfs(parts, batches)


def average_tfs(parts: Sequence[TfGeneLinks], batches: Sequence[Pools]) -> TfGeneLinks:
    """Average the links of batches part by part."""
    if len(parts) == 1:
        return parts[0]
    return combine_parts(
        ridge=mean_of_batches([part.ridge for part in parts], batches),
        boosting=mean_of_batches([part.boosting for part in parts], batches),
        rho=mean_of_batches([part.rho for part in parts], batches, correlation=True),
    )


def mean_of_batches(arrays: Sequence[np.ndarray], batches: Sequence[Pools], *, correlation: bool = False) -> np.ndarray:
    """Mean over batches, weighted by their numbers of metacells; of correlations by Fisher's z."""
    if len(arrays) == 1:
        return arrays[0]
    share = np.array([pools.expression.shape[0] for pools in batches], dtype=np.float64)
    if correlation:
        arrays = [np.arctanh(np.clip(a, -STRONGEST_RHO, STRONGEST_RHO)) for a in arrays]
    total = sum(s * a for s, a in zip(share / share.sum(), arrays, strict=True))
    return np.asarray(np.tanh(total) if correlation else total, dtype=np.float32)


def with_self_links(links: TfGeneLinks, tfs: Int[np.ndarray, " tfs"]) -> TfGeneLinks:
    """Make every TF its own best target, a little above the others (SCENIC+)."""
    importance, rho = links.importance.copy(), links.rho.copy()
    row = np.arange(tfs.size)
    importance[row, tfs] = links.importance.max(axis=1, initial=0) + SELF_MARGIN
    rho[row, tfs] = 1
    return replace(links, importance=importance, rho=rho)
