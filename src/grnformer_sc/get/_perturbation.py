"""`get.perturbation`: what a simulated perturbation changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from .._core.checks import fail, listing
from .._core.keys import PerturbationKeys
from ._read import rna_of, stored


def perturbation(data: Any, *, group: str | None = None, key: str = "grn_ko", rna: str = "rna") -> pd.DataFrame:
    """Read the predicted changes of a simulated knock-out or over-expression as a table.

    Parameters
    ----------
    data
        AnnData or MuData.
    group
        One cell type; all by default.
    key
        Name of the result (`key_added` of `tl.simulate_ko`).
    rna
        Name of the RNA modality.

    Returns
    -------
    Table with one row per gene and group that the change reaches, the largest changes of each group first: `gene`, `group`
    (categorical), `change` (float32, of mean log-normalised expression), `step` (int8; 0: perturbed, 1: direct target,
    more: links on the shortest way).

    Raises
    ------
    KeyError
        There is no such result, or the group is unknown.

    See Also
    --------
    grnformer_sc.tl.simulate_ko : make it.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> grs.tl.simulate_ko(mdata, "TF05", n_steps=1)
    >>> sorted(grs.get.perturbation(mdata)["step"].unique().tolist())
    [0, 1]
    """
    found = stored(data, key, made_by="grs.tl.simulate_ko(mdata, 'TF')", rna=rna)
    adata, slots = rna_of(data, rna), PerturbationKeys(key)
    names = [str(name) for name in found.get("group_names", ())]
    if slots.change not in adata.varm or slots.step not in adata.varm:
        raise fail(
            KeyError, f"key={key!r} must name a simulated perturbation.", f"varm {listing(adata.varm)}.",
            "run grs.tl.simulate_ko(mdata, 'TF') first, or name its key_added.",
        )  # fmt: skip
    if group is not None and group not in names:
        raise fail(
            KeyError,
            f"group={group!r} is no cell type of the network.",
            f"{listing(names, 30)}.",
            "choose one of them.",
        )
    change, steps = np.asarray(adata.varm[slots.change]), np.asarray(adata.varm[slots.step])
    column, gene = np.nonzero((steps >= 0).T & np.array([group in (None, name) for name in names])[:, None])
    order = np.lexsort((adata.var_names[gene], -np.abs(change[gene, column]), column))
    gene, column = gene[order], column[order]
    return pd.DataFrame(
        {
            "gene": pd.Categorical(adata.var_names[gene]),
            "group": pd.Categorical.from_codes(column, categories=names),
            "change": change[gene, column],
            "step": steps[gene, column],
        }
    )
