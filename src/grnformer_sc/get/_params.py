"""`get.params`: how a result was made."""

from __future__ import annotations

from typing import Any

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
    return dict(stored(data, key, made_by="the function that makes it", rna=rna)["params"])
