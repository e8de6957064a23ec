"""`pp.metacells`: pools of similar cells."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._core.checks import fail, need_key
from .._core.inputs import as_mudata, find_group, open_rows, resolve, table_of
from .._core.keys import METACELLS
from .._core.logging import step
from .._core.params import recipe
from .._core.rows import Rows, row_sums
from ..grn.embedding import pca_scores
from ..grn.metacells import assign_metacells, median_depth, metacell_count, pool

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)


def metacells(
    data: Any,
    groupby: str | None = None,
    *,
    n_metacells: int | None = None,
    use_rep: str | None = None,
    rna: str = "rna",
    atac: str = "atac",
    layer: str | None = None,
    atac_layer: str | None = None,
) -> Any:
    """Pool similar cells of the same group into metacells of balanced size.

    Counts are summed by one sparse product. A group is halved at the median of its most variable principal component
    until it has its share of metacells, so sizes are balanced and nothing is random.

    Parameters
    ----------
    data
        MuData, AnnData, or a pair (rna, atac).
    groupby
        Column of obs; cells of different groups are never pooled.
    n_metacells
        Number of metacells. By default N/20 within 500 and 1,500; with fewer than 5,000 cells N/10 where cells are
        shallow (median below 500 counts in either modality), else every cell stays as it is.
    use_rep
        Key of `rna.obsm` with an embedding to use instead of 30 principal components.
    rna, atac
        Names of the modalities.
    layer, atac_layer
        Layers with raw counts; `None` is `.X`.

    Returns
    -------
    A new object of the same kind: MuData (or pair) of metacells with summed counts (CSR float32) in `.X`, the group in
    `obs`, `obs["n_cells"]`, and in `uns["metacells"]` of the RNA the recipe and the metacell of every cell (int array).

    Raises
    ------
    KeyError
        `groupby` or `use_rep` does not exist.
    ValueError
        The matrices hold no raw counts, or `n_metacells` is not between 1 and the number of cells.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(60, n_genes=60, n_tfs=8, n_types=2, rng=0)
    >>> pools = grs.pp.metacells(mdata, "cell_type", n_metacells=12)
    >>> pools["rna"].n_obs, int(pools["rna"].obs["n_cells"].sum())
    (12, 60)
    """
    rna_data, atac_data = resolve(data, rna, atac)
    groups = find_group(data, rna_data, atac_data, groupby)
    counts = open_rows(rna_data, layer, what="RNA counts")
    access = None if atac_data is None else open_rows(atac_data, atac_layer, what="ATAC counts", option="atac_layer")
    depths = [row_sums(rows)[0] for rows in (counts, access) if rows is not None]
    wanted = metacell_count(rna_data.n_obs, median_depth(*depths)) if n_metacells is None else n_metacells
    if not 1 <= wanted <= rna_data.n_obs:
        raise fail(
            ValueError, "n_metacells lies between 1 and the number of cells.", f"{wanted} for {rna_data.n_obs} cells.",
            "choose a smaller number.",
        )  # fmt: skip
    with step(logger, "metacells") as facts:
        if use_rep is not None:
            need_key(rna_data.obsm, use_rep, where="rna.obsm", fix="compute it first or leave use_rep=None.")
        embedding = pca_scores(counts)[0] if use_rep is None else np.asarray(rna_data.obsm[use_rep])
        codes = groups.cat.codes.to_numpy().astype(np.int64)
        assigned = assign_metacells(embedding, codes, n_metacells=wanted)
        facts.append(f"{rna_data.n_obs} cells -> {assigned.max() + 1} metacells in {len(groups.cat.categories)} groups")
    name = groupby or "group"
    record = recipe(
        "metacells",
        {"groupby": name, "n_metacells": wanted, "use_rep": use_rep},
        inputs={"layer": layer or "X"},
        dropped={},
    )
    pooled = _pooled(rna_data, counts, assigned, groups, name)
    pooled.uns[METACELLS] = {"params": record, "metacell": assigned}
    if atac_data is None or access is None:
        return pooled
    second = _pooled(atac_data, access, assigned, groups, name)
    if isinstance(data, tuple):
        return pooled, second
    return as_mudata({rna: pooled, atac: second})


def _pooled(adata: AnnData, counts: Rows, assigned: np.ndarray, groups: pd.Series, name: str) -> AnnData:
    from anndata import AnnData

    first = np.unique(assigned, return_index=True)[1]
    obs = pd.DataFrame(
        {name: groups.to_numpy()[first], "n_cells": np.bincount(assigned)},
        index=[f"metacell{i}" for i in range(first.size)],
    )
    return AnnData(X=pool(counts, assigned), obs=obs, var=table_of(adata.var).copy())
