"""Foundation models in `build_grn`: scores of every group, heads chosen by known links, one edge table."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._core.checkpoint import Checkpoint
from .._core.checks import fail
from .._core.logging import progress
from .._core.rng import generator
from ..grn.embedding import log_normalise
from ..grn.systems.foundation.links import (
    best_links,
    beyond_others,
    gene_level,
    signed_by_change,
    signed_by_correlation,
)
from ..grn.systems.groups import GroupNetworks
from ..nn.foundation.options import FoundationOptions
from ._embed import gene_names
from ._foundation_heads import choose_heads
from ._systems import SystemInput, SystemNetwork, need_memory, regulators_in

if TYPE_CHECKING:
    from ..model.foundation import Foundation
    from ..model.foundation_scores import Scorer

logger = logging.getLogger(__name__)

CELLS = "cells"  # in obsm, behind the base name: attention of links in cells


def infer_foundation(given: SystemInput, options: FoundationOptions, *, name: str) -> SystemNetwork:
    """Score the pairs of every group, and lay out the best links of each in one edge table."""
    from ..model.foundation_scores import needed_bytes

    model = model_named(name, options.checkpoint)
    scorer, dropped = _scorer(given, options, model)
    genes, names = given.cells.genes, list(given.groups.cat.categories)
    need_memory(name, needed_bytes(scorer) * (len(names) if options.relative else 1), genes.size)
    chosen = {group: _rows(given, code, options.max_cells, group) for code, group in enumerate(names)}
    stored: dict[str, Any] = {"model": repr(model), "sha256": model.sha256}
    if options.n_heads is not None:
        scorer, stored["heads"] = choose_heads(scorer, given, options, chosen)
    counts = {group: given.cells.counts.take(rows) for group, rows in chosen.items()}
    scores = _scores(scorer, counts, given.checkpoint)
    sizes = {group: np.abs(score) for group, score in scores.items()} if options.changes else scores
    if options.relative:
        sizes = beyond_others(sizes)
    share, weights = [], []
    for group, size in sizes.items():
        explained, left = gene_level(size)
        share.append(explained)
        links = best_links(left if options.center else size, scorer.tfs, options.top)
        weights.append(_signed(links, scores[group], scorer, counts[group]))
    _log(name, model, names, share)
    networks = GroupNetworks(genes, tuple(names), weights)
    edges, holds = networks.edges(scorer.tfs)
    if not len(edges):
        raise fail(
            ValueError, "a network needs at least one link.", f"no pair of {scorer.tfs.size} regulators with a score.",
            "name other regulators with tfs=, or read more cells (options={'max_cells': ...}).",
        )  # fmt: skip
    stored |= {"gene_level": np.asarray(share), "n_cells": np.asarray([rows.size for rows in chosen.values()])}
    if not options.per_cell:
        return SystemNetwork(edges, holds, stored, dropped)
    return SystemNetwork(edges, holds, stored, dropped, {CELLS: _in_cells(scorer, given, edges)})


def _signed(links: sp.csr_matrix, score: np.ndarray, scorer: Scorer, counts: sp.csr_matrix) -> sp.csr_matrix:
    """Links with the sign of the change of their gene, or of the correlation in the cells."""
    options = scorer.options
    if options.changes and options.score != "flag":
        return signed_by_change(links, score, scorer.tfs, raised=options.score == "overexpression")
    return signed_by_correlation(links, log_normalise(counts))


def model_named(name: str, checkpoint: Any) -> Foundation:
    """Read a model, or check that the one given is of this kind."""
    from ..model.foundation_files import FOUNDATIONS, load_foundation

    if isinstance(checkpoint, (str, Path)):
        return load_foundation(checkpoint, model=name)
    if not isinstance(checkpoint, FOUNDATIONS[name]):
        raise fail(
            TypeError, f"checkpoint of method={name!r} must be a path or a grs.model.{FOUNDATIONS[name].__name__}.",
            f"{type(checkpoint).__name__}.", "read it with grs.model.load_foundation(path), or name its own method.",
        )  # fmt: skip
    return checkpoint


def _scorer(given: SystemInput, options: FoundationOptions, model: Foundation) -> tuple[Scorer, dict[str, int]]:
    """Scorer of the regulators that the vocabulary holds, and counts of what it does not."""
    from ..model.foundation_scores import Scorer

    genes = given.cells.genes
    known_as = gene_names(given.rna, options.gene_ids)[given.rna.var_names.get_indexer(genes)]
    counts = model.counts_of(given.cells.counts, known_as, min_matched=float(options.min_matched))
    tfs, n_without = regulators_in(
        given, counts.place >= 0, where="the vocabulary of the model",
        fix="name genes as the model does (options={'gene_ids': ...})",
    )  # fmt: skip
    dropped = {"genes_without_token": counts.n_lost, "regulators_without_token": n_without}
    return Scorer.of(model, counts.place, tfs, options), dropped


def _rows(given: SystemInput, code: int, most: int, name: str) -> np.ndarray:
    """Cells of a group that are read, drawn by its name where there are too many."""
    rows = np.flatnonzero(given.cells.codes == code)
    if rows.size > most:
        rows = np.sort(generator(given.root, "foundation", name).permutation(rows)[:most])
    return rows


def _scores(scorer: Scorer, counts: dict[str, sp.csr_matrix], checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    """Scores genes x regulators by group."""
    if scorer.options.relative and len(counts) < 2:
        raise fail(
            ValueError,
            "relative=True compares groups of cells.",
            f"{len(counts)} group.",
            "pass groupby=, or relative=False.",
        )
    out = {}
    for name in progress(list(counts), title=f"{scorer.model.title}: groups", total=len(counts)):
        out[name] = scorer.of_pairs(scorer.kept_scores(counts[name], checkpoint))
    return out


def _in_cells(scorer: Scorer, given: SystemInput, edges: pd.DataFrame) -> sp.csr_matrix:
    """Attention of every link in every cell, in blocks; links of both signs share theirs."""
    genes = given.cells.genes
    tf = pd.Index(scorer.tfs).get_indexer(genes.get_indexer(edges["tf"]))
    gene, tf = scorer.read_for(genes.get_indexer(edges["gene"]), tf)
    pair, own = np.unique(gene * scorer.tfs.size + tf, return_inverse=True)
    numbers = np.arange(1, pair.size + 1)
    links = sp.csr_matrix((numbers, np.divmod(pair, scorer.tfs.size)), (genes.size, scorer.tfs.size))
    parts = [scorer.in_cells(block, links)[:, own] for _, block in given.cells.counts.blocks()]
    return sp.csr_matrix(sp.vstack(parts))


def _log(name: str, model: Foundation, groups: list[str], share: list[float]) -> None:
    spread = f"{min(share):.0%}" if len(share) == 1 else f"{min(share):.0%} to {max(share):.0%}"
    logger.info(
        "%s: %s; one mean per gene and per regulator explains %s of the scores of %d group%s",
        name, model.title, spread, len(groups), "" if len(groups) == 1 else "s",
    )  # fmt: skip
