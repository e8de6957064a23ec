"""The steps of `pp.read_cistarget`: a database laid over the regions of the data, and the two tests on it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._core.checks import fail, listing, need_between, need_one_of
from .._core.logging import progress
from .._core.rng import generator
from .._core.tables import REGION_PATTERN
from ..grn.cistarget import Block, Cutoffs, best_ranks, recover
from ..grn.cistromes import max_product, strongest
from ..grn.dem import compare, hit_shares, read_dense
from ..grn.intervals import overlapping
from ..grn.region_gene import parse_regions
from ..priors._cistarget import MotifDatabase, open_database
from ._region_sets import Sets

logger = logging.getLogger(__name__)

FEWEST_COVERED, FEW_COVERED = 0.1, 0.5  # share of the data's regions in the database: an error, a warning below
FEWEST_REGIONS = 10  # of a set (or a background) in the database
EXTENDED = ("orthology", "similarity")
COLUMNS = ["region_set", "method", "motif", "auc", "nes", "log2fc", "fdr", "n_hits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Thresholds of `pp.read_cistarget`, checked."""

    fraction_overlap: float
    auc_threshold: float
    rank_threshold: float
    min_nes: float
    max_fdr: float
    min_log2fc: float
    max_background: int
    min_score: float | None
    extended: tuple[str, ...]
    max_similarity: float
    min_identity: float

    def __post_init__(self) -> None:
        need_between(self.auc_threshold, 0, self.rank_threshold, name="auc_threshold")
        for name in ("fraction_overlap", "rank_threshold", "max_fdr", "max_similarity", "min_identity"):
            need_between(getattr(self, name), 0, 1, name=name)
        need_between(self.max_background, FEWEST_REGIONS, np.inf, name="max_background")
        for kind in self.extended:
            need_one_of(kind, EXTENDED, name="extended")


@dataclass(frozen=True, slots=True)
class Overlay:
    """The database regions that overlap the data: `used` (by name, so that no result depends on the order of columns)."""

    database: MotifDatabase
    used: np.ndarray
    links: sp.csr_matrix  # regions of the data x used, ones

    def read(self, positions: np.ndarray) -> Iterator[Block]:
        """Values of some of the used regions."""
        return self.database.blocks(self.used[positions])

    def of_set(self, regions: np.ndarray) -> np.ndarray:
        """Positions in `used` of a set of regions of the data."""
        return np.unique(self.links[regions].indices).astype(np.int64)


@dataclass(slots=True)
class Found:
    """Enriched motifs and their hits, collected over sets."""

    rows: list[pd.DataFrame] = field(default_factory=list)
    hits: list[tuple[np.ndarray, ...]] = field(default_factory=list)

    def add(self, columns: dict[str, object], motifs: np.ndarray, regions: np.ndarray, shares: sp.csr_matrix) -> None:
        """Note the motifs of one set; `shares` (motifs x regions) are turned into scores, -log10."""
        self.rows.append(pd.DataFrame({**columns, "n_hits": np.diff(shares.indptr).astype(np.int64)}))
        part = shares.tocoo()
        self.hits.append((regions[part.col], motifs[part.row], -np.log10(part.data)))

    def matrix(self, shape: tuple[int, int]) -> sp.csr_matrix:
        """Best score of every motif in every used region (regions x motifs)."""
        if not self.hits:
            return sp.csr_matrix(shape, dtype=np.float32)
        row, column, value = (np.concatenate(part) for part in zip(*self.hits, strict=True))
        return strongest(row.astype(np.int64), column.astype(np.int64), value.astype(np.float64), shape)


def overlay(path: str | Path, names: pd.Index, fraction: float, *, ranks: bool) -> Overlay:
    """Open a database and find its regions that overlap the data."""
    database = open_database(path, ranks=ranks)
    row, column = overlapping(parse_regions(names), _places(database), fraction=float(fraction))
    covered = np.unique(row).size / max(len(names), 1)
    if covered < FEWEST_COVERED:
        raise fail(
            ValueError, f"at least {FEWEST_COVERED:.0%} of the regions must overlap those of {database.path.name}.",
            f"{covered:.1%}; data {listing(names, 3)}, database {listing(database.regions, 3)}.",
            "take the database of the same genome build, with the same chromosome names (chr1 against 1).",
        )  # fmt: skip
    used, place = np.unique(column, return_inverse=True)
    order = np.argsort(database.regions.to_numpy(dtype=str)[used], kind="stable")
    at = np.empty(order.size, np.int64)
    at[order] = np.arange(order.size)
    links = sp.csr_matrix((np.ones(row.size, np.float32), (row, at[place])), (len(names), used.size))
    logger.log(
        logging.WARNING if covered < FEW_COVERED else logging.INFO,
        "%s: %d motifs, %d regions, of which %d overlap %.0f %% of the regions of the data%s",
        database.path.name, len(database.motifs), len(database.regions), used.size, 100 * covered,
        "; is it of the same genome build?" if covered < FEW_COVERED else "",
    )  # fmt: skip
    return Overlay(database, used[order], links)


