"""Changes of TFs carried along the links of a network, step by step, for groups and for cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float, Float32, Int, Int8
from joblib import Parallel, delayed

from .._core.checks import fail, listing
from .._core.rng import generator, seeds_for
from .._core.settings import settings
from .response import Cells, Moments, Response, boosted_response, linear_response, moments_of, sample_evenly
from .score import CellInput
from .wiring import Wiring, steps_from

Model = Literal["linear", "boosted"]
BLOCK_VALUES = 2_000_000  # cells x genes that are dense at a time
VALUE = 8  # bytes of a change and its column


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationSettings:
    """Which model carries a change, how far, and whether the change of every cell is wanted."""

    model: Model
    n_steps: int
    per_cell: bool
    root: int
    n_jobs: int


@dataclass(frozen=True, slots=True)
class Simulated:
    """Changes of some genes (places among all genes, ascending).

    `before` is the mean of every gene and group, `step` the number of links from the perturbed genes (-1: not reached, or
    no cell in the group), `agreement` how many direct links move their target as their sign says, and of how many.
    """

    genes: Int[np.ndarray, " genes"]
    change: Float32[np.ndarray, "genes groups"]
    before: Float[np.ndarray, "groups genes"]
    step: Int8[np.ndarray, "genes groups"]
    levels: Float[np.ndarray, " perturbed"]
    agreement: tuple[int, int]
    cells: sp.csr_matrix | None


@dataclass(frozen=True, slots=True)
class Perturbation:
    """Genes that are held at a level, the range that every gene was observed in, and the number of steps."""

    genes: Int[np.ndarray, " perturbed"]
    levels: Float[np.ndarray, " perturbed"]
    low: Float[np.ndarray, " genes"]
    high: Float[np.ndarray, " genes"]
    n_steps: int


def simulate(
    cells: CellInput,
    wiring: Wiring,
    perturbed: Int[np.ndarray, " perturbed"],
    levels: Float[np.ndarray, " perturbed"],
    chosen: SimulationSettings,
) -> Simulated:
    """Hold some genes (ascending places) at a level, infinity being the highest value of any cell.

    Only genes that a change can reach, and their TFs, are read and fitted.
    """
    n_groups = wiring.holds.shape[1]
    step = steps_from(wiring, perturbed, chosen.n_steps)
    links = wiring.into(np.asarray((step > 0).any(axis=1)))
    genes = np.unique(np.r_[perturbed, links.tf, links.gene])
    links, own, step = links.among(genes), np.searchsorted(genes, perturbed), step[genes]
    columns = genes if cells.counts.columns is None else cells.counts.columns[genes]
    local = Cells(replace(cells.counts, columns=columns), cells.depth, cells.codes, n_groups)
    linear = chosen.model == "linear"
    moments = moments_of(local, links if linear else links.into(np.zeros(genes.size, dtype=bool)))
    levels = np.where(np.isinf(levels), moments.high[own], levels)
    _need_expressed(cells.genes[perturbed], moments.high[own])
    step[:, moments.n_cells == 0] = -1
    perturbation = Perturbation(own, levels, moments.low, moments.high, chosen.n_steps)
    if linear:
        respond = linear_response(moments, links)
        change = change_of_means(moments, perturbation, respond)
    else:
        rows = sample_evenly(cells.codes, n_groups, generator(chosen.root, "cells"))
        x, seeds = local.take(rows), seeds_for(chosen.root, "trees", cells.genes[genes])
        respond = boosted_response(x, links, seeds, n_jobs=chosen.n_jobs)
        change = mean_of_changes(x, cells.codes[rows], n_groups, perturbation, respond)
    single = None
    if chosen.per_cell:
        _need_memory(step, moments.n_cells)
        single = change_of_cells(local, perturbation, respond, n_jobs=chosen.n_jobs)
    return Simulated(genes, change, moments.mean, step, levels, agreement(change, links, own), single)


def propagate(
    x: Float[np.ndarray, "cells genes"], codes: Int[np.ndarray, " cells"], perturbation: Perturbation, respond: Response
) -> Float[np.ndarray, "cells genes"]:
    """Change of every gene after `n_steps`, in cells of the groups `codes`.

    d_0 is `level - x` for the perturbed genes and 0 for all others; d_(k+1) is the response to d_k, cut so that x + d
    stays inside the observed range, with the perturbed genes back at d_0. A change therefore reaches no further than
    `n_steps` links, and ways of all lengths up to that add up.
    """
    fixed = perturbation.genes
    down, up = np.minimum(perturbation.low - x, 0), np.maximum(perturbation.high - x, 0)
    change = np.zeros_like(x)
    change[:, fixed] = perturbation.levels - x[:, fixed]
    for _ in range(perturbation.n_steps):
        after = np.clip(respond(x, change, codes), down, up)
        after[:, fixed] = change[:, fixed]
        change = after
    return change


def change_of_means(
    moments: Moments, perturbation: Perturbation, respond: Response
) -> Float32[np.ndarray, "genes groups"]:
    """Change of the mean expression of every group; 0 for groups without cells."""
    out = np.zeros(moments.mean.T.shape, dtype=np.float32)
    groups = np.flatnonzero(moments.n_cells)
    out[:, groups] = propagate(moments.mean[groups], groups, perturbation, respond).T
    return out


def mean_of_changes(
    x: Float[np.ndarray, "cells genes"],
    codes: Int[np.ndarray, " cells"],
    n_groups: int,
    perturbation: Perturbation,
    respond: Response,
) -> Float32[np.ndarray, "genes groups"]:
    """Mean change of the cells of every group; 0 for groups without cells."""
    change = propagate(x, codes, perturbation, respond)
    out = np.zeros((x.shape[1], n_groups), dtype=np.float32)
    for group in np.unique(codes):
        out[:, group] = change[codes == group].mean(axis=0)
    return out


def change_of_cells(cells: Cells, perturbation: Perturbation, respond: Response, *, n_jobs: int) -> sp.csr_matrix:
    """Change of every cell (float32 CSR cells x genes), in blocks of cells on threads."""
    jobs = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator")
    tasks = (delayed(_block)(load, cells.codes, first, perturbation, respond) for first, load in cells.tasks())
    return sp.vstack(list(jobs(tasks)), "csr")


def _block(
    load: Callable[[], sp.csr_matrix], codes: np.ndarray, first: int, perturbation: Perturbation, respond: Response
) -> sp.csr_matrix:
    x = load()
    codes = codes[first : first + x.shape[0]]
    size = max(1, BLOCK_VALUES // x.shape[1])
    parts = []
    for a in range(0, x.shape[0], size):
        part = x[a : a + size].toarray().astype(np.float64)
        change = propagate(part, codes[a : a + size], perturbation, respond)
        parts.append(sp.csr_matrix(change.astype(np.float32)))
    return sp.vstack(parts, "csr")


def agreement(
    change: Float[np.ndarray, "genes groups"], wiring: Wiring, genes: Int[np.ndarray, " perturbed"]
) -> tuple[int, int]:
    """How many direct links move their target as the sign of the link says, and of how many; all groups counted."""
    own = np.isin(wiring.tf, genes) & ~np.isin(wiring.gene, genes) & (wiring.sign != 0)
    cause, effect = change[wiring.tf[own]], change[wiring.gene[own]]
    judged = wiring.holds[own] & (cause != 0) & (effect != 0)
    agrees = np.sign(cause) * wiring.sign[own, None] == np.sign(effect)
    return int((agrees & judged).sum()), int(judged.sum())


def _need_expressed(names: pd.Index, high: Float[np.ndarray, " perturbed"]) -> None:
    silent = names[high == 0]
    if silent.size:
        raise fail(
            ValueError, "a gene can be perturbed where some cells express it.",
            f"{listing(silent)} without a count in any cell: a knock-out changes nothing, and what more of it would do "
            "cannot be learnt.", "leave it out, or add cells that express it.",
        )  # fmt: skip


def _need_memory(step: Int8[np.ndarray, "genes groups"], n_cells: Int[np.ndarray, " groups"]) -> None:
    most = VALUE * float((step >= 0).sum(axis=0) @ n_cells)
    if most > settings.max_bytes:
        raise fail(
            ValueError, f"changes of single cells must stay below settings.max_memory = {settings.max_memory!r}.",
            f"up to {most / 1e9:.2g} GB.", "raise grs.settings.max_memory, take fewer steps, or leave per_cell out.",
        )  # fmt: skip
