"""`get.methods`: the catalogue of network methods."""

from __future__ import annotations

import pandas as pd

from .._core.keys import DEFAULT_METHOD


def methods() -> pd.DataFrame:
    """List the methods of `grs.tl.build_grn`.

    Returns
    -------
    Table with `method`, `needs`, `what`.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> grs.get.methods()["method"].tolist()
    ['eregulon']
    """
    needs = "RNA counts; ATAC counts and motif hits where there are any"
    rows = [(DEFAULT_METHOD, needs, "SCENIC+-style eRegulons, native")]
    return pd.DataFrame(rows, columns=["method", "needs", "what"])
