"""`priors.read_gdsc`: the response table of GDSC as one row per drug and cell line."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .._core.checks import fail, listing

logger = logging.getLogger(__name__)

PREFIX = "GDSC:"  # of drug ids in the files of DeepCDR and scFoundation


def read_gdsc(source: str | Path | pd.DataFrame, *, drugs: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Read a matrix of drugs and cell lines, such as ln(IC50) of GDSC, as a long table.

    Parameters
    ----------
    source
        CSV file (plain or .gz) or table: one row per drug id (`GDSC:1001` or `1001`, in the first column), one column per
        cell line, empty where nothing was measured.
    drugs
        Names by drug id, such as PubChem ids. Several ids may share one name: `grs.pp.drug_response_setup` averages their
        pairs. Ids without a name are left out and counted in the log.

    Returns
    -------
    Table `line`, `drug`, `drug_id` (text) and `value` (float64), one row per measured value, in the order of the file.

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    ValueError
        A value is no number, a drug id or a line stands twice, or no id has a name.

    See Also
    --------
    grnformer_sc.pp.drug_response_setup : store it beside the lines.

    Examples
    --------
    >>> import pandas as pd
    >>> import grnformer_sc as grs
    >>> matrix = pd.DataFrame({"ACH-1": [1.5, None], "ACH-2": [2.0, -1.0]}, index=["GDSC:1", "GDSC:2"])
    >>> grs.priors.read_gdsc(matrix)["drug"].tolist()
    ['1', '1', '2']
    """
    wide = source if isinstance(source, pd.DataFrame) else _read(Path(source))
    wide = wide.set_axis(wide.index.astype(str).str.removeprefix(PREFIX)).set_axis(wide.columns.astype(str), axis=1)
    for names, what in ((wide.index, "drug id"), (wide.columns, "cell line")):
        if names.has_duplicates:
            raise fail(
                ValueError, f"a {what} must stand once in the matrix.", f"{listing(names[names.duplicated()].unique())}.",
                "merge or drop the copies.",
            )  # fmt: skip
    bad = [name for name, kind in wide.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)]
    if bad:
        raise fail(
            ValueError, "responses must be numbers.", f"text in the columns {listing(bad, 3)}.",
            "give the matrix drugs x lines alone, with drug ids in the first column.",
        )  # fmt: skip
    values = wide.to_numpy(dtype=np.float64)
    row, column = np.nonzero(np.isfinite(values))
    table = pd.DataFrame(
        {
            "line": wide.columns[column],
            "drug": wide.index[row],
            "drug_id": wide.index[row],
            "value": values[row, column],
        }
    )
    return table if drugs is None else _named(table, drugs)


def _named(table: pd.DataFrame, drugs: Mapping[str, str]) -> pd.DataFrame:
    names = {str(key).removeprefix(PREFIX): str(name) for key, name in drugs.items()}
    found = table["drug_id"].map(names)
    if found.isna().all():
        raise fail(
            ValueError, "drugs= must name ids of the matrix.", f"ids {listing(table['drug_id'].unique(), 3)}, names for "
            f"{listing(names, 3)}.", "use the ids of the file as keys.",
        )  # fmt: skip
    lost = table.loc[found.isna(), "drug_id"]
    if len(lost):
        logger.info("read_gdsc: %d values of %d drug ids without a name left out", len(lost), lost.nunique())
    return table.assign(drug=found)[found.notna()].reset_index(drop=True)


def _read(path: Path) -> Any:
    if not path.is_file():
        raise fail(FileNotFoundError, "the response file must exist.", f"no file {str(path)!r}.", "check the path.")
    return pd.read_csv(path, index_col=0)
