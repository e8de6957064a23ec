"""What RENGE reads of the cells: how strongly each is perturbed, and sums over the cells of a time and a knock-out.

A cell's perturbation is one number, so the loss needs no more than these sums: its cost does not grow with the cells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int
from scipy.special import expit

from ...._core.rows import Rows, members

SMOOTHING = 0.5  # added to twice the variance of a gene, as MIMOSCA does

Expression = Callable[[sp.csr_matrix], sp.csr_matrix]  # of a block of counts


@dataclass(frozen=True, slots=True)
class Design:
    """Number of the time and of the knocked-out gene of every cell (the number of knock-outs stands for controls).

    `times` are their values, `knocked` the places of the knocked-out genes among all genes (ascending).
    """

    time: Int[np.ndarray, " cells"]
    knockout: Int[np.ndarray, " cells"]
    times: Float[np.ndarray, " times"]
    knocked: Int[np.ndarray, " knocked"]

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of times, and of knock-outs with the controls."""
        return self.times.size, self.knocked.size + 1

    @property
    def stratum(self) -> Int[np.ndarray, " cells"]:
        """Number of every cell's time and knock-out."""
        return self.time * self.shape[1] + self.knockout


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over the cells of every time and knock-out; the last row of a time are the controls.

    `n` counts cells, `x` is their perturbation, `e` expression: `sx` and `sxx` are sums of x and x squared, `se`, `sxe` and
    `see` of e, xe and e squared.
    """

    times: Float[np.ndarray, " times"]
    knocked: Int[np.ndarray, " knocked"]
    n: Float[np.ndarray, "times rows"]
    sx: Float[np.ndarray, "times rows"]
    sxx: Float[np.ndarray, "times rows"]
    se: Float[np.ndarray, "times rows genes"]
    sxe: Float[np.ndarray, "times rows genes"]
    see: Float[np.ndarray, "times rows genes"]

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return int(self.se.shape[2])

    @property
    def counted(self) -> Float[np.ndarray, "rows genes"]:
        """1, but 0 for the knocked-out gene itself, whose expression says nothing about its effects."""
        out = np.ones(self.se.shape[1:])
        out[np.arange(self.knocked.size), self.knocked] = 0
        return out

    def part(self, keep: Bool[np.ndarray, "times rows"]) -> Sums:
        """The same with some strata only; the others are empty."""
        thin, wide = (np.where(k, 1.0, 0.0) for k in (keep, keep[:, :, None]))
        return Sums(
            self.times, self.knocked, self.n * thin, self.sx * thin, self.sxx * thin, self.se * wide, self.sxe * wide,
            self.see * wide,
        )  # fmt: skip


def sums_of(
    counts: Rows,
    expression: Expression,
    design: Design,
    dose: Float[np.ndarray, " cells"],
    copies: Int[np.ndarray, " cells"] | None = None,
) -> Sums:
    """Add up the cells block by block; `copies` is how often each counts (as often as a bootstrap drew it)."""
    weight = np.ones(dose.size) if copies is None else copies.astype(np.float64)
    size, n_genes = int(np.prod(design.shape)), counts.shape[1]
    stratum = design.stratum
    se, sxe, see = (np.zeros((size, n_genes)) for _ in range(3))
    for first, part in counts.blocks():
        at = slice(first, first + part.shape[0])
        e = expression(part).astype(np.float64)
        into = members(stratum[at], size, weight[at])
        se += (into @ e).toarray()
        sxe += (into.multiply(dose[at][None, :]).tocsr() @ e).toarray()
        see += (into @ e.power(2)).toarray()
    n, sx, sxx = (
        np.bincount(stratum, weight * dose**power, minlength=size).reshape(design.shape) for power in (0, 1, 2)
    )
    wide = (*design.shape, n_genes)
    return Sums(design.times, design.knocked, n, sx, sxx, se.reshape(wide), sxe.reshape(wide), see.reshape(wide))


@dataclass(frozen=True, slots=True)
class Doses:
    """Perturbation of every cell, 0 in controls, and the expression that each knocked-out gene loses."""

    dose: Float[np.ndarray, " cells"]
    baseline: Float[np.ndarray, " genes"]


def doses_of(counts: Rows, expression: Expression, design: Design) -> Doses:
    """Weigh every cell by the chance that its gene is lost, in two passes over the cells.

    The expression is fitted by least squares to knock-outs and times, e = B_g + T_t. A cell's chance is
    1 / (1 + exp(s)), where s adds up (r^2 - (r + B_g)^2) / (2 v + 1/2) over the genes, r being its residual and v the
    variance of the gene among the cells of the knock-out (MIMOSCA, Dixit et al. 2016); genes without variance are left
    out. The perturbation is minus the chance times `baseline`, the mean of the gene over the controls that express it.
    """
    sums, baseline = _moments(counts, expression, design)
    effect, level = _least_squares(sums)
    n = sums.n[:, :-1].sum(axis=0)[:, None]
    mean = sums.se[:, :-1].sum(axis=0) / n
    variance = (sums.see[:, :-1].sum(axis=0) - n * mean**2) / np.maximum(n - 1, 1)
    scaled = np.where(variance > 0, effect / (2 * variance + SMOOTHING), 0)
    dose = np.zeros(design.time.size)
    for first, part in counts.blocks():
        at = slice(first, first + part.shape[0])
        cell = np.flatnonzero(design.knockout[at] < design.knocked.size)
        gene, time = design.knockout[at][cell], design.time[at][cell]
        own = scaled[gene]
        # r^2 - (r + B)^2 = -2 e B + (2 T + B) B, with r = e - B - T
        expected = ((2 * level[time] + effect[gene]) * own).sum(axis=1)
        seen = np.asarray(expression(part)[cell].multiply(own).sum(axis=1)).ravel()
        dose[at][cell] = -expit(2 * seen - expected) * baseline[design.knocked[gene]]
    return Doses(dose, baseline)


def _moments(counts: Rows, expression: Expression, design: Design) -> tuple[Sums, Float[np.ndarray, " genes"]]:
    """Sums without a perturbation, and the mean of every gene over the controls that express it (0 where none does)."""
    sums = sums_of(counts, expression, design, np.zeros(design.time.size))
    seen = np.zeros(counts.shape[1])
    for first, part in counts.blocks():
        control = design.knockout[first : first + part.shape[0]] == design.knocked.size
        seen += np.bincount(part[np.flatnonzero(control)].indices, minlength=seen.size)
    return sums, sums.se[:, -1].sum(axis=0) / np.maximum(seen, 1)


def _least_squares(sums: Sums) -> tuple[Float[np.ndarray, "knocked genes"], Float[np.ndarray, "times genes"]]:
    """Effects of knock-outs and levels of times that fit the expression best, from the normal equations."""
    n = sums.n[:, :-1]
    gram = np.block([[np.diag(n.sum(axis=0)), n.T], [n, np.diag(sums.n.sum(axis=1))]])
    given = np.concatenate([sums.se[:, :-1].sum(axis=0), sums.se.sum(axis=1)])
    both = np.linalg.lstsq(gram, given, rcond=None)[0]
    return both[: n.shape[1]], both[n.shape[1] :]
