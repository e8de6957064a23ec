"""`get.split`, `get.write_split`: which perturbations are held out, as a table and as a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from .._core.checks import need_key
from .._core.files import whole_file
from .._core.keys import SPLIT

if TYPE_CHECKING:
    from anndata import AnnData

FIX = "run grs.pp.split_perturbations(adata) first, or name another split with key=."


def split(adata: AnnData, *, key: str = SPLIT) -> pd.DataFrame:
    """Read a split as a table.

    Parameters
    ----------
    adata
        Cells.
    key
        Name of the split.

    Returns
    -------
    Table with one row per condition: `perturbation`, `context`, `split`, `kind` (`single` or `combo`, and how many of its
    genes stand in training).

    Raises
    ------
    KeyError
        There is no such split.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> cells = grs.datasets.simulate_perturbations(20, n_genes=60, n_tfs=8, rng=0)
    >>> grs.pp.perturbation_setup(cells)
    >>> grs.pp.split_perturbations(cells, strategy="folds", n_folds=4)
    >>> grs.get.split(cells)["split"].nunique()
    4
    """
    need_key(adata.uns, key, where="adata.uns", fix=FIX)
    need_key(adata.uns[key], "table", where=f"adata.uns[{key!r}]", fix=FIX)
    table: pd.DataFrame = adata.uns[key]["table"]
    return table.astype(str).reset_index(drop=True)


def write_split(adata: AnnData, path: str | Path, *, key: str = SPLIT) -> None:
    """Write a split as JSON, to be read by `pp.split_perturbations(adata, split=path)` on the same data elsewhere.

    Parameters
    ----------
    adata
        Cells.
    path
        File.
    key
        Name of the split.

    Returns
    -------
    `None`.

    Raises
    ------
    KeyError
        There is no such split.

    Examples
    --------
    >>> import tempfile, grnformer_sc as grs
    >>> cells = grs.datasets.simulate_perturbations(20, n_genes=60, n_tfs=8, rng=0)
    >>> grs.pp.perturbation_setup(cells)
    >>> grs.pp.split_perturbations(cells)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     grs.get.write_split(cells, f"{folder}/split.json")
    ...     grs.pp.split_perturbations(cells, split=f"{folder}/split.json", key_added="again")
    >>> grs.get.split(cells).equals(grs.get.split(cells, key="again"))
    True
    """
    strategy = str(adata.uns.get(key, {}).get("strategy", ""))
    content = {
        "strategy": strategy,
        "conditions": split(adata, key=key).to_dict("list"),
    }
    with whole_file(Path(path)) as draft:
        draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
