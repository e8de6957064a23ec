"""Prior networks: any TF x gene table in one form."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from .._core.checks import fail, listing

logger = logging.getLogger(__name__)

NAMES = {"source": "tf", "regulator": "tf", "target": "gene", "mor": "weight", "sign": "weight", "score": "weight"}


def prior_network(source: str | Path | pd.DataFrame) -> pd.DataFrame:
    """Bring a prior network into the form `tf, gene, weight`, one row per pair.

    Parameters
    ----------
    source
        A long table with a TF and a gene column (`tf`/`source`/`regulator`, `gene`/`target`) and optionally a weight
        (`weight`/`mor`), a wide table (TFs as rows, genes as columns), or the path of a CSV or TSV file of either form.

    Returns
    -------
    Table sorted by TF and gene with `tf`, `gene` (str) and `weight` (float64, signed; 1 where none is given). Repeated
    pairs keep the weight of largest size. Zero weights are dropped.

    Raises
    ------
    ValueError
        No pair is left, or weights are not finite.

    Examples
    --------
    >>> import pandas as pd
    >>> import grnformer_sc as grs
    >>> net = pd.DataFrame({"source": ["B", "A"], "target": ["x", "y"], "mor": [-1, 1]})
    >>> grs.priors.prior_network(net)["tf"].tolist()
    ['A', 'B']
    """
    frame = source if isinstance(source, pd.DataFrame) else _read(Path(source))
    table = frame.rename(columns={c: NAMES.get(str(c).lower(), str(c).lower()) for c in frame.columns if isinstance(c, str)})
    if not {"tf", "gene"} <= set(table.columns):
        table = _from_wide(frame)
    if "weight" not in table:
        table = table.assign(weight=1.0)
    table = pd.DataFrame(
        {"tf": table["tf"].astype(str), "gene": table["gene"].astype(str), "weight": pd.to_numeric(table["weight"])}
    )
    if not np.isfinite(table["weight"]).all():
        raise fail(ValueError, "weights of a prior must be finite.", "NaN or infinite weights.", "drop these rows.")
    table = table[table["weight"] != 0]
    if table.empty:
        raise fail(
            ValueError, "a prior needs TF and gene columns, or TFs as rows and genes as columns.",
            f"columns {listing(frame.columns)} and no usable pair.", "name the columns source and target.",
        )  # fmt: skip
    best = table.iloc[np.argsort(-table["weight"].abs().to_numpy(), kind="stable")].drop_duplicates(["tf", "gene"])
    if len(best) < len(table):
        logger.info("prior network: %d repeated pairs merged", len(table) - len(best))
    return best.sort_values(["tf", "gene"], ignore_index=True)


def _from_wide(frame: pd.DataFrame) -> pd.DataFrame:
    numbers = frame.select_dtypes("number")
    if numbers.shape[1] == 0 or numbers.shape[1] < frame.shape[1]:
        return pd.DataFrame({"tf": [], "gene": [], "weight": []}, dtype=float)
    values = numbers.to_numpy(dtype=np.float64)
    tf, gene = np.nonzero(values)
    return pd.DataFrame(
        {"tf": frame.index.astype(str)[tf], "gene": frame.columns.astype(str)[gene], "weight": values[tf, gene]}
    )


def _read(path: Path) -> pd.DataFrame:
    if not path.exists():
        raise fail(FileNotFoundError, "the prior network file must exist.", str(path), "check the path.")
    tab = any(s in {".tsv", ".txt", ".tab"} for s in path.suffixes)
    frame = pd.read_csv(path, sep="\t" if tab else ",")
    first = str(frame.columns[0])
    return frame.set_index(first) if first.startswith("Unnamed") or first == "" else frame
