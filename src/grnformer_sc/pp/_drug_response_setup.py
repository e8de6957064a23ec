"""`pp.drug_response_setup`: measured responses of cell lines to drugs, stored beside the lines."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from .._core.checks import fail, listing, nearest, need_key, need_one_of, need_unique
from .._core.keys import DRUG_RESPONSE
from .._core.logging import step
from .._core.params import recipe
from .._core.results import Results

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

Duplicates = Literal["mean", "error"]


def drug_response_setup(
    adata: AnnData,
    response: pd.DataFrame,
    *,
    line: str = "line",
    drug: str = "drug",
    value: str = "value",
    smiles: Mapping[str, str] | pd.Series | None = None,
    duplicates: Duplicates = "mean",
    copy: bool = False,
) -> AnnData | None:
    """Store measured drug responses beside the cell lines, one value per line and drug.

    A pair that is measured several times is averaged: left as it is, one copy would be trained on while another is tested,
    as happens to 11 % of the test pairs of the scFoundation benchmark, where drug ids share a compound.

    Parameters
    ----------
    adata
        Cell lines: names in `obs_names`, expression or any other features.
    response
        One row per measurement, such as `grs.priors.read_gdsc` gives.
    line, drug, value
        Its columns. The unit of the value is yours (ln IC50 in GDSC).
    smiles
        Structure by drug, for models that know structures; drugs without one are counted in the log.
    duplicates
        What is done with pairs measured several times: `"mean"`, or `"error"`.
    copy
        Return a copy instead of writing to `adata`.

    Returns
    -------
    `None`, or the copy. Sets:

    `adata.obsm["drug_response"]` : float64 lines x drugs
        NaN where nothing was measured.
    `adata.uns["drug_response"]`
        `drugs`: table of the columns (`drug`, `smiles` or "", `n_lines`), sorted by name; `params`.

    Raises
    ------
    KeyError
        A column is missing, or no line of the table is in the data.
    ValueError
        No value is a number, all are equal, names of lines are empty or repeated, `smiles` names no drug of the table, or
        a pair is repeated with `duplicates="error"`.

    See Also
    --------
    grnformer_sc.tl.drug_response : predict responses.
    grnformer_sc.priors.read_gdsc : read the table of GDSC.

    Examples
    --------
    >>> import anndata as ad, numpy as np, pandas as pd
    >>> import grnformer_sc as grs
    >>> lines = ad.AnnData(np.eye(3, dtype="float32"), obs=pd.DataFrame(index=["A", "B", "C"]))
    >>> table = pd.DataFrame({"line": ["A", "A", "B"], "drug": "x", "value": [1.0, 3.0, 5.0]})
    >>> grs.pp.drug_response_setup(lines, table)
    >>> lines.obsm["drug_response"].ravel().tolist()
    [2.0, 5.0, nan]
    """
    need_one_of(duplicates, ("mean", "error"), name="duplicates")
    for name in (line, drug, value):
        need_key(response, name, where="response", fix="name its columns with line=, drug=, value=.")
    need_unique(adata.obs_names, what="cell lines (obs_names)")
    adata = adata.copy() if copy else adata
    with step(logger, "drug_response_setup") as facts:
        table = pd.DataFrame(
            {
                "line": response[line].astype("string").str.strip(), "drug": response[drug].astype("string").str.strip(),
                "value": pd.to_numeric(response[value], errors="coerce").replace([np.inf, -np.inf], np.nan),
            }
        )  # fmt: skip
        whole = (table.notna() & (table != "")).all(axis=1).fillna(False)  # noqa: FBT003
        known = whole & table["line"].isin(adata.obs_names)
        _need_some(table, whole, known, adata.obs_names)
        used = table[known]
        means, n_repeated = _averaged(used, duplicates)
        names = pd.Index(sorted(means["drug"].unique()))
        matrix = np.full((adata.n_obs, names.size), np.nan)
        matrix[adata.obs_names.get_indexer(means["line"]), names.get_indexer(means["drug"])] = means["value"]
        structures = _structures(names, smiles)
        dropped = {
            "missing values or names": int((~whole).sum()), "values of unknown lines": int((whole & ~known).sum()),
            "unknown lines": int(table["line"][whole & ~known].nunique()), "repeated pairs averaged": n_repeated,
            "values averaged away": len(used) - len(means), "lines without a value": int(np.isnan(matrix).all(axis=1).sum()),
        }  # fmt: skip
        facts.append(f"{len(means)} pairs of {means['line'].nunique()} lines and {names.size} drugs")
        facts.extend(f"{count} {what}" for what, count in dropped.items() if count)
        if smiles is not None:
            facts.append(f"{int((structures != '').sum())} drugs with a structure")
    columns = {"drug": names.astype(str), "smiles": structures, "n_lines": np.isfinite(matrix).sum(axis=0)}
    options = {"line": line, "drug": drug, "value": value, "duplicates": duplicates}
    out = Results()
    out.obsm[DRUG_RESPONSE] = matrix
    record = recipe("drug_response_setup", options, inputs={"response": "table"}, dropped=dropped)
    out.uns[DRUG_RESPONSE] = {"drugs": pd.DataFrame(columns, index=names.astype(str)), "params": record}
    out.write(adata)
    return adata if copy else None


def _need_some(table: pd.DataFrame, whole: pd.Series, known: pd.Series, lines: pd.Index) -> None:
    if not whole.any():
        raise fail(
            ValueError, "response needs rows with a line, a drug and a number.",
            f"none in {len(table)} rows.", "check the columns.",
        )  # fmt: skip
    if not known.any():
        raise fail(
            KeyError, "response must name lines of adata.obs_names.", f"{nearest(table['line'][whole].unique(), lines)}.",
            "use the same names in both.",
        )  # fmt: skip
    if table.loc[known, "value"].nunique() < 2:
        raise fail(
            ValueError, "responses must differ.", f"all {int(known.sum())} are {table.loc[known, 'value'].iloc[0]:g}.",
            "name the column of the measured response with value=.",
        )  # fmt: skip


def _averaged(table: pd.DataFrame, duplicates: Duplicates) -> tuple[pd.DataFrame, int]:
    """One row per pair, and how many pairs were repeated."""
    grouped = table.groupby(["line", "drug"], sort=True)["value"]
    n_repeated = int((grouped.size() > 1).sum())
    if n_repeated and duplicates == "error":
        first = table[table.duplicated(["line", "drug"])].iloc[0]
        raise fail(
            ValueError, "every pair of line and drug must be measured once (duplicates='error').",
            f"{n_repeated} repeated pairs, such as {first['line']!r} and {first['drug']!r}.",
            "pass duplicates='mean', or drop the copies.",
        )  # fmt: skip
    return grouped.mean().reset_index(), n_repeated


def _structures(names: pd.Index, smiles: Mapping[str, str] | pd.Series | None) -> np.ndarray[Any, Any]:
    given = {
        str(name): text
        for name, text in dict({} if smiles is None else smiles).items()
        if isinstance(text, str) and text.strip()
    }
    if given and not names.isin(given).any():
        raise fail(
            ValueError, "smiles must name drugs of the response.", f"{nearest(list(given), names)}.",
            f"use the names of the response, such as {listing(names, 3)}.",
        )  # fmt: skip
    return np.array([given.get(name, "").strip() for name in names], dtype=object)
