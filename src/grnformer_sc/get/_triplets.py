"""TF-region-gene links in the tables of other tools."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import pandas as pd

from .._core.checks import fail
from .._core.tables import spell_regions

logger = logging.getLogger(__name__)

DASHED = r"\g<chrom>-\g<start>-\g<end>"  # chr1-100-200, the only form that GRETA takes
PLUS_MINUS = {1: "+", -1: "-"}


def greta_table(edges: pd.DataFrame) -> pd.DataFrame:
    """Make the table `source, cre, target, score` of GRETA; without `cre` where the network has no regions."""
    table = pd.DataFrame(
        {
            "source": edges["tf"].astype(str),
            "cre": spell_regions(edges["region"], DASHED),
            "target": edges["gene"].astype(str),
            "score": edges["tf_gene_importance"] * edges["sign"],
        }
    )
    bare = len(table) > 0 and (table["cre"] == "").all()
    table = table.drop(columns="cre") if bare else table[_has_region(table["cre"], "GRETA")]
    names = [name for name in ("source", "cre", "target") if name in table]
    table = table.iloc[np.argsort(-table["score"].abs().to_numpy(), kind="stable")].drop_duplicates(names)
    return table.sort_values(names, ignore_index=True)


def scenicplus_table(edges: pd.DataFrame) -> pd.DataFrame:
    """Make the eRegulon table of SCENIC+, with its column names and names of eRegulons."""
    if len(edges) and (edges["region"].astype(str) == "").all():
        raise fail(
            ValueError, "the eRegulons of SCENIC+ consist of TF-region-gene links.", "a network without regions.",
            "build the network with ATAC, or write another format, such as format='gmt'.",
        )  # fmt: skip
    edges = edges[_has_region(edges["region"], "SCENIC+")]
    extended = (edges["evidence"].astype(str) == "extended").to_numpy()
    tf = edges["tf"].astype(str).to_numpy(dtype=object)
    kind = np.where(extended, "_extended_", "_direct_")
    signs = [
        f"{PLUS_MINUS[s]}/{PLUS_MINUS.get(r, '+')}" for s, r in zip(edges["sign"], edges["region_sign"], strict=True)
    ]
    importance, rho = edges["region_gene_importance"].to_numpy(), edges["region_gene_rho"].to_numpy()
    table = pd.DataFrame(
        {
            "Region": spell_regions(edges["region"]).to_numpy(),
            "Gene": edges["gene"].astype(str).to_numpy(dtype=object),
            "importance_R2G": importance,
            "rho_R2G": rho,
            "importance_x_rho_R2G": importance * rho,
            "importance_x_abs_rho_R2G": importance * np.abs(rho),
            "TF": tf,
            "is_extended": extended,
            "eRegulon_name": tf + kind + np.asarray(signs, dtype=object),
            "importance_TF2G": edges["tf_gene_importance"].to_numpy(),
            "regulation": edges["sign"].to_numpy(),
            "rho_TF2G": edges["tf_gene_rho"].to_numpy(),
            "triplet_rank": _rank(edges["score"]),
        }
    )
    size = table.groupby("eRegulon_name")[["Gene", "Region"]].transform("nunique").astype(str)
    at = table.columns.get_loc("eRegulon_name") + 1
    table.insert(at, "Gene_signature_name", table["eRegulon_name"] + "_(" + size["Gene"] + "g)")
    table.insert(at + 1, "Region_signature_name", table["eRegulon_name"] + "_(" + size["Region"] + "r)")
    return table


def _has_region(regions: pd.Series, reader: str) -> np.ndarray:
    keep = (regions.astype(str) != "").to_numpy()
    if not keep.all():
        logger.info(
            "%s has no place for links without a region: %d of %d are left out", reader, (~keep).sum(), keep.size
        )
    return keep


def _rank(score: pd.Series) -> np.ndarray:
    """Place of every link by its score, best first, from 0; links of equal score in their order."""
    rank = np.empty(score.size, dtype=np.int64)
    rank[np.argsort(-score.fillna(-1).to_numpy(), kind="stable")] = np.arange(score.size)
    return rank


TRIPLET_WRITERS: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "greta": greta_table,
    "scenicplus": scenicplus_table,
}
