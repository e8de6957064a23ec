"""The leaderboard of predicted perturbations."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from .._core.conditions import Conditions
from .._core.keys import SPLIT
from .._core.rng import RngLike, as_root
from ..get import split as read_split
from ..get._read import network_of
from ..grn.perturbation.shifts import BASELINES
from ..tl import evaluate_perturbation, perturb
from ..tl._expression import open_expression
from ..tl._perturbation_scores import CEILING
from ._controls import with_network
from ._table import LEAST_REWIRED, Run, Table, fingerprint, with_controls

if TYPE_CHECKING:
    from anndata import AnnData

HEADLINE = "pearson_delta"
METHODS_WITH_NETWORK = ("grnformer", "grn_linear")
MOST_SEED = 2**31


def perturbation(
    adata: AnnData,
    *,
    key: str = "grn",
    split_key: str = SPLIT,
    level: float | Literal["max"] = 0.0,
    layer: str | None = None,
    reference: Literal["control", "train_perturbed"] = "control",
    n_rewired: int = LEAST_REWIRED,
    rng: RngLike = 0,
) -> Table:
    """Make the leaderboard of predicted perturbations: `tl.perturb` beside its baselines, controls and ceiling.

    Ours (`grnformer`) and propagation without learning (`grn_linear`) run with the network, without one, with permuted names
    and with rewired networks of the same degrees; a model's gene embedding is left out, as it would have to be trained anew
    for each of these. Baselines are no change, the mean, the matching mean, the sum and the linear one; the ceiling is one
    half of the cells as the prediction of the other. Contexts of a perturbation are averaged. A correlation that is not
    defined counts 0 here: a method that predicts no change for most perturbations is not ranked by the others alone.

    Parameters
    ----------
    adata
        Cells after `pp.perturbation_setup` and `pp.split_perturbations`, with a network made without any held-out cell (of
        the control cells, say).
    key
        Base name of the network.
    split_key
        Name of the split.
    level
        Expression at which perturbed genes are held, as in `tl.perturb`.
    layer
        Layer with raw counts or log-normalised values; `None` is `.X`.
    reference
        What changes are measured from in correlations, as in `tl.evaluate_perturbation`.
    n_rewired
        Rewired networks; `report` asks for 10.
    rng
        Seed or generator.

    Returns
    -------
    The table, to be filled by `run`.

    Raises
    ------
    KeyError
        Setup, split or network is missing.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> cells = grs.datasets.simulate_perturbations(20, n_genes=60, n_tfs=8, rng=0)
    >>> grs.pp.perturbation_setup(cells)
    >>> grs.pp.split_perturbations(cells, strategy="leave_one_out")
    >>> grs.tl.build_grn(cells, method="correlation", tfs=[f"TF{i:02d}" for i in range(1, 9)])
    >>> table = grs.bench.perturbation(cells, key="grn_correlation")
    >>> len(table.runs), table.headline
    (32, 'pearson_delta')
    """
    found, held = Conditions.read(adata), read_split(adata, key=split_key)
    network_of(adata, key)
    expression = open_expression(adata, layer)
    data = fingerprint([expression.rows.to_memory(), found.table, found.code, expression.genes.to_numpy(dtype=str)])
    seed = as_root(rng) % MOST_SEED
    ours = [run for name in METHODS_WITH_NETWORK for run in with_controls(name, n_rewired=n_rewired, seed=seed)]
    plain = [Run(name, "baseline", "", seed) for name in (*BASELINES, "ridge")]
    runs = (*plain, *ours, Run(CEILING, "ceiling", "", seed))
    options = {"level": level, "layer": layer, "split_key": split_key, "rng": seed}
    measure = partial(measured, adata, key, reference, options)
    return Table("perturbation", data, fingerprint([held]), HEADLINE, "perturbation", runs, measure)


def measured(adata: AnnData, key: str, reference: Any, options: Mapping[str, Any], run: Run) -> pd.DataFrame:
    """Carry a run out: every metric of every perturbation, contexts averaged."""
    ceiling = run.kind == "ceiling"
    own = key if run.network in ("own", "rewired", "permuted") else None
    cells = with_network(adata, run.network, seed=run.seed, key=key) if own is not None else adata
    method: Any = "no_change" if ceiling else run.method
    predicted = perturb(cells, method=method, key=own, model_key=None, **options)
    scores = evaluate_perturbation(
        predicted, adata, reference=reference, layer=options["layer"], ceiling=ceiling, rng=options["rng"]
    )
    scores = scores[scores["method"] == (CEILING if ceiling else method)]
    silent = scores["metric"].str.startswith("pearson") & scores["value"].isna()
    scores = scores.assign(value=scores["value"].mask(silent, 0.0))
    values = scores.groupby(["perturbation", "metric"], sort=False)["value"].mean()
    return values.rename_axis(["item", "metric"]).reset_index()
