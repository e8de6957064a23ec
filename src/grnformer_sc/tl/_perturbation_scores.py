"""Scores of predicted perturbations, condition by condition, and what one half of the cells says of the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float

from .._core.checks import fail, listing
from .._core.conditions import Conditions
from .._core.keys import PREDICTED
from .._core.perturbations import genes_in
from .._core.rng import generator
from ..metrics import (
    centroid_accuracy,
    delta_correlation,
    delta_error,
    discrimination_score,
    energy_distance,
    rank_score,
)
from ._expression import Expression, open_expression
from ._screen import Screen

if TYPE_CHECKING:
    from anndata import AnnData

METRICS = (
    "pearson_delta", "pearson_delta20", "mse", "mse20", "rmse", "spread", "energy_distance", "centroid_accuracy", "rank",
    "discrimination",
)  # fmt: skip
TOP = 20
CEILING = "split-half ceiling"
HALVES = 5  # draws of halves
MOST_CELLS = 200  # of a condition, in the energy distance


@dataclass(frozen=True, slots=True)
class Judged:
    """Conditions that are both predicted and measured, and the cells they are judged by."""

    table: pd.DataFrame
    screen: Screen
    rows: np.ndarray  # in the screen
    expression: Expression
    found: Conditions
    targets: np.ndarray  # bool, conditions x genes
    root: int


def judged_conditions(
    first: AnnData, adata: AnnData, named: Mapping[str, AnnData], layer: str | None, root: int
) -> Judged:
    """Conditions with cells, and the screen they come from; all predictions are checked against the first."""
    for name, one in named.items():
        for slot in ("delta", "train_mean"):
            if slot not in one.layers or PREDICTED not in one.uns:
                raise fail(
                    KeyError, "predictions must be what grs.tl.perturb returned.", f"{name!r} without layers[{slot!r}].",
                    "run pred = grs.tl.perturb(adata) first.",
                )  # fmt: skip
        if not one.obs_names.equals(first.obs_names) or not one.var_names.equals(adata.var_names):
            raise fail(
                ValueError, "predictions must be of the same conditions, and of the genes of adata.",
                f"{one.shape} in {name!r}, {first.shape} in the first, {adata.n_vars} genes.",
                "predict all with the same split, from this adata.",
            )  # fmt: skip
    found, expression = Conditions.read(adata), open_expression(adata, layer)
    screen = Screen.read(found, expression, np.full(len(found.table), ""))
    keys = ["perturbation", "context"]
    place = pd.MultiIndex.from_frame(screen.conditions[keys].astype(str))
    rows = place.get_indexer(pd.MultiIndex.from_frame(first.obs[keys].astype(str)))
    table = first.obs[[*keys, "split"]].astype(str).assign(row=np.arange(first.n_obs))[rows >= 0]
    if not len(table):
        raise fail(
            ValueError, "some predicted condition must have cells.", f"none of {listing(first.obs_names)}.",
            "predict conditions that were measured (perturbations=None).",
        )  # fmt: skip
    at = expression.genes
    targets = np.array([at.isin(genes_in(name)) for name in table["perturbation"]])
    return Judged(table.reset_index(drop=True), screen, rows[rows >= 0], expression, found, targets, root)


def layer_of(pred: AnnData, judged: Judged, name: str) -> Float[np.ndarray, "conditions genes"]:
    """A layer of predictions for the judged conditions, genes in the order of their names."""
    values = np.asarray(pred.layers[name], dtype=np.float64)[judged.table["row"].to_numpy()]
    return values[:, judged.expression.by_name]


def scores_of(
    method: str, predicted: np.ndarray, truth: np.ndarray, base: np.ndarray, judged: Judged, wanted: Sequence[str],
    cells: Mapping[str, np.ndarray] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """All metrics of one method, long."""
    found: dict[str, np.ndarray] = {}
    for name in wanted:
        if name.startswith("pearson"):
            top = TOP if name.endswith("20") else None
            found[name] = delta_correlation(predicted, truth, reference=base, top=top)
        elif name in ("mse", "mse20", "rmse"):
            error = delta_error(predicted, truth, top=TOP if name == "mse20" else None)
            found[name] = np.sqrt(error) if name == "rmse" else error
        elif name == "spread":
            sd = truth.std(axis=1)
            found[name] = np.divide(predicted.std(axis=1), sd, out=np.full(len(sd), np.nan), where=sd > 0)
        elif name == "energy_distance":
            found[name] = _energy(predicted, judged) if cells is None else cells[name]
        else:
            found[name] = _by_part(name, predicted, truth, judged)
    keys = judged.table[["perturbation", "context", "split"]]
    parts = [keys.assign(method=method, metric=name, value=value) for name, value in found.items()]
    return pd.concat(parts)[["method", "perturbation", "context", "split", "metric", "value"]]


def _by_part(name: str, predicted: np.ndarray, truth: np.ndarray, judged: Judged) -> np.ndarray:
    """Metrics that compare conditions which were held out together, in one context."""
    out = np.full(len(truth), np.nan)
    for rows in judged.table.groupby(["split", "context"]).indices.values():
        p, t = predicted[rows], truth[rows]
        if name == "centroid_accuracy":
            out[rows] = centroid_accuracy(p, t)
        elif name == "rank":
            out[rows] = rank_score(p, t)
        else:
            out[rows] = discrimination_score(p, t, excluded=judged.targets[rows])
    return out


def _energy(predicted: np.ndarray, judged: Judged) -> np.ndarray:
    """Measured cells beside control cells of the context that are moved by the prediction."""
    out, controls = np.full(len(predicted), np.nan), {}
    for i, own in enumerate(_cells(judged)):
        context = judged.table["context"].iloc[i]
        if context not in controls:
            table = judged.found.table
            row = int(np.flatnonzero(table["control"].to_numpy() & (table["context"] == context).to_numpy())[0])
            controls[context] = _sample(judged, row)
        out[i] = energy_distance(controls[context] + predicted[i], own)
    return out


def _cells(judged: Judged) -> Iterator[np.ndarray]:
    """Cells of every judged condition, at most `MOST_CELLS`, dense."""
    table = judged.found.table
    place = pd.MultiIndex.from_frame(table[["perturbation", "context"]])
    for row in place.get_indexer(pd.MultiIndex.from_frame(judged.table[["perturbation", "context"]])):
        yield _sample(judged, int(row))


def _sample(judged: Judged, row: int) -> np.ndarray:
    cells = np.flatnonzero(judged.found.code == row)
    if cells.size > MOST_CELLS:
        names = judged.found.table.loc[row, ["perturbation", "context"]]
        draw = generator(judged.root, "cells", *names).permutation(cells.size)[:MOST_CELLS]
        cells = np.sort(cells[draw])
    return judged.expression.take(cells).toarray().astype(np.float64)


def ceiling_of(judged: Judged, base: np.ndarray, wanted: Sequence[str]) -> pd.DataFrame:
    """One half of the cells of every condition as the prediction of the other, mean of some draws."""
    drawn = []
    for number in range(HALVES):
        one, other = _halves(judged, number)
        known = np.isfinite(one).all(axis=1) & np.isfinite(other).all(axis=1)
        cells = {"energy_distance": np.full(len(one), np.nan)}
        if "energy_distance" in wanted and number == 0:
            cells["energy_distance"] = _energy_of_halves(judged)
        part = scores_of(
            CEILING, np.where(known[:, None], one, 0), np.where(known[:, None], other, 0), base, judged, wanted, cells
        )
        part.loc[~np.tile(known, len(wanted)), "value"] = np.nan
        drawn.append(part.reset_index(drop=True))
    values = np.array([part["value"] for part in drawn])
    n_known = np.isfinite(values).sum(axis=0)
    mean = np.divide(np.nansum(values, axis=0), n_known, out=np.full(n_known.size, np.nan), where=n_known > 0)
    return drawn[0].assign(value=mean)


def _halves(judged: Judged, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Changes of two random halves of every condition; NaN where a condition has one cell."""
    found, n = judged.found, len(judged.found.table)
    code = np.empty(found.code.size, dtype=np.int64)
    for row, cells in pd.Series(found.code).groupby(found.code).indices.items():
        names = found.table.loc[row, ["perturbation", "context"]]
        order = generator(judged.root, "halves", number, *names).permutation(cells.size)
        code[cells] = row + n * (order < cells.size // 2)
    size = np.bincount(code, minlength=2 * n)
    mean = judged.expression.sums(code, 2 * n)
    mean = np.divide(mean, size[:, None], out=np.full(mean.shape, np.nan), where=size[:, None] > 0)
    rows = np.flatnonzero(~found.table["control"].to_numpy())[judged.rows]
    control = judged.screen.control[judged.screen.code[judged.rows]]
    return mean[rows] - control, mean[rows + n] - control


def _energy_of_halves(judged: Judged) -> np.ndarray:
    return np.array(
        [energy_distance(cells[::2], cells[1::2]) if len(cells) > 1 else np.nan for cells in _cells(judged)]
    )
