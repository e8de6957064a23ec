"""`get.motif_enrichment`: which motifs are enriched in which region sets."""

from __future__ import annotations

from typing import Any

import pandas as pd

from .._core.checks import fail, listing, need_key
from .._core.keys import MOTIFS


def motif_enrichment(data: Any, *, region_set: str | None = None, atac: str = "atac") -> pd.DataFrame:
    """Read the motifs that `pp.read_cistarget` found enriched.

    Parameters
    ----------
    data
        MuData, a pair (rna, atac), or the ATAC AnnData.
    region_set
        Name of one set; all by default.
    atac
        Name of the ATAC modality.

    Returns
    -------
    Table with one row per region set, method and motif: `region_set`, `method` (`"cistarget"` or `"dem"`), `motif`, `auc`,
    `nes` (cisTarget), `log2fc`, `fdr` (DEM), `n_hits` (database regions), `tfs_direct`, `tfs_extended` (names joined by
    ", ").

    Raises
    ------
    KeyError
        There is no such table or set.

    Examples
    --------
    >>> import pandas as pd
    >>> import grnformer_sc as grs
    >>> atac = grs.datasets.simulate_multiome(60, n_genes=60, n_tfs=8, n_types=2, rng=0)["atac"]
    >>> atac.uns["motifs"]["enriched"] = pd.DataFrame({"region_set": ["B", "T"], "motif": ["m1", "m2"]})
    >>> grs.get.motif_enrichment(atac, region_set="T")["motif"].tolist()
    ['m2']
    """
    if hasattr(data, "mod"):
        need_key(data.mod, atac, where="the MuData", fix="name the ATAC modality with atac='...'.")
        data = data.mod[atac]
    found = (data[1] if isinstance(data, tuple) else data).uns.get(MOTIFS, {})
    need_key(found, "enriched", where=f"atac.uns[{MOTIFS!r}]", fix="run grs.pp.read_cistarget first.")
    table = pd.DataFrame(found["enriched"])
    if region_set is None:
        return table.copy()
    if region_set not in set(table["region_set"]):
        raise fail(
            KeyError, f"region_set={region_set!r} has no enriched motif.", f"{listing(table['region_set'].unique(), 30)}.",
            "choose one of them.",
        )  # fmt: skip
    return table[table["region_set"] == region_set].copy()
