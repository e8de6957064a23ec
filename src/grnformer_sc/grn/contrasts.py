"""Groups of cells compared by the activity of their eRegulons: means per sample, a test between samples, effect sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Shaped
from scipy.stats import rankdata

from .._core.checks import fail
from .._core.rows import members
from .groups import BLOCK_EREGULONS, specificity
from .moderated import Compared, Design, choose_design, compare, false_discovery

REST = "rest"
FIRST = ("group", "reference", "within", "eregulon")  # columns of the table
BLOCK_CELLS = 16_384  # whose activities are in float64 at once


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels of cells: their level (of what is compared), their sample, and the cell type within which they are compared.

    `samples` is empty when there are no replicates; then all cells are one sample.
    """

    level: Int[np.ndarray, " cells"]
    levels: tuple[str, ...]
    sample: Int[np.ndarray, " cells"]
    samples: tuple[str, ...]
    within: Int[np.ndarray, " cells"]
    withins: tuple[str, ...]

    @property
    def replicated(self) -> bool:
        """Whether there are samples to test between."""
        return len(self.samples) > 0

    def units(self, rows: Int[np.ndarray, " some"]) -> tuple[Int[np.ndarray, " some"], tuple[int, int]]:
        """Sample and level of some cells as one number, and the numbers of both."""
        shape = max(len(self.samples), 1), len(self.levels)
        return self.sample[rows] * shape[1] + self.level[rows], shape


@dataclass(frozen=True, slots=True)
class Sides:
    """Cells of every sample on the two sides of a contrast, and the design that follows from those with enough."""

    cells_group: Int[np.ndarray, " samples"]
    cells_reference: Int[np.ndarray, " samples"]
    design: Design

    @classmethod
    def of(
        cls, group: Int[np.ndarray, " samples"], reference: Int[np.ndarray, " samples"], *, min_cells: int,
        replicated: bool,
    ) -> Sides:  # fmt: skip
        """Choose the design; without replicates there is none."""
        if replicated:
            return cls(group, reference, choose_design(group >= min_cells, reference >= min_cells))
        return cls(group, reference, Design("none", group > 0, reference > 0))

    def record(self, found: Compared, *, replicated: bool) -> dict[str, Any]:
        """One row of the table of contrasts: what was compared, how, and why there is no test where there is none."""
        design, prior = self.design, found.test.prior
        tested = design.kind != "none"
        used = design.group | design.reference
        return {
            "design": design.kind,
            "n_samples_group": int(design.group.sum()) * replicated,
            "n_samples_reference": int(design.reference.sum()) * replicated,
            "n_samples_left_out": int(((self.cells_group + self.cells_reference > 0) & ~used).sum()) * replicated,
            "n_cells_group": int(self.cells_group.sum()),
            "n_cells_reference": int(self.cells_reference.sum()),
            "prior_df": prior.df if tested else np.nan,
            "prior_sd": float(np.sqrt(prior.variance)) if tested else np.nan,
            "reason": self._reason(replicated=replicated),
        }

    def _reason(self, *, replicated: bool) -> str:
        if self.design.kind != "none":
            return ""
        if not (self.cells_group.any() and self.cells_reference.any()):
            return "no cells on a side"
        return "fewer than two samples on a side" if replicated else "no replicates"


def unit_sums(
    x: Shaped[np.ndarray, "cells columns"], units: Int[np.ndarray, " cells"], n_units: int
) -> Float[np.ndarray, "units columns"]:
    """Sum the rows of every unit in float64: a sparse product per block of cells."""
    out = np.zeros((n_units, x.shape[1]))
    for first in range(0, x.shape[0], BLOCK_CELLS):
        own = units[first : first + BLOCK_CELLS]
        out += members(own, n_units) @ x[first : first + own.size].astype(np.float64)
    return out


def separation(
    auc: Shaped[np.ndarray, "cells eregulons"], codes: Int[np.ndarray, " cells"], n_codes: int
) -> tuple[Float[np.ndarray, "codes eregulons"], Float[np.ndarray, "codes eregulons"]]:
    """How well each code's cells stand apart from all others: area under the ROC curve, and specificity (RSS).

    The area is the chance that a cell of the code has the higher activity (a tie is half), from ranks over all cells;
    NaN where a code has no cells, or all.
    """
    size = np.bincount(codes, minlength=n_codes).astype(np.float64)[:, None]
    pairs = size * (codes.size - size)
    roc, rss = np.full((n_codes, auc.shape[1]), np.nan), np.zeros((n_codes, auc.shape[1]))
    for first in range(0, auc.shape[1], BLOCK_EREGULONS):
        part = slice(first, first + BLOCK_EREGULONS)
        wins = unit_sums(rankdata(auc[:, part], axis=0), codes, n_codes) - size * (size + 1) / 2
        np.divide(wins, pairs, out=roc[:, part], where=pairs > 0)
        rss[:, part] = specificity(auc[:, part], codes, n_codes)
    return roc, rss


