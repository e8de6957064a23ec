"""`bench.drug_response`: the leaderboard of drug response of cell lines, judged inside each drug."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import get, tl
from .._core.checks import fail, need_one_of
from .._core.keys import DRUG_RESPONSE, DrugResponseKeys
from .._core.rng import as_root, generator
from ..metrics import within_correlation, within_spread
from ..tl._drug_inputs import NETWORK_REPS, make_folds, responses_of
from ._controls import shallow, with_network
from ._table import LEAST_REWIRED, Run, Table, fingerprint, with_controls

if TYPE_CHECKING:
    from anndata import AnnData

BASELINES = ("drug_mean", "line_mean", "offsets", "mf", "ridge")
OURS = "grnformer"
GROUPS, PERMUTED = "ridge on groups", "ridge on exchanged lines"
SLOT, SLOT_GROUPS = "bench", "bench_features"
HEADLINE = "within_drug"


def drug_response(
    adata: AnnData,
    *,
    use_rep: Sequence[str] = ("X", "regulons", "smoothed"),
    split: str = "line",
    n_splits: int = 5,
    groups: str | None = None,
    drug_rep: str = "id",
    key: str = "grn",
    baselines: Sequence[str] = BASELINES,
    n_rewired: int = LEAST_REWIRED,
    rng: int = 0,
) -> Table:
    """Set up the leaderboard of drug response: trivial baselines, ours, and ours with networks of chance.

    Every method predicts the same held-out pairs. Beside the baselines of `tl.drug_response` stand ridge regressions on the
    groups of lines alone, and on features that were exchanged between lines. The control without a network has the
    remaining representations; where there are none, factors alone.

    Parameters
    ----------
    adata
        Cell lines with responses (`grs.pp.drug_response_setup`) and a network (`grs.pp.add_network`).
    use_rep
        Representations of `"grnformer"`.
    split, n_splits, groups, drug_rep
        As in `grs.tl.drug_response`.
    key
        Network.
    baselines
        Methods of `grs.tl.drug_response`; `"ridge"` and `"deepcdr"` see `X`.
    n_rewired
        Random networks.
    rng
        Seed of the folds, and first seed of the random networks.

    Returns
    -------
    Table for `grs.bench.run`. An item is a drug, its figures are `within_drug` (correlation over the lines of a fold, mean
    of the folds; NaN where undefined), `spread` and `rmse`.

    Raises
    ------
    KeyError
        Responses, network or column are missing.
    ValueError
        A baseline is unknown, or `use_rep` has nothing of the network.

    See Also
    --------
    grnformer_sc.tl.drug_response : what every run calls.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> lines = grs.datasets.simulate_drug_response(40, n_drugs=8, rng=0)
    >>> grs.pp.drug_response_setup(lines, lines.uns["response"])
    >>> grs.pp.add_network(lines, lines.uns["truth"].rename(columns={"tf": "source", "gene": "target", "sign": "weight"}))
    >>> table = grs.bench.drug_response(lines, groups="tissue", n_splits=3)
    >>> table.headline, len(table.runs)
    ('within_drug', 20)
    """
    for name in baselines:
        need_one_of(name, (*BASELINES, "deepcdr"), name="baselines")
    reps = [use_rep] if isinstance(use_rep, str) else list(use_rep)
    if not set(reps) & set(NETWORK_REPS):
        raise fail(
            ValueError, f"use_rep must hold one of {list(NETWORK_REPS)}, so that networks can be compared.", f"{reps}.",
            "add one of them.",
        )  # fmt: skip
    responses = responses_of(adata)
    drawn = generator(as_root(rng), "folds")
    folds = make_folds(adata, responses, split, groups=groups, n_splits=n_splits, rng=drawn)
    options: dict[str, Any] = {
        "split": split,
        "n_splits": n_splits,
        "groups": groups,
        "rng": rng,
        "final": False,
        "key_added": SLOT,
    }

    def measure(run: Run) -> pd.DataFrame:
        data, chosen = _prepared(adata, run, reps, groups, key)
        more: dict[str, Any] = {"drug_rep": drug_rep} if chosen["method"] == OURS else {}
        tl.drug_response(data, key=key, **options, **chosen, **more)
        return _measured(get.drug_response(data, key=SLOT))

    ridges = [PERMUTED, *([GROUPS] if groups is not None else [])] if "ridge" in baselines else []
    trivial = tuple(Run(name, "baseline") for name in (*baselines, *ridges))
    runs = (*trivial, *with_controls(OURS, n_rewired=n_rewired, seed=rng))
    values = np.where(responses.known, responses.values, 0.0)
    data = fingerprint([adata.X, adata.obs_names, values, responses.known, responses.names, get.grn(adata, key=key)])
    held = fingerprint([folds.fold])
    return Table(f"{DRUG_RESPONSE} by {folds.name}", data, held, HEADLINE, "drug", runs, measure)


def _prepared(
    adata: AnnData, run: Run, reps: list[str], groups: str | None, key: str
) -> tuple[AnnData, dict[str, Any]]:
    """Data and arguments of one run; the user's object is not written to."""
    if run.method == OURS:
        data = with_network(adata, run.network, seed=run.seed, key=key)
        kept = [name for name in reps if run.network != "none" or name not in NETWORK_REPS]
        return _own(data), {"method": OURS, "use_rep": kept} if kept else {"method": "mf"}
    data = _own(adata)
    if run.method == PERMUTED:
        x = adata.X if isinstance(adata.X, np.ndarray) else adata.X.toarray()
        data.obsm[SLOT_GROUPS] = x[generator(as_root(run.seed), "exchanged").permutation(adata.n_obs)]
    elif run.method == GROUPS:
        data.obsm[SLOT_GROUPS] = pd.get_dummies(adata.obs[groups].astype(str)).to_numpy(dtype=np.float64)
    else:
        return data, {"method": run.method}
    return data, {"method": "ridge", "use_rep": SLOT_GROUPS}


def _own(adata: AnnData) -> AnnData:
    slots = DrugResponseKeys(SLOT)
    out = shallow(adata)
    for name in (slots.held_out, slots.fold, slots.final):
        out.obsm.pop(name, None)
    return out


def _measured(table: pd.DataFrame) -> pd.DataFrame:
    error = (table["predicted"] - table["value"]) ** 2
    figures = {
        HEADLINE: within_correlation(table), "spread": within_spread(table),
        "rmse": np.sqrt(error.groupby(table["drug"].astype(str)).mean()),
    }  # fmt: skip
    parts = [
        pd.DataFrame({"item": f.index.astype(str), "metric": name, "value": f.to_numpy()})
        for name, f in figures.items()
    ]
    return pd.concat(parts, ignore_index=True)
