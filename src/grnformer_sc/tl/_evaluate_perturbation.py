"""`tl.evaluate_perturbation`: how good predicted perturbations are, beside what the cells themselves allow."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from .._core.checks import listing, need_between, need_one_of
from .._core.keys import PREDICTED
from .._core.logging import step
from .._core.rng import RngLike, as_root, generator
from ..metrics import (
    bootstrap_mean,
)
from ._perturbation_scores import METRICS, Judged, ceiling_of, judged_conditions, layer_of, scores_of

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

REFERENCES = ("control", "train_perturbed")


def evaluate_perturbation(
    data: AnnData | Mapping[str, AnnData],
    adata: AnnData,
    *,
    reference: Literal["control", "train_perturbed"] = "control",
    metrics: Sequence[str] | None = None,
    ceiling: bool = True,
    summary: bool = False,
    n_draws: int = 1000,
    layer: str | None = None,
    rng: RngLike = 0,
) -> pd.DataFrame:
    """Compare predicted changes of perturbations with measured ones, condition by condition.

    `pearson_delta` and `pearson_delta20` correlate changes over all genes, and over the 20 that change most in truth;
    `mse`, `mse20`, `rmse` are errors of the change. `spread` is the standard deviation over genes of the predicted change
    over that of the true one (near 0: the prediction has collapsed). `energy_distance` is that of the measured cells from
    control cells moved by the predicted change. `centroid_accuracy` (Systema), `rank` (PerturBench) and `discrimination`
    (Virtual Cell Challenge) ask whether a prediction is nearer to its own perturbation than to others that were held out
    with it, in the same context: NaN with a perturbation per fold, where there are none.

    Parameters
    ----------
    data
        Result of `tl.perturb`, or several by name, on the same conditions.
    adata
        The cells, as given to `tl.perturb`.
    reference
        What changes are measured from in the correlations: control cells, or the mean of the training perturbations of the
        same fold and context (`"train_perturbed"`, Systema), which takes away what all perturbations share.
    metrics
        Names of metrics; all by default.
    ceiling
        Also predict one half of the cells of a condition by the other, mean of 5 draws: what noise alone leaves possible.
        Halves hold fewer cells than what a method is judged by, so that a method may come out above it.
    summary
        Means over conditions with intervals from drawing perturbations anew, instead of every condition.
    n_draws
        Draws of the intervals.
    layer
        Layer with raw counts or log-normalised values; `None` is `.X`.
    rng
        Seed or generator of halves, samples of cells, and draws.

    Returns
    -------
    Table `method`, `perturbation`, `context`, `split`, `metric`, `value`; with `summary` `method`, `metric`, `mean`, `low`,
    `high`, `n` (perturbations with a value). What is not defined is NaN, and left out of means.

    Raises
    ------
    KeyError
        A slot of `pp.perturbation_setup` or of `tl.perturb` is missing.
    ValueError
        No predicted condition has cells, genes differ, predictions are of different conditions, or a metric is unknown.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> cells = grs.datasets.simulate_perturbations(20, n_genes=60, n_tfs=8, rng=0)
    >>> grs.pp.perturbation_setup(cells)
    >>> grs.pp.split_perturbations(cells, strategy="folds", n_folds=2)
    >>> predicted = grs.tl.perturb(cells, method="mean")
    >>> scores = grs.tl.evaluate_perturbation(predicted, cells, summary=True).set_index(["method", "metric"])
    >>> float(scores.loc[("mean", "centroid_accuracy"), "mean"])
    0.5
    """
    need_one_of(reference, REFERENCES, name="reference")
    wanted = METRICS if metrics is None else tuple(metrics)
    for name in wanted:
        need_one_of(name, METRICS, name="metrics")
    need_between(n_draws, 1, 10_000_000, name="n_draws")
    named = dict(data) if isinstance(data, Mapping) else {_method(data): data}
    with step(logger, "evaluate_perturbation") as facts:
        first = next(iter(named.values()))
        judged = judged_conditions(first, adata, named, layer, as_root(rng))
        train_mean = layer_of(first, judged, "train_mean")
        base = np.zeros_like(train_mean) if reference == "control" else train_mean
        truth = judged.screen.delta[judged.rows]
        tables = [
            scores_of(name, layer_of(one, judged, "delta"), truth, base, judged, wanted) for name, one in named.items()
        ]
        if ceiling:
            tables.append(ceiling_of(judged, base, wanted))
        out = pd.concat(tables, ignore_index=True)
        facts.append(f"{len(judged.rows)} conditions, {len(named)} methods, {len(wanted)} metrics against {reference}")
    _say_undefined(out, judged)
    return _summary(out, n_draws, judged.root) if summary else out


def _method(pred: AnnData) -> str:
    return str(pred.uns.get(PREDICTED, {}).get("method", "prediction"))


def _say_undefined(out: pd.DataFrame, judged: Judged) -> None:
    one = judged.screen.conditions.iloc[judged.rows]
    few = one.loc[one["n_cells"] == 1, "perturbation"]
    if len(few):
        logger.warning(
            "evaluate_perturbation: one cell only, so no halves and no energy distance: %s", listing(few.unique())
        )
    undefined = out[out["value"].isna()].groupby("metric").size()
    if len(undefined):
        said = listing(f"{name} ({n})" for name, n in undefined.items())
        logger.info("evaluate_perturbation: not defined for some conditions: %s", said)


def _summary(table: pd.DataFrame, n_draws: int, root: int) -> pd.DataFrame:
    """Mean over perturbations (contexts of one are averaged first), with its interval."""
    rows: list[dict[str, Any]] = []
    for (method, metric), part in table.groupby(["method", "metric"], sort=False):
        values = part.groupby("perturbation")["value"].mean()
        if values.notna().any():
            found = bootstrap_mean(values, n_draws=n_draws, rng=generator(root, "bootstrap", metric))
        else:
            found = pd.Series({"mean": np.nan, "low": np.nan, "high": np.nan, "n": 0.0})
        rows.append({"method": method, "metric": metric, **found.to_dict()})
    return pd.DataFrame(rows)
