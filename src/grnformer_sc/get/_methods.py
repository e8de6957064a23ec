"""`get.methods`: the catalogue of network methods."""

from __future__ import annotations

import pandas as pd

from .._core.keys import DEFAULT_METHOD

RNA = "RNA counts"
ROWS = (
    (DEFAULT_METHOD, f"{RNA}; ATAC counts and motif hits where there are any", "SCENIC+-style eRegulons, native"),
    ("correlation", RNA, "|Pearson correlation| of TF and gene"),
    ("flecs", f"{RNA}; times; a network", "weights of coupled differential equations (Bertin et al. 2025)"),
    ("genie3", RNA, "variance explained in a random forest (Huynh-Thu et al. 2010); a second or more per gene"),
    ("grnboost2", RNA, "importance in gradient boosting with early stop (Moerman et al. 2019)"),
    ("partial_correlation", RNA, "|correlation| given all other TFs, shrunk (Schaefer & Strimmer 2005)"),
    ("pcnet", f"{RNA}; cell types", "regression on principal components of the other genes (scRank, Li et al. 2024)"),
    (
        "renge",
        f"{RNA}; the knocked-out gene of every cell",
        "effects fitted to knock-outs over time (Ishikawa et al. 2023)",
    ),
    ("ridge", RNA, "|z| of the coefficient in ridge regression on all TFs"),
)


def methods() -> pd.DataFrame:
    """List the methods of `grs.tl.build_grn`.

    Returns
    -------
    Table with `method`, `needs`, `what`.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> grs.get.methods()["method"].tolist()
    ['eregulon', 'correlation', 'flecs', 'genie3', 'grnboost2', 'partial_correlation', 'pcnet', 'renge', 'ridge']
    """
    return pd.DataFrame(ROWS, columns=["method", "needs", "what"])
