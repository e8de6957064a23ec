"""`tl.aucell`: score any gene sets in cells."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._core.checks import fail, listing
from .._core.inputs import open_rows
from .._core.logging import step
from .._core.rng import RngLike, as_root, seed_for
from .._core.settings import resolve_jobs
from ..grn.aucell import TOP, Norm, Ties
from ..grn.aucell import aucell as score

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)


def aucell(
    adata: AnnData,
    net: pd.DataFrame | Mapping[str, Sequence[str]],
    *,
    layer: str | None = None,
    top: float = TOP,
    ties: Ties = "expected",
    norm: Norm = "decoupler",
    min_targets: int = 5,
    key_added: str = "aucell",
    rng: RngLike = 0,
    n_jobs: int | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Score gene sets in every cell by AUCell (Aibar et al. 2017).

    The area under the recovery curve of a set among the best `top` of a cell's genes; only ranks matter, so counts and
    normalised values give the same scores. With `ties="expected"` equal values share their mean gain, which is the mean
    over all tie orders: no seed, and the same cell has the same score in any subset. `ties="random"` breaks ties by one
    random order of genes, as pySCENIC and decoupler do.

    Parameters
    ----------
    adata
        Cells; non-negative values, in memory, backed, zarr or dask: read in blocks of `grs.settings.chunk_cells` rows.
    net
        Table with `source` and `target` (decoupler's format; `weight` is used by `norm="pyscenic"`), or a mapping from
        set names to genes.
    layer
        Layer to use; `None` is `.X`.
    top
        Share of the genes that form the top.
    ties
        `"expected"` or `"random"`.
    norm
        `"decoupler"` or `"pyscenic"`: what an area is divided by.
    min_targets
        Sets with fewer genes in the data are left out.
    key_added
        Key of the result.
    rng
        Seed or Generator of the tie order (`ties="random"` only).
    n_jobs
        Threads.
    copy
        Return a copy instead of writing to `adata`.

    Returns
    -------
    `None`, or the copy. Sets:

    `adata.obsm[key_added]` : DataFrame cells x sets, float32, 0 to 1

    Raises
    ------
    KeyError
        `net` has no columns `source` and `target`, or the layer is missing.
    ValueError
        Values are negative, or no set has enough genes in the data.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> rna = grs.datasets.simulate_multiome(60, n_genes=60, n_tfs=8, n_types=2, rng=0)["rna"]
    >>> grs.tl.aucell(rna, {"set": list(rna.var_names[10:20])})
    >>> rna.obsm["aucell"].shape
    (60, 1)
    """
    adata = adata.copy() if copy else adata
    x = open_rows(adata, layer, what="expression", counts=False)
    names, members, n_missing = _members(net, adata.var_names, min_targets, weighted=norm == "pyscenic")
    with step(logger, "aucell") as facts:
        seed = seed_for(as_root(rng), "aucell")
        auc = score(x, members, top=top, ties=ties, norm=norm, seed=seed, n_jobs=resolve_jobs(n_jobs))
        facts.append(f"{len(names)} sets in {adata.n_obs} cells; {n_missing} members are not in the data")
    columns = [name.replace("/", "_") for name in names]  # zarr refuses a slash in a name
    adata.obsm[key_added] = pd.DataFrame(auc, index=adata.obs_names, columns=columns)
    return adata if copy else None


def _members(
    net: pd.DataFrame | Mapping[str, Sequence[str]], genes: pd.Index, min_targets: int, *, weighted: bool
) -> tuple[list[str], sp.csr_matrix, int]:
    """Sets with enough genes in the data (sorted by name), as CSR sets x genes."""
    if isinstance(net, Mapping):
        table = pd.DataFrame(
            [(name, gene) for name, members in net.items() for gene in members], columns=["source", "target"]
        )
    elif {"source", "target"} <= set(net.columns):
        table = net
    else:
        raise fail(
            KeyError, "net needs the columns 'source' and 'target'.", f"{listing(net.columns)}.",
            "rename the columns, or pass a dict of set name -> genes.",
        )  # fmt: skip
    table = table.assign(source=table["source"].astype(str), target=table["target"].astype(str))
    table = table.drop_duplicates(["source", "target"])
    place = genes.get_indexer(table["target"])
    weight = table["weight"].abs().to_numpy() if weighted and "weight" in table else np.ones(len(table))
    size = pd.Series(place >= 0).groupby(table["source"].to_numpy()).sum()
    names = sorted(size.index[size >= min_targets])
    if not names:
        raise fail(
            ValueError, f"at least one set needs {min_targets} genes of the data.",
            f"{size.size} sets, the largest with {int(size.max()) if size.size else 0}; "
            f"data {listing(genes, 3)}, net {listing(table['target'], 3)}.",
            "use the same gene names, or lower min_targets.",
        )  # fmt: skip
    if len(names) < size.size:
        logger.info(
            "aucell: %d of %d sets left out (fewer than %d genes)", size.size - len(names), size.size, min_targets
        )
    row = pd.Index(names).get_indexer(table["source"])
    keep = (row >= 0) & (place >= 0)
    matrix = sp.csr_matrix((weight[keep], (row[keep], place[keep])), (len(names), genes.size))
    return names, matrix, int((place < 0).sum())
