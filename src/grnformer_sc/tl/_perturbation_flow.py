"""`tl.perturbation_flow`: where a simulated perturbation would move the cells."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._core.checks import fail, listing, need_between
from .._core.inputs import copy_of
from .._core.keys import PerturbationKeys
from .._core.logging import step
from .._core.params import recipe
from .._core.results import Results
from .._core.settings import resolve_jobs
from ..get._read import rna_of, stored
from ..grn.embedding import pca_scores
from ..grn.flow import embedding_neighbours, flow, gradient
from ._inputs import ordered_cells

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

N_COMPS = 30


def perturbation_flow(
    data: Any,
    *,
    basis: str = "X_umap",
    pseudotime: str | None = None,
    n_neighbors: int = 100,
    temperature: float = 0.05,
    key: str = "grn_ko",
    rna: str = "rna",
    layer: str | None = None,
    n_jobs: int | None = None,
    copy: bool = False,
) -> Any:
    """Show a simulated perturbation as movement of the cells in an embedding, and whether it is forward in pseudotime.

    A cell moves towards those neighbours that it would become more like: the change of its expression and the way to each
    neighbour are compared in 30 principal components, and the directions to the neighbours in the embedding are averaged
    with weights that rise with their cosine (RNA velocity's projection, La Manno et al. 2018, as CellOracle uses it,
    Kamimoto et al. 2023). With `pseudotime`, the perturbation score is the part of the movement along the direction in
    which pseudotime rises around the cell: negative where the perturbation holds differentiation up.

    Parameters
    ----------
    data
        Cells with the changes of single cells: `grs.tl.simulate_ko(..., per_cell=True)`.
    basis
        Entry of `obsm` with the embedding; any number of dimensions.
    pseudotime
        Column of `obs` with numbers; cells without one have no score.
    n_neighbors
        Nearest cells of the embedding that a cell can move towards.
    temperature
        How sharply neighbours are told apart; small values follow the best one alone.
    key
        Name of the simulated perturbation.
    rna
        Name of the RNA modality.
    layer
        Layer with raw counts; `None` is `.X`.
    n_jobs
        Threads of the search for neighbours.
    copy
        Return a copy of `data` instead of writing to it.

    Returns
    -------
    `None`, or the copy. Sets in the RNA AnnData:

    `obsm["grn_ko_flow"]` : float32 cells x dimensions of the basis
        Movement: mean of unit vectors less that of no preference, below 2 in length; 0 for cells that do not change.
    `obs["grn_ko_score"]` : float32
        With `pseudotime`: perturbation score, the movement along rising pseudotime; NaN for cells without one.
    `uns["grn_ko_flow"]`
        `params`.

    Raises
    ------
    KeyError
        There is no such perturbation, no change of single cells, no such basis or column.
    ValueError
        The basis has values that are not finite, or a number is out of range.

    See Also
    --------
    grnformer_sc.pl.perturbation_flow : draw it.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> rna = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)["rna"]
    >>> grs.tl.build_grn(rna, method="ridge", tfs="is_tf", key_added="grn")
    >>> grs.tl.simulate_ko(rna, "TF05", per_cell=True)
    >>> rna.obsm["X_toy"] = rna.X[:, :2].toarray()
    >>> grs.tl.perturbation_flow(rna, basis="X_toy")
    >>> rna.obsm["grn_ko_flow"].shape
    (200, 2)
    """
    need_between(n_neighbors, 2, 100_000, name="n_neighbors")
    need_between(temperature, 1e-3, 100, name="temperature")
    jobs = resolve_jobs(n_jobs)
    if copy:
        data = copy_of(data)
    adata, slots = rna_of(data, rna), PerturbationKeys(key)
    change = _change(data, adata, slots, rna)
    embedding = _embedding(adata, basis)
    time = None if pseudotime is None else _pseudotime(adata, pseudotime)
    cells, by_name, _ = ordered_cells(adata, None, np.zeros(adata.n_obs, dtype=np.int64), layer=layer, atac_layer=None)
    with step(logger, "perturbation_flow") as facts:
        scores, loadings, _ = pca_scores(cells.counts, n_comps=N_COMPS)
        shift = (change[:, by_name] @ loadings.T.astype(np.float64)).astype(np.float64)
        near = embedding_neighbours(embedding, n_neighbors, n_jobs=jobs)
        moved = flow(shift, scores.astype(np.float64), embedding, near, float(temperature))
        facts.append(f"{int((np.abs(moved).sum(axis=1) > 0).sum())} of {adata.n_obs} cells move")
        out = Results()
        out.obsm[slots.flow] = moved.astype(np.float32)
        if time is not None:
            timed = np.flatnonzero(np.isfinite(time))
            if timed.size < time.size:  # judged among the cells that have a time
                near = embedding_neighbours(embedding[timed], n_neighbors, n_jobs=jobs)
            score = np.full(time.size, np.nan)
            score[timed] = (moved[timed] * gradient(time[timed], embedding[timed], near)).sum(axis=1)
            out.obs[slots.score] = score.astype(np.float32)
            facts.append(f"{np.nanmean(score < 0):.0%} against pseudotime")
    params = {
        "basis": basis, "pseudotime": pseudotime, "n_neighbors": n_neighbors, "temperature": temperature,
        "perturbation": key,
    }  # fmt: skip
    record = recipe("perturbation_flow", params, inputs={"rna": layer or "X"}, dropped={})
    out.uns[slots.flow] = {"params": record}
    out.write(adata)
    return data if copy else None


def _change(data: Any, adata: AnnData, slots: PerturbationKeys, rna: str) -> sp.csr_matrix:
    stored(data, slots.uns, made_by="grs.tl.simulate_ko(mdata, 'TF', per_cell=True)", rna=rna)
    if slots.layer not in adata.layers:
        raise fail(
            KeyError, f"the perturbation {slots.uns!r} needs the changes of single cells.",
            f"no layers[{slots.layer!r}].", "repeat grs.tl.simulate_ko with per_cell=True.",
        )  # fmt: skip
    return sp.csr_matrix(adata.layers[slots.layer])


def _embedding(adata: AnnData, basis: str) -> np.ndarray:
    if basis not in adata.obsm:
        raise fail(
            KeyError, f"basis={basis!r} must be in obsm.", f"{listing(adata.obsm)}.",
            "make an embedding, for example with scanpy.tl.umap, or name another.",
        )  # fmt: skip
    values = np.asarray(adata.obsm[basis], dtype=np.float64)
    if not np.isfinite(values).all():
        raise fail(ValueError, f"obsm[{basis!r}] must be finite.", "values that are not.", "leave these cells out.")
    return values


def _pseudotime(adata: AnnData, name: str) -> np.ndarray:
    if name not in adata.obs:
        raise fail(
            KeyError, f"pseudotime={name!r} must be a column of obs.", f"{listing(adata.obs.columns)}.",
            "name another, or make it, for example with scanpy.tl.dpt.",
        )  # fmt: skip
    time = pd.to_numeric(adata.obs[name], errors="coerce").to_numpy(dtype=np.float64)
    time[~np.isfinite(time)] = np.nan
    if np.isfinite(time).sum() < 3:
        raise fail(
            ValueError, f"obs[{name!r}] must hold numbers for at least 3 cells.", f"{int(np.isfinite(time).sum())}.",
            "name a column of pseudotimes.",
        )  # fmt: skip
    return time