def _places(database: MotifDatabase) -> pd.DataFrame:
    try:
        return parse_regions(database.regions)
    except ValueError as error:
        others = database.regions[~database.regions.str.fullmatch(REGION_PATTERN)]
        raise fail(
            ValueError, f"{database.path.name} must hold regions named chrom:start-end.",
            f"{len(others)} others: {listing(others, 5)}.",
            "take the region-based database (regions_vs_motifs), not that of genes.",
        ) from error  # fmt: skip


def usable(laid: Overlay, sets: Sets) -> dict[str, np.ndarray]:
    """Positions of the sets in a database; sets with too few are left out."""
    placed = {name: laid.of_set(regions) for name, regions in sets.items()}
    small = [f"{name} ({found.size})" for name, found in placed.items() if found.size < FEWEST_REGIONS]
    if len(small) == len(placed):
        raise fail(
            ValueError, f"a region set needs {FEWEST_REGIONS} regions of {laid.database.path.name}.",
            f"{listing(small)}.", "give larger sets, or a lower fraction_overlap.",
        )  # fmt: skip
    if small:
        logger.info("region sets with fewer than %d regions in the database are left out: %s", FEWEST_REGIONS, small)
    return {name: found for name, found in placed.items() if found.size >= FEWEST_REGIONS}


def by_rankings(laid: Overlay, sets: Sets, limits: Limits, _root: int) -> tuple[Found, sp.csr_matrix]:
    """Test every set by the recovery of its regions in the rankings (cisTarget)."""
    database, found = laid.database, Found()
    n_regions = len(database.regions)
    cutoffs = Cutoffs.of(n_regions, float(limits.auc_threshold), float(limits.rank_threshold))
    placed = usable(laid, sets)
    needed = np.unique(np.concatenate([np.empty(0, np.int64), *placed.values()]))
    shape = len(database.motifs), laid.used.size
    blocks = ((motifs, needed[at], values) for motifs, at, values in laid.read(needed))
    ranks = best_ranks(blocks, shape, cutoffs)
    for name, regions in progress(placed.items(), title="cistarget", total=len(placed)):
        own = sp.csr_matrix(ranks[:, regions])
        result = recover(own, cutoffs, min_nes=float(limits.min_nes))
        shares = own[result.enriched].multiply(result.hits).tocsr().astype(np.float64)
        shares.data = (shares.data - 0.5) / n_regions
        columns = {
            "region_set": name, "method": "cistarget", "motif": database.motifs[result.enriched],
            "auc": result.auc[result.enriched], "nes": result.nes[result.enriched], "log2fc": np.nan, "fdr": np.nan,
        }  # fmt: skip
        found.add(columns, result.enriched, regions, shares)
    return found, found.matrix((shape[1], shape[0]))


def by_scores(laid: Overlay, sets: Sets, limits: Limits, root: int) -> tuple[Found, sp.csr_matrix]:
    """Test every set by its scores (DEM), against the other sets or, if these are small, the rest of the data."""
    database, found = laid.database, Found()
    placed = usable(laid, sets)
    every = np.arange(len(database.motifs))
    at = None if limits.min_score is None else float(limits.min_score)
    for name, regions in progress(placed.items(), title="dem", total=len(placed)):
        background = draw_background(name, placed, laid.used.size, limits.max_background, root)
        if background.size < FEWEST_REGIONS:
            logger.info("region set %r holds nearly all regions: no background for its scores", name)
            continue
        others = read_dense(laid.read, background, every)
        result = compare(laid.read, others, regions)
        enriched = np.flatnonzero((result.fdr <= limits.max_fdr) & (result.log2fc >= limits.min_log2fc))
        ours = read_dense(laid.read, regions, enriched) if enriched.size else np.empty((0, regions.size), np.float32)
        columns = {
            "region_set": name, "method": "dem", "motif": database.motifs[enriched], "auc": np.nan, "nes": np.nan,
            "log2fc": result.log2fc[enriched], "fdr": result.fdr[enriched],
        }  # fmt: skip
        found.add(columns, enriched, regions, hit_shares(ours, others[enriched], at))
    return found, found.matrix((laid.used.size, len(database.motifs)))


def draw_background(name: str, placed: dict[str, np.ndarray], n_used: int, largest: int, root: int) -> np.ndarray:
    """At most `largest` regions that are not in the set, in ascending order; each set has its own draw."""
    rest = [found for other, found in placed.items() if other != name]
    pool = np.setdiff1d(np.concatenate([np.empty(0, np.int64), *rest]), placed[name])
    if pool.size < FEWEST_REGIONS:
        pool = np.setdiff1d(np.arange(n_used), placed[name])
    if pool.size <= largest:
        return pool
    return np.sort(generator(root, "background", name).choice(pool, size=largest, replace=False))


def of_tfs(laid: Overlay, scores: sp.csr_matrix, pairs: pd.DataFrame, tfs: pd.Index) -> sp.csr_matrix:
    """Regions of the data x TFs: the best score over the motifs of a TF and the overlapping database regions."""
    motif, tf = laid.database.motifs.get_indexer(pairs["motif"]), tfs.get_indexer(pairs["tf"])
    known = (motif >= 0) & (tf >= 0)
    shape = len(laid.database.motifs), len(tfs)
    links = strongest(motif[known], tf[known], np.ones(int(known.sum())), shape)
    return max_product(laid.links, max_product(scores, links))
