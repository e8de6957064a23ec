"""`priors.read_network`: the network of another tool, or an exported one, as an edge table."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .._core.checks import fail, need_one_of
from .._core.logging import step
from .._core.tables import EDGE_COLUMNS, edge_table
from ._files import READERS, open_table, table_of_object
from ._formats import LAYOUTS, PAIRS, find_layout, read_pairs
from ._regulon_names import name_regulon

logger = logging.getLogger(__name__)

FORMATS = ("edges", "frame", "decoupler", "greta", "scenicplus", "pyscenic", "celloracle", *READERS)
LINK = ["tf", "eregulon", "gene", "region"]


def read_network(source: Any, *, format: str | None = None) -> pd.DataFrame:
    """Read a network of SCENIC+, pySCENIC, CellOracle, GRETA, decoupler, a graph, or an export of this package.

    The table can be scored in cells with `grs.tl.cell_grn(data, net=table, thresholds="fit")` and is a `prior=` of
    `grs.tl.build_grn`. Nothing is unpickled or evaluated.

    Parameters
    ----------
    source
        Path, table, or an AnnData or MuData whose `uns` holds a network. Files: `.csv`, `.tsv`, `.txt` (also `.gz`) with
        eRegulons of SCENIC+, motifs of `pyscenic ctx`, TF-gene pairs of decoupler, TF-region-gene links of GRETA, or
        `get.grn` and `get.network`; `.parquet` with a base network of CellOracle; `.gmt`; `.loom` of `pyscenic aucell`;
        `.graphml`; `.cyjs`; `.h5ad` and `.h5mu` with eRegulons of SCENIC+, a prediction for geneRNIB, or `uns["grn"]`.
    format
        What the table or file is, one of `"edges"` (`get.grn`), `"frame"` (`get.network`), `"decoupler"`, `"greta"`,
        `"scenicplus"`, `"pyscenic"`, `"celloracle"`, `"gmt"`, `"loom"`, `"graphml"`, `"cyjs"`. By default the suffix of
        the file and the columns of the table tell.

    Returns
    -------
    Edge table as in `uns["grn"]["edges"]`: one row per TF-region-gene link (`region` is "" where there is none), sorted.
    Weights become `tf_gene_importance` and `sign`; without weights the importance is 1, without signs the sign is +1.
    Regions of other tools are spelled `chrom:start-end`. eRegulons of SCENIC+ with borrowed motifs end in `|extended`.

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    ValueError
        The form is unknown, columns are missing, no link is left, or the file is a pickle.
    TypeError
        The source is of another type.

    See Also
    --------
    grnformer_sc.get.write_network : write a network.
    grnformer_sc.priors.prior_network : TF-gene pairs alone.

    Examples
    --------
    >>> import pandas as pd
    >>> import grnformer_sc as grs
    >>> links = pd.DataFrame({"source": ["Sox9", "Cux1"], "target": ["Aqp4", "Satb2"], "weight": [-0.4, 0.9]})
    >>> grs.priors.read_network(links)[["tf", "gene", "sign", "eregulon"]].to_numpy().tolist()
    [['Cux1', 'Satb2', 1, 'Cux1|act'], ['Sox9', 'Aqp4', -1, 'Sox9|rep']]
    """
    if format is not None:
        need_one_of(format, FORMATS, name="format")
    with step(logger, "read_network") as facts:
        table = _table(source, format)
        if table.empty:
            raise fail(
                ValueError, "a network needs at least one link.", "an empty table.", "check where it comes from."
            )
        layout = find_layout(table, format)
        links = read_pairs(table) if layout == PAIRS else LAYOUTS[layout].read(table)
        edges, lost = _complete(links)
        facts.append(f"{layout}: {len(table)} rows, {len(edges)} links, {edges['eregulon'].nunique()} eRegulons")
        facts.extend(f"{count} {what}" for what, count in lost.items() if count)
    return edges


def _table(source: Any, format: str | None) -> pd.DataFrame:
    if isinstance(source, pd.DataFrame):
        return source
    if hasattr(source, "uns"):
        return table_of_object(source)
    if not isinstance(source, (str, Path)):
        raise fail(
            TypeError, "a network is a table, a path, an AnnData or a MuData.", f"{type(source).__name__}.",
            "put it into a DataFrame with the columns source, target, weight.",
        )  # fmt: skip
    return open_table(Path(source), format)


def _complete(links: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """Edge table of what can be used, and how many links are lost or changed, by reason."""
    named = _filled(links["tf"]) & _filled(links["gene"])
    weight = pd.to_numeric(links["tf_gene_importance"], errors="coerce").to_numpy(dtype=np.float64)
    usable = np.isfinite(weight) & (weight != 0)
    kept = links[named & usable].copy()
    if kept.empty:
        raise fail(
            ValueError, "a network needs at least one link.",
            f"none in {len(links)}: {(~named).sum()} without a TF or gene, {(named & ~usable).sum()} without a weight.",
            "check where it comes from.",
        )  # fmt: skip
    sign = kept["sign"].fillna(0).to_numpy().astype(np.int8)
    kept["sign"] = np.where(sign == 0, 1, sign)
    kept["region_sign"] = kept["region_sign"].fillna(0).astype(np.int8) if "region_sign" in kept else 0
    kept["region"] = kept["region"].astype(object).fillna("") if "region" in kept else ""
    kept["eregulon"] = _named(kept)
    order = np.argsort(-kept["tf_gene_importance"].to_numpy(dtype=np.float64), kind="stable")
    once = kept.iloc[order].drop_duplicates(LINK)
    lost = {
        "without a TF or gene lost": int((~named).sum()),
        "without a weight lost": int((named & ~usable).sum()),
        "without a sign taken as activation": int((sign == 0).sum()),
        "repeated links merged": len(kept) - len(once),
    }
    return edge_table(once[[name for name in EDGE_COLUMNS if name in once]]), lost


def _filled(names: pd.Series) -> np.ndarray:
    """Which names are neither missing nor blank, looked at once per distinct name."""
    values = names.astype("category").cat
    blank = np.append(values.categories.astype(str).str.strip() == "", True)
    return ~blank[values.codes]


def _named(links: pd.DataFrame) -> pd.Series:
    """Names of the eRegulons, made from TF and signs where there are none; no "/", which zarr refuses."""
    parts = links[["tf", "sign", "region_sign"]].assign(extended=links["evidence"].astype(str) == "extended")
    number = parts.groupby(list(parts.columns), sort=False, observed=True).ngroup()
    each = parts.loc[~number.duplicated()]
    made = [
        name_regulon(str(tf), int(sign), int(state), extended=bool(extended))
        for tf, sign, state, extended in each.itertuples(index=False, name=None)
    ]
    names = pd.Series(np.asarray(made, dtype=object)[number.to_numpy()], index=links.index)
    if "eregulon" not in links:
        return names
    given = links["eregulon"].astype(object).fillna("").astype(str).str.replace("/", "_")
    return given.where(given != "", names)
