"""`get.params`: how a result was made."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from .._core.checks import need_key
from ._read import stored


def params(data: Any, key: str = "grn", *, rna: str = "rna") -> dict[str, Any]:
    """Read the recipe of a result: parameters, inputs, what was dropped, package versions.

    Parameters
    ----------
    data
        AnnData or MuData.
    key
        Base name of the result, such as `"grn"` or `"grnformer"`.
    rna
        Name of the RNA modality.

    Returns
    -------
    Dictionary with text keys.

    Raises
    ------
    KeyError
        The result does not exist.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> grs.get.params(mdata)["method"]
    'eregulon'
    """
    found = stored(data, key, made_by="the function that makes it", rna=rna)
    need_key(found, "params", where=f"adata.uns[{key!r}]", fix="name a result of this package, such as key='grn'.")
    return deepcopy(dict(found["params"]))
