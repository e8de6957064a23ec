"""Dictys in `build_grn`: candidate links by evidence, a model of every group, and of windows along a trajectory."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._core.checks import fail
from .._core.compute import device_of, one_thread, set_up_solvers
from .._core.logging import progress
from .._core.rng import generator
from .._core.rows import members
from ..grn.embedding import log_normalise
from ..grn.pooling import sample_cells
from ..grn.systems.dictys.candidates import between, binding_scores, chosen_genes, strongest
from ..grn.systems.dictys.options import FEWEST_CELLS, DictysOptions
from ..grn.systems.dictys.windows import windows_of
from ..grn.systems.groups import GroupNetworks
from ._systems import EvidenceInput, SystemNetwork, need_cells, need_memory

if TYPE_CHECKING:
    from ..grn.systems.dictys.network import Fit

logger = logging.getLogger(__name__)

VARIED = 5000  # cells whose variances rank the genes
LEVEL, SD, TRAINING, WINDOWS = "level", "sd", "training", "windows"  # in uns, beside the slots of every network


@dataclass(frozen=True, slots=True)
class Task:
    """Cells of a model, its group, and its window (-1: the whole group)."""

    cells: np.ndarray
    group: int
    window: int = -1


@dataclass(frozen=True, slots=True)
class Candidates:
    """Places of the TFs, and the candidate links of every group (bool, TFs x genes)."""

    tfs: np.ndarray
    of_group: list[sp.csr_matrix]


def infer_dictys(given: EvidenceInput, options: DictysOptions) -> SystemNetwork:
    """Fit a model to every group with enough cells, and to windows of its cells where there is a time."""
    read = given.read
    names = list(read.groups.cat.categories)
    size = np.bincount(read.cells.codes, minlength=len(names))
    n_few = need_cells("dictys", size, names, FEWEST_CELLS)
    time = None if options.time_key is None else given.times(options.time_key)
    candidates = _candidates(given, options)
    tasks = _tasks(given, options, size, time)
    fits = _fits(given, options, candidates, tasks)
    networks = GroupNetworks(read.cells.genes, tuple(names), _matrices(fits, len(names), read.cells.genes.size))
    edges, holds = networks.edges(candidates.tfs, evidence="prior" if read.evidence.prior is not None else "direct")
    stored = {**networks.to_uns(), **_stored(given, fits, time)}
    dropped = {**read.dropped, "groups_with_few_cells": n_few, "models_without_measured_links": len(tasks) - len(fits)}
    return SystemNetwork(edges, holds, stored, dropped)


def _candidates(given: EvidenceInput, options: DictysOptions) -> Candidates:
    """The strongest TFs of every gene by prior weight, or by motif hits in regions that are open in the group."""
    read, cells = given.read, given.read.cells
    tfs, n_groups = cells.genes.get_indexer(read.tfs), len(read.groups.cat.categories)
    evidence = read.evidence
    if evidence.prior is not None:
        found = [strongest(sp.csr_matrix(abs(evidence.prior)), tfs, options.n_tfs)] * n_groups
    elif evidence.ranks is not None and read.pairs is not None and cells.accessibility is not None:
        size = np.maximum(np.bincount(cells.codes, minlength=n_groups), 1)
        openness = cells.accessibility.weighted(members(cells.codes, n_groups, 1 / size[cells.codes]))
        found = [
            strongest(binding_scores(read.pairs, evidence.ranks, one, cells.genes.size), tfs, options.n_tfs)
            for one in openness.toarray().astype(np.float64)
        ]
    else:
        raise fail(
            ValueError, "method='dictys' needs evidence of which TFs can act on a gene.", "no prior= and no motif hits.",
            "pass prior= (a table of TFs and genes), or a MuData with motif hits.",
        )  # fmt: skip
    union = sp.csr_matrix(sum(part.astype(np.int64) for part in found))
    if not union.nnz:
        raise fail(
            ValueError, "a network needs candidate links.", "no TF with evidence near any gene.",
            "check that motifs or prior name genes of the data.",
        )  # fmt: skip
    genes = chosen_genes(_variance(given), union, tfs, options.n_genes)
    n_sources = int((np.diff(union.indptr) > 0).sum())
    logger.info("dictys: candidate links of %d TFs to %d of %d genes", n_sources, genes.size, cells.genes.size)
    return Candidates(tfs, [between(part, genes) for part in found])


def _variance(given: EvidenceInput) -> np.ndarray:
    """Variance of the log-normalised counts of every gene, in some of the cells where they are many."""
    cells = given.read.cells
    n = cells.codes.size
    rows = np.arange(n)
    if n > VARIED:
        rows = sample_cells(np.zeros(n, dtype=np.int64), VARIED, generator(given.root, "dictys variance"))
    x = log_normalise(cells.counts.take(rows), size=cells.depth[rows])
    mean = np.asarray(x.mean(axis=0), dtype=np.float64).ravel()
    return np.asarray(x.multiply(x).mean(axis=0), dtype=np.float64).ravel() - mean**2


def _tasks(given: EvidenceInput, options: DictysOptions, size: np.ndarray, time: np.ndarray | None) -> list[Task]:
    """The whole of every group with enough cells, then its windows."""
    read, tasks = given.read, []
    for code in np.flatnonzero(size >= FEWEST_CELLS):
        own, name = np.flatnonzero(read.cells.codes == code), str(read.groups.cat.categories[code])
        some = own
        if own.size > options.most_cells:
            zeros = np.zeros(own.size, dtype=np.int64)
            some = own[sample_cells(zeros, options.most_cells, generator(given.root, "dictys cells", name))]
        tasks.append(Task(some, int(code)))
        if time is not None and own.size > options.window:
            parts = windows_of(time[own], options.window, options.overlap)
            tasks += [Task(np.sort(own[part]), int(code), number) for number, part in enumerate(parts)]
    if time is not None and all(task.window < 0 for task in tasks):
        raise fail(
            ValueError, f"a window has {options.window} cells, and a group more than that.",
            f"at most {size.max()} cells in a group.", "take smaller windows: options={'window': ..., 'overlap': ...}.",
        )  # fmt: skip
    return tasks


def _fits(
    given: EvidenceInput, options: DictysOptions, candidates: Candidates, tasks: list[Task]
) -> list[tuple[Task, Fit]]:
    """Models of all tasks whose cells measure both ends of a candidate link."""
    from joblib import Parallel, delayed

    from ..grn.systems.dictys.network import fit_cells, measured, needed_bytes

    cells, names = given.read.cells, [str(name) for name in given.read.groups.cat.categories]

    def fit(task: Task) -> tuple[Task, Fit] | None:
        counts = cells.counts.take(task.cells)
        genes, links = measured(counts, candidates.of_group[task.group], candidates.tfs, options)
        label = names[task.group] if task.window < 0 else f"{names[task.group]}, window {task.window + 1}"
        if not links.size:
            logger.info("dictys: no candidate link between measured genes in %s", label)
            return None
        need_memory("dictys", given.n_jobs * needed_bytes(task.cells.size, genes.size), genes.size)
        name = (names[task.group], str(task.window))
        found = fit_cells(counts, cells.depth[task.cells], genes, links, options, root=given.root, name=name)
        logger.info(
            "dictys: %s: %d cells, %d genes, %d links; loss %.5g -> %.5g, of the steady state %.3g", label,
            task.cells.size, genes.size, links.shape[1], *found.losses[[0, -1]].sum(axis=1), found.losses[-1, 1],
        )  # fmt: skip
        return task, found

    set_up_solvers(device_of(options.device))
    with one_thread():
        pool = Parallel(n_jobs=given.n_jobs, prefer="threads")
        found = pool(delayed(fit)(task) for task in progress(tasks, title="dictys: models", total=len(tasks)))
    fits = [pair for pair in found if pair is not None]
    if not any(task.window < 0 for task, _ in fits):
        raise fail(
            ValueError, "a model needs a candidate link between two genes that are measured in its cells.",
            f"no group with one; genes need {options.min_counts} counts in {options.min_cells} cells.",
            "lower options={'min_counts': ...}, merge groups, or give more evidence.",
        )  # fmt: skip
    return fits


def _matrices(fits: list[tuple[Task, Fit]], n_groups: int, n_genes: int) -> list[sp.csr_matrix]:
    """Weights of every group; empty without a model."""
    out = [sp.csr_matrix((n_genes, n_genes), dtype=np.float64)] * n_groups
    for task, fit in fits:
        if task.window < 0:
            out[task.group] = fit.matrix(n_genes)
    return out


def _stored(given: EvidenceInput, fits: list[tuple[Task, Fit]], time: np.ndarray | None) -> Mapping[str, Any]:
    """Levels and standard deviations of the genes of every group, losses, and windows."""
    names, n_genes = [str(name) for name in given.read.groups.cat.categories], given.read.cells.genes.size
    whole = [(task, fit) for task, fit in fits if task.window < 0]
    level, sd = (np.full((len(names), n_genes), np.nan, dtype=np.float32) for _ in range(2))
    for task, fit in whole:
        level[task.group], sd[task.group] = (fit.spread_out(value, n_genes) for value in (fit.level, fit.sd))
    losses = pd.concat([
        pd.DataFrame(fit.losses, columns=["latent", "steady_state", "counts"]).assign(
            group=names[task.group], step=fit.steps
        ) for task, fit in whole
    ], ignore_index=True)  # fmt: skip
    losses.index = losses.index.astype(str)
    out: dict[str, Any] = {LEVEL: level, SD: sd, TRAINING: losses}
    windows = [(task, fit) for task, fit in fits if task.window >= 0]
    if time is None or not windows:
        return out
    table = pd.DataFrame({
        "group": [names[task.group] for task, _ in windows],
        "time": [float(np.median(time[task.cells])) for task, _ in windows],
        "first": [float(time[task.cells].min()) for task, _ in windows],
        "last": [float(time[task.cells].max()) for task, _ in windows],
        "n_cells": [task.cells.size for task, _ in windows],
    })  # fmt: skip
    table.index = table.index.astype(str)
    out[WINDOWS] = {
        "table": table, "networks": sp.vstack([fit.matrix(n_genes) for _, fit in windows], "csr"),
        LEVEL: np.stack([fit.spread_out(fit.level, n_genes) for _, fit in windows]).astype(np.float32),
    }  # fmt: skip
    return out
