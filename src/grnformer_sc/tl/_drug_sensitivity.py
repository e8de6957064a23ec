"""`tl.drug_sensitivity`: which cells a drug would hit, from the response of bulk cell lines."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from .._core.checks import fail, need_between, need_one_of, need_unique
from .._core.compute import device_of
from .._core.inputs import table_of
from .._core.keys import SensitivityKeys
from .._core.labels import binary_labels
from .._core.logging import step
from .._core.params import recipe
from .._core.results import Results
from .._core.rng import RngLike, as_root
from ..metrics import batch_confounding
from ..model.sensitivity import Sensitivity, SensitivitySettings, predict_sensitivity
from ..model.sensitivity_fits import METHODS, Method
from ._sensitivity_inputs import REGULONS, features_of, labelled_lines, with_labels

if TYPE_CHECKING:
    from anndata import AnnData

    from ..model.sensitivity_features import Features

logger = logging.getLogger(__name__)

FEWEST_CELLS = 10

STEP = "drug_sensitivity"
SOURCE_VALIDATION: Literal["source_val"] = "source_val"


def drug_sensitivity(
    adata: AnnData,
    reference: AnnData,
    *,
    drug: str,
    use_rep: str | None = None,
    method: Method = "logistic",
    lambda_domain: float | Literal["source_val"] = SOURCE_VALIDATION,
    n_splits: int = 5,
    n_seeds: int = 5,
    batch_key: str | None = None,
    label_key: str | None = None,
    key: str = "grn",
    layer: str | None = None,
    key_added: str | None = None,
    rng: RngLike = 0,
    device: str = "auto",
    copy: bool = False,
) -> AnnData | None:
    """Predict how sensitive every cell is to a drug from the response of bulk cell lines.

    Lines and cells are brought to the same features, each scaled by their own mean and standard deviation, and models of all
    folds and seeds learn the label of the lines. Nothing is chosen by labels of cells, and all drugs share one set of
    settings. What holds for lines need not hold for cells: judge the result by `grs.tl.evaluate_drug_sensitivity` where
    labels of cells are known, beside what trivial scores reach.

    Parameters
    ----------
    adata
        Cells; counts or log-normalised values, in memory or on disk (read in blocks).
    reference
        Bulk profiles of cell lines, on a log scale or counts; genes are matched by name.
    drug
        Column of `reference.obs`: 1 or "sensitive", 0 or "resistant", empty where it was not measured.
    use_rep
        `None`: expression of the 2,000 shared genes that vary most among the lines. `"regulons"`: activities (AUCell) of the
        regulons of a stored network, of lines and cells alike. Otherwise a key of obsm of both, such as `"X_grnformer"`.
    method
        `"logistic"`: logistic regression with a ridge penalty. `"rank_ridge"`: ridge regression on ranks within the shared
        genes. `"adversarial"`: a network whose features predict the label and hide whether a row is a line or a cell (SCAD,
        Zheng et al. 2023; gradient reversal, Ganin et al. 2016).
    lambda_domain
        Weight of the reversed gradient (`"adversarial"` only): a number, or the largest of 0, 0.1, 0.3, 1 whose AUC on
        left-out lines is within a standard error of the best.
    n_splits
        Folds of the lines; each is left out once.
    n_seeds
        How often lines are dealt into folds anew, and networks started anew.
    batch_key
        Column of obs with the batch of every cell: says how well the same score tells batches apart.
    label_key
        Column of obs with known labels. They are compared with the batch, and never seen by a model.
    key
        Base name of the network (`use_rep="regulons"`).
    layer
        Layer of the cells; `None` is `.X`.
    key_added
        Base name of the slots; by default `"sens_"` and the drug.
    rng
        Seed or Generator.
    device
        torch device of the networks; `"auto"` takes a GPU where there is one.
    copy
        Return a copy of `adata` instead of writing to it.

    Returns
    -------
    `None`, or the copy. Sets:

    `obs["sens_<drug>"]` : float32, 0 to 1, mean over seeds; calibrated on left-out lines, not on cells
    `obs["sens_<drug>_sd"]` : float32, standard deviation over seeds (NaN for one seed)
    `uns["sens_<drug>"]` : `source_auc`, `source_auc_low`, `source_auc_high` (left-out lines), `domain_auc_input`,
    `domain_auc` (lines told from cells by the features, and by what the predictor sees of them; 0.5 is not at all),
    `calibration` (`brier`, `brier_prior`, `slope`, `intercept`), `batch` (with `batch_key`), `folds` and `search`
    (tables), `params`

    Raises
    ------
    KeyError
        The drug, the network, a column or a slot does not exist.
    ValueError
        Lines of one class only, too few for the folds, too few shared genes, missing values, or other labels.

    Warns
    -----
    FewLinesWarning
        Fewer than 20 lines of a class.
    LostGenesWarning
        Fewer than half of the genes of the smaller side are shared.
    ConfoundedLabelsWarning
        The batch gives the labels of the cells away.

    See Also
    --------
    grnformer_sc.tl.evaluate_drug_sensitivity : judge it where labels of cells are known.
    grnformer_sc.get.drug_sensitivity : the results as a table.
    grnformer_sc.pl.drug_sensitivity : the figures.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> cells, lines = grs.datasets.simulate_drug_lines(80, 100, n_genes=60, n_tfs=8, rng=0)
    >>> grs.tl.drug_sensitivity(cells, lines, drug="drug1", method="rank_ridge", n_seeds=2)
    >>> bool(cells.obs["sens_drug1"].between(0, 1).all())
    True
    """
    _check(method, lambda_domain, n_splits, n_seeds)
    need_unique(adata.obs_names, what="cell barcodes (obs_names)")
    if adata.n_obs < FEWEST_CELLS:
        raise fail(
            ValueError, f"lines are told apart from at least {FEWEST_CELLS} cells.", f"{adata.n_obs} cells.",
            "score more cells together; each has a score of its own.",
        )  # fmt: skip
    if copy:
        adata = adata.copy()
    keys, root = SensitivityKeys.for_drug(drug, key_added), as_root(rng)
    _need_free(adata, keys)
    batches = _column(adata, batch_key, "batch_key")
    known = None if label_key is None else binary_labels(table_of(adata.obs), label_key, where="adata.obs")
    labels = labelled_lines(reference, drug, n_splits)
    chosen = SensitivitySettings(
        method=method, lambda_domain=lambda_domain, n_splits=n_splits, n_seeds=n_seeds, root=root,
        device=device_of(device) if method == "adversarial" else "cpu",
    )  # fmt: skip
    with step(logger, f"drug_sensitivity ({drug})") as facts:
        features, lost = features_of(
            adata, reference, use_rep=use_rep, ranks=method == "rank_ridge", layer=layer, key=key
        )
        lost["lines_not_measured"] = int(np.isnan(labels).sum())
        features, y = with_labels(features, labels)
        found = predict_sensitivity(features, y, chosen)
        facts.extend(_facts(found, features, y))
    sens = found.cells.mean(axis=1)
    params = {
        "drug": drug, "method": method, "use_rep": use_rep, "lambda_domain": found.lambda_domain,
        "lambda_chosen_by": SOURCE_VALIDATION if len(found.search) else "", "n_splits": n_splits, "n_seeds": n_seeds,
        "network": key if use_rep == REGULONS else "", "scale": features.scale, "n_features": features.names.size,
        "n_lines": y.size, "n_sensitive": int(y.sum()), "batch_key": batch_key, "label_key": label_key,
        "rng_root": f"{root:032x}", "device": chosen.device,
    }  # fmt: skip
    record = recipe(STEP, params, inputs={"cells": use_rep or layer or "X", "lines": use_rep or "X"}, dropped=lost)
    out = _collect(found, keys, adata.obs_names, sens)
    out.uns[keys.uns] |= {"params": record} | _batch(batches, known, sens)
    out.write(adata)
    return adata if copy else None


def _check(method: str, lambda_domain: float | str, n_splits: int, n_seeds: int) -> None:
    need_one_of(method, METHODS, name="method")
    need_between(n_splits, 2, 100, name="n_splits")
    need_between(n_seeds, 1, 1000, name="n_seeds")
    if isinstance(lambda_domain, str):
        need_one_of(lambda_domain, (SOURCE_VALIDATION,), name="lambda_domain")
        return
    need_between(lambda_domain, 0, 100, name="lambda_domain")
    if method != "adversarial":
        raise fail(
            ValueError, "lambda_domain is for method='adversarial'.", f"method={method!r}.", "leave lambda_domain out."
        )


def _need_free(adata: AnnData, keys: SensitivityKeys) -> None:
    """Anything but an earlier result under the same name must not be overwritten."""
    earlier = adata.uns.get(keys.uns, {}).get("params", {}).get("step") if keys.uns in adata.uns else None
    if earlier == STEP or (keys.uns not in adata.uns and keys.obs not in adata.obs):
        return
    raise fail(
        ValueError, f"key_added={keys.base!r} must be free, or name an earlier result of this function.",
        "a slot of that name that holds something else.", "choose another key_added.",
    )  # fmt: skip


def _column(adata: AnnData, name: str | None, option: str) -> pd.Series | None:
    if name is None:
        return None
    obs = table_of(adata.obs)
    if name not in obs:
        raise fail(
            KeyError, f"{option}={name!r} names no column of obs.", f"{list(map(str, obs.columns))[:10]}.",
            "name one of them.",
        )  # fmt: skip
    return obs[name]


def _facts(found: Sensitivity, features: Features, y: np.ndarray) -> list[str]:
    source, domain = found.source, found.domain
    facts = [
        (
            f"{y.size} lines ({int(y.sum())} sensitive), {features.n_cells} cells, {features.names.size} features "
            f"({features.scale})"
        ),
        f"AUC of left-out lines {source['auc']:.3f} [{source['low']:.3f}, {source['high']:.3f}]",
        f"lines told from cells {domain['input']:.2f}",
    ]
    if domain["used"] != domain["input"]:
        facts[-1] += f", after training {domain['used']:.2f} (weight {found.lambda_domain:g})"
    return facts


def _batch(batches: pd.Series | None, known: np.ndarray | None, sens: np.ndarray) -> dict[str, Any]:
    """Figures of batch and label; without labels how well the score tells batches apart."""
    if batches is None:
        return {}
    labels = np.zeros(sens.size) if known is None else known
    figures = batch_confounding(labels, batches, sens)
    wanted = figures.index if known is not None else ["batch_auc"]
    return {"batch": {name: float(figures[name]) for name in wanted}}


def _collect(found: Sensitivity, keys: SensitivityKeys, cells: pd.Index, sens: np.ndarray) -> Results:
    out = Results()
    spread = found.cells.std(axis=1, ddof=1) if found.cells.shape[1] > 1 else np.full(len(sens), np.nan)
    out.obs[keys.obs] = pd.Series(sens.astype(np.float32), index=cells)
    out.obs[keys.sd] = pd.Series(spread.astype(np.float32), index=cells)
    tables = {"folds": found.folds, **({"search": found.search} if len(found.search) else {})}
    out.uns[keys.uns] = {
        "source_auc": found.source["auc"], "source_auc_low": found.source["low"],
        "source_auc_high": found.source["high"], "domain_auc_input": found.domain["input"],
        "domain_auc": found.domain["used"], "calibration": found.calibration,
        **{name: table.set_index(table.index.astype(str)) for name, table in tables.items()},
    }  # fmt: skip
    return out