def rank_table(
    auc: Float[np.ndarray, "cells eregulons"],
    names: Sequence[str],
    labels: Labels,
    groups: Sequence[str],
    reference: str,
    *,
    min_cells: int,
    moderate: bool = True,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare groups with the reference, a cell type at a time: table of eRegulons, and table of contrasts.

    A sample's value is the mean over its cells on a side that has at least `min_cells` of them; the test lies between
    samples (`moderated.compare`), rates are those of one contrast. Rows are sorted by cell type, group and p-value, those
    without one by the size of the difference.
    """
    tables, contrasts = [], []
    for place, within in enumerate(labels.withins):
        rows = np.flatnonzero(labels.within == place)
        here = auc if rows.size == auc.shape[0] else auc[rows]
        units, shape = labels.units(rows)
        sums = unit_sums(here, units, shape[0] * shape[1]).reshape(*shape, -1)
        cells = np.bincount(units, minlength=shape[0] * shape[1]).reshape(shape)
        effects = _effects(here, labels.level[rows], labels.levels, groups, reference)
        for name in groups:
            own = np.array([level == name for level in labels.levels])
            other = ~own if reference == REST else np.array([level == reference for level in labels.levels])
            (total, n), (total_other, n_other) = (
                (sums[:, s].sum(axis=1), cells[:, s].sum(axis=1)) for s in (own, other)
            )
            sides = Sides.of(n, n_other, min_cells=min_cells, replicated=labels.replicated)
            found = compare(_mean(total, n), _mean(total_other, n_other), sides.design, moderate=moderate)
            head = {"within": within, "group": name, "reference": reference}
            contrasts.append({**head, **sides.record(found, replicated=labels.replicated)})
            if name in effects:
                tables.append(
                    _contrast_table(found, names, *effects[name], replicated=labels.replicated).assign(**head)
                )
    return _assembled(tables), indexed(pd.DataFrame(contrasts))


def _mean(total: Float[np.ndarray, "samples columns"], n: Int[np.ndarray, " samples"]) -> np.ndarray:
    return total / np.where(n > 0, n, 1)[:, None]


def _effects(
    auc: np.ndarray, level: np.ndarray, levels: Sequence[str], groups: Sequence[str], reference: str
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Separation of every group that has cells on both sides; against the rest all cells are ranked once."""
    inside = {name: level == levels.index(name) for name in groups}
    if reference == REST:
        roc, rss = separation(auc, level, len(levels))
        places = {name: levels.index(name) for name, own in inside.items() if own.any() and not own.all()}
        return {name: (roc[place], rss[place]) for name, place in places.items()}
    theirs, out = level == levels.index(reference), {}
    for name, ours in inside.items():
        if ours.any() and theirs.any():
            roc, rss = separation(auc[ours | theirs], theirs[ours | theirs].astype(np.int64), 2)
            out[name] = roc[0], rss[0]
    return out


def _contrast_table(
    found: Compared, names: Sequence[str], roc: np.ndarray, rss: np.ndarray, *, replicated: bool
) -> pd.DataFrame:
    low, high = found.interval()
    table = pd.DataFrame(
        {
            "eregulon": list(names), "mean_group": found.mean_group, "mean_reference": found.mean_reference,
            "difference": found.difference, "ci_low": low, "ci_high": high, "statistic": found.test.statistic,
            "p": found.test.p, "fdr": false_discovery(found.test.p), "auroc": roc, "rss": rss,
            "n_samples_group": found.n_group * replicated, "n_samples_reference": found.n_reference * replicated,
        }
    )  # fmt: skip
    order = np.lexsort((table["eregulon"], -table["difference"].abs(), table["p"]))  # NaN comes last
    return table.iloc[order]


def _assembled(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    need_both_sides(tables)
    table = pd.concat(tables, ignore_index=True)
    table = table[[*FIRST, *(name for name in table if name not in FIRST)]]
    whole = {name: np.int64 for name in table if str(name).startswith("n_")}
    return indexed(table.astype({**dict.fromkeys(FIRST, "category"), **whole}))


def need_both_sides(tables: Sequence[pd.DataFrame]) -> None:
    """Raise `ValueError` when nothing could be compared."""
    if not tables:
        raise fail(
            ValueError, "some cell type must have cells of the group and of the reference.", "none.",
            "compare within=None, or name another column.",
        )  # fmt: skip


def indexed(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its row numbers as text, as every format stores them."""
    table.index = pd.RangeIndex(len(table)).astype(str)
    return table
