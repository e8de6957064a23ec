"""Prior networks: any TF x gene table in one form."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._core.checks import fail, listing, need_one_of
from ._base_grn import PLACE, is_base_grn, links_of_frame
from ._files import open_table

logger = logging.getLogger(__name__)

# names of each column in other programs, the preferred ones first
COLUMNS = {
    "tf": ("tf", "source", "regulator"),
    "gene": ("gene", "target"),
    "weight": ("weight", "mor", "sign", "score", "importance", "mode"),
}
WORDS = {"activation": 1.0, "repression": -1.0, "unknown": 1.0}  # modes of TRRUST


def prior_network(source: Any, *, tfs: Literal["rows", "columns"] = "rows") -> pd.DataFrame:
    """Bring a prior network into the form `tf, gene, weight`, one row per pair.

    Parameters
    ----------
    source
        A long table as decoupler has it, with a TF and a gene column (`tf`/`source`/`regulator`, `gene`/`target`;
        letter case aside) and optionally a weight (`weight`/`mor`/`sign`/`score`/`importance`, or `mode` with the words
        activation and repression); a wide table of numbers; the base network of CellOracle (`peak_id`,
        `gene_short_name` and a column per TF); a sparse or dense matrix with its row and column names as (matrix, rows,
        columns); or the path of a CSV, TSV (plain or .gz) or parquet file of such a table. Networks in other forms are
        read by :func:`~grnformer_sc.priors.read_network`, whose table is taken here as well.
    tfs
        Where a wide table or a matrix has its TFs: in the rows or in the columns.

    Returns
    -------
    Table sorted by TF and gene with `tf`, `gene` (str) and `weight` (float64, signed; 1 where none is given). Of
    repeated pairs the weight of largest size is kept. Zero weights are dropped.

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    ValueError
        No pair is left, weights are not finite numbers, or names do not fit the matrix.

    Examples
    --------
    >>> import pandas as pd
    >>> import grnformer_sc as grs
    >>> net = pd.DataFrame({"source": ["B", "A"], "target": ["x", "y"], "mor": [-1, 1]})
    >>> grs.priors.prior_network(net)["tf"].tolist()
    ['A', 'B']
    """
    need_one_of(tfs, ("rows", "columns"), name="tfs")
    if isinstance(source, tuple):
        return _finish(_from_matrix(*_checked(source), tfs))
    frame = source if isinstance(source, pd.DataFrame) else _read(source)
    if is_base_grn(frame.columns):
        links = links_of_frame(frame).rename(columns={PLACE[1]: "gene"})
        return _finish(links[["tf", "gene"]].drop_duplicates().assign(weight=1.0))
    used = long_columns(frame)
    if not {"tf", "gene"} <= set(used):
        return _finish(_from_wide(frame, tfs))
    table = frame[list(used.values())].set_axis(list(used), axis=1)
    return _finish(table if "weight" in used else table.assign(weight=1.0))


def long_columns(frame: pd.DataFrame) -> dict[str, Any]:
    """Which columns of a long table are its `tf`, `gene` and `weight`, where it has them."""
    lower = {str(name).lower(): name for name in frame.columns}
    return {ours: lower[name] for ours, names in COLUMNS.items() for name in reversed(names) if name in lower}


def _checked(source: tuple[Any, ...]) -> tuple[Any, pd.Index, pd.Index]:
    sizes = [np.shape(part) for part in source]
    if len(source) != 3 or len(sizes[0]) != 2 or sizes[0] != (len(source[1]), len(source[2])):
        raise fail(
            ValueError, "a matrix comes as (matrix, row names, column names) of fitting sizes.", f"shapes {sizes}.",
            "give one name per row and per column.",
        )  # fmt: skip
    return source[0], pd.Index(source[1]).astype(str), pd.Index(source[2]).astype(str)


def _from_matrix(matrix: Any, rows: pd.Index, columns: pd.Index, tfs: str) -> pd.DataFrame:
    links = sp.coo_matrix(matrix)
    tf, gene = (rows[links.row], columns[links.col]) if tfs == "rows" else (columns[links.col], rows[links.row])
    return pd.DataFrame({"tf": tf, "gene": gene, "weight": links.data})


def _from_wide(frame: pd.DataFrame, tfs: str) -> pd.DataFrame:
    numeric = [pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes]
    if len(numeric) > 1 and not numeric[0] and all(numeric[1:]):  # names stand in the first column
        frame, numeric = frame.set_index(frame.columns[0]), numeric[1:]
    if not numeric or not all(numeric):
        raise fail(
            ValueError, "a prior needs a TF and a gene column, or a wide table of numbers.",
            f"columns {listing(frame.columns)}.", "name the columns source, target and weight.",
        )  # fmt: skip
    values = frame.to_numpy(dtype=np.float64)
    return _from_matrix(values, frame.index.astype(str), frame.columns.astype(str), tfs)


def _finish(table: pd.DataFrame) -> pd.DataFrame:
    named = table.dropna(subset=["tf", "gene"])
    if len(named) < len(table):
        logger.info("prior network: %d rows without a TF or gene name dropped", len(table) - len(named))
    weight = pd.to_numeric(named["weight"], errors="coerce").astype(np.float64)
    if not pd.api.types.is_numeric_dtype(named["weight"]):
        weight = weight.fillna(named["weight"].astype(str).str.lower().map(WORDS))
    if not np.isfinite(weight).all():
        bad = named["weight"][~np.isfinite(weight)]
        raise fail(
            ValueError, "weights of a prior must be finite numbers.", f"{len(bad)} others: {listing(bad, 3)}.",
            "drop these rows or the column.",
        )  # fmt: skip
    out = pd.DataFrame({"tf": named["tf"].astype(str), "gene": named["gene"].astype(str), "weight": weight})
    if (out["weight"] == 0).any():
        logger.info("prior network: %d pairs of weight 0 dropped", (out["weight"] == 0).sum())
    out = out[out["weight"] != 0]
    if out.empty:
        raise fail(
            ValueError, "a prior needs at least one TF-gene pair.", f"none with a weight in {len(table)} rows.",
            "check the table.",
        )  # fmt: skip
    out = out.iloc[np.lexsort((-out["weight"].to_numpy(), -out["weight"].abs().to_numpy()))]
    best = out.drop_duplicates(["tf", "gene"])
    if len(best) < len(out):
        logger.info("prior network: %d repeated pairs merged", len(out) - len(best))
    return best.sort_values(["tf", "gene"], ignore_index=True)


def _read(source: Any) -> pd.DataFrame:
    if not isinstance(source, (str, Path)):
        raise fail(
            TypeError, "a prior is a table, (matrix, rows, columns) or a path.", f"{type(source).__name__}.",
            "put it into a DataFrame with the columns source, target, weight.",
        )  # fmt: skip
    return open_table(Path(source))
