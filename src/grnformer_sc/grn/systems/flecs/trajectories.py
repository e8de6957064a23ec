"""Trajectories: cells of one time paired with cells of the next by optimal transport."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Float32, Int
from joblib import Parallel, delayed
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from ...._core.rng import generator, seed_for
from ...._core.rows import Rows
from ...._core.settings import settings
from ...embedding import pca_scores

logger = logging.getLogger(__name__)

PAIR_BYTES = 16  # of a cost and its copy
FEWEST = 2


@dataclass(frozen=True, slots=True)
class Design:
    """Time and label of every cell (-1: not used), the times, names of the labels, and the gene lost in each (or -1)."""

    time: Int[np.ndarray, " cells"]
    label: Int[np.ndarray, " cells"]
    times: Float[np.ndarray, " times"]
    names: tuple[str, ...]
    lost: Int[np.ndarray, " labels"]

    @property
    def sizes(self) -> Int[np.ndarray, "labels times"]:
        """Number of cells of every label at every time."""
        used = self.label >= 0
        code = self.label[used] * self.times.size + self.time[used]
        return np.bincount(code, minlength=len(self.names) * self.times.size).reshape(len(self.names), -1)


@dataclass(frozen=True, slots=True)
class Paths:
    """Expression of the cells that trajectories pass through.

    Attributes
    ----------
    expression
        Cells x genes.
    cells
        Row of `expression` by trajectory and time; -1 where a label has no cells at a time (never the first).
    times
        Times in units of the mean gap.
    lost
        Gene that is lost along every trajectory, or -1.
    """

    expression: sp.csr_matrix
    cells: Int[np.ndarray, "paths times"]
    times: Float[np.ndarray, " times"]
    lost: Int[np.ndarray, " paths"]

    def states(self, rows: Int[np.ndarray, " rows"]) -> Float32[np.ndarray, "rows times genes"]:
        """Expression along some trajectories; a lost gene is 0."""
        cells, lost = self.cells[rows], self.lost[rows]
        out = self.expression[cells.ravel()].toarray().astype(np.float32, copy=False)
        out = out.reshape(*cells.shape, self.expression.shape[1])
        there = lost >= 0
        out[there, :, lost[there]] = 0
        return out

    def counted(self, rows: Int[np.ndarray, " rows"]) -> Bool[np.ndarray, "rows times genes"] | None:
        """What of it is measured and can be compared; `None` for everything."""
        cells, lost = self.cells[rows], self.lost[rows]
        if (cells >= 0).all() and (lost < 0).all():
            return None
        out = np.repeat((cells >= 0)[:, :, None], self.expression.shape[1], axis=2)
        there = lost >= 0
        out[there, :, lost[there]] = False
        return out


def unit_times(times: Float[np.ndarray, " times"]) -> Float[np.ndarray, " times"]:
    """Times since the first one in units of the mean gap."""
    return (times - times[0]) / mean_gap(times)


def mean_gap(times: Float[np.ndarray, " times"]) -> float:
    """Mean time between neighbours."""
    return float((times[-1] - times[0]) / (times.size - 1))


def drawn(cells: Int[np.ndarray, " cells"], n: int, rng: np.random.Generator) -> Int[np.ndarray, " n"]:
    """So many of the cells, in random order, none more than once oftener than another."""
    whole, rest = divmod(n, cells.size)
    return rng.permutation(np.concatenate([np.tile(cells, whole), rng.permutation(cells)[:rest]]))


def matched(
    before: Float[np.ndarray, "cells comps"], after: Float[np.ndarray, "cells comps"]
) -> Int[np.ndarray, " cells"]:
    """Partner of every cell: optimal transport of equal masses, whose cost is the squared distance.

    Such a plan is a permutation, found exactly (Jonker-Volgenant).
    """
    partner: Int[np.ndarray, " cells"] = linear_sum_assignment(cdist(before, after, "sqeuclidean"))[1]
    return partner.astype(np.int64)


def chains(
    counts: Rows, design: Design, *, n_trajectories: int, n_comps: int, root: int, n_jobs: int
) -> tuple[Int[np.ndarray, "paths times"], Int[np.ndarray, " paths"]]:
    """Cells along every trajectory (-1: no cells of the label at that time), and its label.

    Every label has as many trajectories as cells at its largest time, and no more than `n_trajectories`: cells of large
    times are drawn, those of small times are used several times, so that both sides of every pairing have equal masses.
    """
    limit, sizes = fitting(n_trajectories, n_jobs), design.sizes
    if (sizes > limit).any():
        logger.info(
            "flecs: %d of %d cells drawn for trajectories (n_trajectories=%d%s)",
            np.minimum(sizes, limit).sum(), sizes.sum(), n_trajectories,
            "" if limit == n_trajectories else f", cut to {limit} by settings.max_memory",
        )  # fmt: skip
    groups = []
    for label, name in enumerate(design.names):
        n = min(limit, int(sizes[label].max()))
        here = np.full((n, design.times.size), -1, dtype=np.int64)
        for time in np.flatnonzero(sizes[label]):
            own = np.flatnonzero((design.label == label) & (design.time == time))
            here[:, time] = drawn(own, n, generator(root, "trajectories", name, int(time)))
        groups.append(here)
    cells = np.concatenate(groups)
    used = np.unique(cells[cells >= 0])
    scores = pca_scores(Rows(counts.take(used)), n_comps=n_comps, seed=seed_for(root, "components"))[0]
    steps = [(number, pair) for number, here in enumerate(groups) for pair in pairwise(_present(here))]
    partners = Parallel(n_jobs=n_jobs, prefer="threads")(
        delayed(matched)(*(scores[np.searchsorted(used, groups[number][:, time])] for time in pair))
        for number, pair in steps
    )
    _in_order(groups, steps, list(partners))
    return np.concatenate(groups), np.repeat(np.arange(len(groups)), [len(here) for here in groups])


def fitting(n: int, n_jobs: int) -> int:
    """Trajectories whose costs fit into `settings.max_memory`."""
    most = settings.max_bytes / (PAIR_BYTES * n_jobs)
    return n if most >= n**2 else max(FEWEST, int(most**0.5))


def _present(cells: Int[np.ndarray, "paths times"]) -> list[int]:
    """Times at which a label has cells."""
    found: list[int] = np.flatnonzero((cells >= 0).all(axis=0)).tolist()
    return found


def _in_order(groups: list[np.ndarray], steps: list[tuple[int, tuple[int, int]]], partners: list[np.ndarray]) -> None:
    """Sort the cells of every time so that those of a row follow each other."""
    order = [np.arange(len(here)) for here in groups]
    for (number, (_, after)), partner in zip(steps, partners, strict=True):
        order[number] = partner[order[number]]
        groups[number][:, after] = groups[number][order[number], after]
