"""`get.drug_sensitivity`: predicted sensitivity of cells, or what is known of the models behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from .._core.checks import fail, listing, need_one_of
from .._core.inputs import table_of
from .._core.keys import SensitivityKeys

if TYPE_CHECKING:
    from anndata import AnnData

STEP = "drug_sensitivity"
FIGURES = ("source_auc", "source_auc_low", "source_auc_high", "domain_auc_input", "domain_auc")
SETTINGS = ("method", "use_rep", "lambda_domain", "n_lines", "n_sensitive", "n_features")


def drug_sensitivity(
    adata: AnnData,
    drug: str | None = None,
    *,
    kind: Literal["cells", "models"] = "cells",
    key: str | None = None,
) -> pd.DataFrame:
    """Read predicted drug sensitivity as a table.

    Parameters
    ----------
    adata
        Cells on which `tl.drug_sensitivity` was run.
    drug
        One drug; all by default.
    kind
        `"cells"`: sensitivity of every cell. `"models"`: how the models do on left-out lines, and whether lines and cells
        can be told apart.
    key
        Base name of the result (`key_added` of `tl.drug_sensitivity`); `drug` finds it by default.

    Returns
    -------
    Of cells, a row per cell: `sensitivity` and `sd` for one drug, a column per drug for all. Of models, a row per drug:
    method, features, numbers of lines, `source_auc` with its interval, `domain_auc_input`, `domain_auc`, `brier` and
    `brier_prior`.

    Raises
    ------
    KeyError
        There is no such result.

    See Also
    --------
    grnformer_sc.tl.drug_sensitivity : make it.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> cells, lines = grs.datasets.simulate_drug_lines(80, 100, n_genes=60, n_tfs=8, rng=0)
    >>> grs.tl.drug_sensitivity(cells, lines, drug="drug1", method="rank_ridge", n_seeds=2)
    >>> grs.get.drug_sensitivity(cells, "drug1").columns.tolist()
    ['sensitivity', 'sd']
    """
    need_one_of(kind, ("cells", "models"), name="kind")
    results = results_of(adata, drug, key)
    obs = table_of(adata.obs)
    if kind == "models":
        rows = [_figures(adata.uns[base]) for base in results]
        return pd.DataFrame(rows, index=pd.Index(list(results.values()), name="drug"))
    if drug is None and key is None:
        return pd.DataFrame({name: obs[base] for base, name in results.items()}, index=adata.obs_names)
    keys = SensitivityKeys(next(iter(results)))
    return pd.DataFrame({"sensitivity": obs[keys.obs], "sd": obs[keys.sd]}, index=adata.obs_names)


def results_of(adata: AnnData, drug: str | None = None, key: str | None = None) -> dict[str, str]:
    """Base names of the results that fit, and their drugs."""
    every = {
        str(base): str(value["params"]["drug"])
        for base, value in adata.uns.items()
        if hasattr(value, "get") and hasattr(value.get("params"), "get") and value["params"].get("step") == STEP
    }
    wanted = SensitivityKeys.for_drug("" if drug is None else drug, key).base if drug is not None or key else None
    found = {base: name for base, name in every.items() if wanted in (None, base)}
    if not found:
        raise fail(
            KeyError, "adata.uns must hold the sensitivity of the cells" + (f" to {drug!r}." if drug else "."),
            f"{listing(every.values())}.",
            f"run grs.tl.drug_sensitivity(adata, lines, drug={drug or '...'!r}) first, or name its key_added with key=.",
        )  # fmt: skip
    return found


def _figures(stored: Any) -> dict[str, Any]:
    params, calibration = stored["params"], stored["calibration"]
    out = {name: params[name] for name in SETTINGS} | {name: float(stored[name]) for name in FIGURES}
    return out | {name: float(np.asarray(calibration[name])) for name in ("brier", "brier_prior")}
