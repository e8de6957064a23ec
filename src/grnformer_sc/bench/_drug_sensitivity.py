"""`bench.drug_sensitivity`: the leaderboard of sensitivity of single cells, learnt from bulk lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import get, tl
from .._core.checks import fail
from .._core.inputs import open_rows, table_of
from .._core.labels import binary_labels
from .._core.rng import as_root, generator
from ..get._read import network_of
from ..metrics import label_agreement, roc_auc
from ..model.sensitivity import deal_classes
from ..model.sensitivity_fits import METHODS, Method
from ..tl._evaluate_drug_sensitivity import common_scores
from ._controls import shallow, with_network
from ._table import LEAST_REWIRED, Run, Table, fingerprint, with_controls

if TYPE_CHECKING:
    from anndata import AnnData

OURS, PERMUTED = "regulons", "labels of lines exchanged"
ORACLE = "first component"  # its sign is taken from the labels
TRIVIAL = ("class prior", "library size", "number of genes", ORACLE)
SLOT, HEADLINE = "bench", "auc"
N_PERMUTED = 10


def drug_sensitivity(
    adata: AnnData,
    reference: AnnData,
    labels: str | Mapping[str, str],
    *,
    method: Method = "logistic",
    n_parts: int = 10,
    n_seeds: int = 2,
    layer: str | None = None,
    key: str = "grn",
    n_rewired: int = LEAST_REWIRED,
    rng: int = 0,
) -> Table:
    """Set up the leaderboard of drug sensitivity: trivial scores, expression alone, and regulons with networks of chance.

    Nothing of the cells but their expression is shown to a method. Baselines are scores that know nothing of the drug (the
    first component has its sign from the labels), the same method on lines whose labels were exchanged, and the three
    methods of `grs.tl.drug_sensitivity` on expression; ours are activities of the regulons of a network. The control without
    a network is `method` on expression.

    Parameters
    ----------
    adata
        Cells with a network and known labels.
    reference
        Bulk profiles of lines, with a column of obs for each drug.
    labels
        Column of obs of the cells with known labels of each drug: `{"drug": "column"}`; a single name is both.
    method
        Of the regulons, and of exchanged labels.
    n_parts
        Parts of the cells of a drug, each with the same share of sensitive ones.
    n_seeds
        As in `grs.tl.drug_sensitivity`.
    layer
        Layer of the cells; `None` is `.X`.
    key
        Base name of the network.
    n_rewired
        Random networks.
    rng
        Seed of parts, first seed of random networks and methods.

    Returns
    -------
    Table for `grs.bench.run`. An item is a part of the cells of a drug, its figures are `auc` (NaN where undefined) and
    `spread`. All parts are scored by the same models: intervals know of the drawing of cells alone.

    Raises
    ------
    KeyError
        Network, drug or column is missing.
    ValueError
        Labels are not binary, a part would hold one class only, or `method` is unknown.

    See Also
    --------
    grnformer_sc.tl.drug_sensitivity : what every run calls.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> cells, lines = grs.datasets.simulate_drug_lines(60, 100, n_genes=60, n_tfs=8, rng=0)
    >>> grs.tl.build_grn(cells, method="correlation", tfs="is_tf")
    >>> table = grs.bench.drug_sensitivity(cells, lines, "drug1", key="grn_correlation")
    >>> table.headline, len(table.runs)
    ('auc', 30)
    """
    named = {labels: labels} if isinstance(labels, str) else dict(labels)
    network_of(adata, key)
    obs = table_of(adata.obs)
    known = pd.DataFrame({d: binary_labels(obs, column, where="adata.obs") for d, column in named.items()}, obs.index)
    response = pd.DataFrame({d: binary_labels(table_of(reference.obs), d, where="reference.obs") for d in named})
    label_agreement(known)
    parts = pd.DataFrame({drug: _parts(known[drug].to_numpy(), drug, n_parts, rng) for drug in named}, obs.index)

    options: dict[str, Any] = {"method": method, "n_seeds": n_seeds, "layer": layer, "key": key, "rng": rng}

    def measure(run: Run) -> pd.DataFrame:
        rows = []
        for drug in named:
            score = _scored(adata, reference, response[drug], run, **options)
            y = known[drug].to_numpy()
            if run.method == ORACLE and roc_auc(y, score) < 0.5:
                score = -score
            rows += _judged(y, score, parts[drug].to_numpy(), drug)
        return pd.DataFrame(rows, columns=["item", "metric", "value"])

    trivial = (*TRIVIAL, *(f"{name} on expression" for name in METHODS))
    runs = (
        *(Run(name, "baseline", seed=rng) for name in trivial),
        *(Run(PERMUTED, "baseline", seed=rng + number) for number in range(N_PERMUTED)),
        *with_controls(OURS, n_rewired=n_rewired, seed=rng),
    )
    data = fingerprint(
        [adata.X if layer is None else adata.layers[layer], reference.X, known, response, get.grn(adata, key=key)]
    )
    return Table("drug_sensitivity", data, fingerprint([parts]), HEADLINE, "part of the cells", runs, measure)


def _parts(y: np.ndarray, drug: str, n_parts: int, rng: int) -> np.ndarray:
    """Part of every cell, each class dealt evenly; -1 without a label."""
    fewest = min(int((y == value).sum()) for value in (0, 1))
    if fewest < n_parts:
        raise fail(
            ValueError, f"each of {n_parts} parts needs a sensitive and a resistant cell for {drug!r}.",
            f"{int((y == 1).sum())} and {int((y == 0).sum())}.", "lower n_parts.",
        )  # fmt: skip
    return deal_classes(y, n_parts, generator(as_root(rng), "parts", drug))


def _scored(
    adata: AnnData, reference: AnnData, response: pd.Series, run: Run, *, method: Method, n_seeds: int,
    layer: str | None, key: str, rng: int,
) -> np.ndarray:  # fmt: skip
    """Scores of all cells by one run; the user's objects are not written to."""
    if run.method in TRIVIAL:
        cells = open_rows(adata, layer, what="expression of the cells", counts=False)
        return next(
            score.values for score in common_scores(adata, cells, as_root(run.seed)) if score.name == run.method
        )
    data, lines = shallow(with_network(adata, run.network, seed=run.seed, key=key)), reference
    data.obs, data.uns = pd.DataFrame(index=adata.obs_names), {k: v for k, v in data.uns.items() if k == key}
    drug = str(response.name)
    chosen, use_rep = method, "regulons" if run.method == OURS and run.network != "none" else None
    if run.method == PERMUTED:
        lines = shallow(reference)
        labels = response.to_numpy(copy=True)
        rows = np.flatnonzero(~np.isnan(labels))
        labels[rows] = generator(as_root(run.seed), "exchanged", drug).permutation(labels[rows])
        lines.obs = pd.DataFrame({drug: labels}, index=reference.obs_names)
    elif run.method != OURS:
        chosen = next(name for name in METHODS if run.method == f"{name} on expression")
    tl.drug_sensitivity(
        data, lines, drug=drug, use_rep=use_rep, method=chosen, n_seeds=n_seeds, layer=layer, key=key, key_added=SLOT,
        rng=rng,
    )  # fmt: skip
    return data.obs[SLOT].to_numpy(dtype=np.float64)


def _judged(y: np.ndarray, score: np.ndarray, part: np.ndarray, drug: str) -> list[tuple[str, str, float]]:
    """Area and spread of every part."""
    rows = []
    for number in range(part.max() + 1):
        here = part == number
        item = f"{drug}, part {number + 1}"
        rows.append((item, HEADLINE, roc_auc(y[here], score[here])))
        rows.append((item, "spread", float(score[here].std() / y[here].std())))
    return rows
