"""`pp.pair_unpaired`: metacells of RNA and ATAC that were measured in different cells, paired inside shared labels."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._core.checks import fail, listing, need_one_of
from .._core.inputs import BARCODE_STEM, as_mudata, find_group, read_counts, table_of
from .._core.keys import METACELLS, MOTIFS
from .._core.logging import step
from .._core.params import recipe
from .._core.rng import RngLike, as_root
from ..grn.embedding import lsi_scores, pca_scores
from ..grn.metacells import MOST, SMALLEST, pool
from ..grn.region_gene import WINDOW
from ._pairing import activity_weights, assign, partners

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

logger = logging.getLogger(__name__)

Method = Literal["labels", "ot"]
LOOKS_PAIRED = 0.5  # share of equal barcodes from which the cells look paired


def pair_unpaired(
    rna: AnnData,
    atac: AnnData,
    *,
    groupby: str,
    method: Method = "labels",
    n_metacells: int | None = None,
    annotation: str | Path | pd.DataFrame | None = None,
    window: int = WINDOW,
    layer: str | None = None,
    atac_layer: str | None = None,
    rng: RngLike = 0,
) -> MuData:
    """Pair RNA and ATAC of different cells as metacells inside shared labels, so that `tl.build_grn` can be run.

    Each label is cut into equally many metacells of both modalities (as in `pp.metacells`). `"labels"` pairs them at
    random: differences between labels are kept, covariation inside a label is lost, so give labels as fine as both sides
    support. `"ot"` pairs them one to one by optimal transport between gene activity (accessibility of the regions around
    a gene, weighted by distance) and expression, both centred inside the label. It assumes what the network is to find:
    that open regions go with expressed genes, so its links inside labels are no independent evidence. It needs genes whose
    activity tells their expression; on simulated cells it found no more links than `"labels"`, which is the default.

    Parameters
    ----------
    rna, atac
        Cells with raw counts; no cell need be in both.
    groupby
        Column of both `obs` with the shared labels. Cells of labels that one side lacks are left out and counted.
    method
        `"labels"` or `"ot"`.
    n_metacells
        Number of metacell pairs, shared out by the smaller side of each label and at least one each (so it is met about),
        at most the cells of the smaller side; by default one per ten cells of the smaller side, up to 1,500.
    annotation
        Gene positions for `"ot"`; by default `chrom`, `start`, `end`, `strand` of `rna.var`.
    window
        Largest distance of a region from the TSS in bp, for `"ot"`.
    layer, atac_layer
        Layers with raw counts; `None` is `.X`.
    rng
        Seed or numpy Generator of the random pairing. The order of cells plays no part.

    Returns
    -------
    MuData of metacells with `rna` and `atac`, summed counts (CSR float32) in `X`. Sets in both:

    `obs[groupby]` : the label; `obs["n_cells"]`, `obs["n_counts"]` : cells and counts summed; the other columns of obs:
    the mean of numbers, else the most frequent value
    `uns["metacells"]` : `params`, `metacell` (int per input cell, -1: label not shared)

    `var` and the motif hits of the ATAC (`varm["motifs"]`) are kept.

    Raises
    ------
    KeyError
        A column, layer or gene positions are missing.
    ValueError
        No label is shared, counts are not raw, or `n_metacells` is out of range.

    See Also
    --------
    grnformer_sc.pp.metacells : pools of paired cells.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> rna, atac = mdata["rna"][:100].copy(), mdata["atac"][100:].copy()
    >>> pairs = grs.pp.pair_unpaired(rna, atac, groupby="cell_type", n_metacells=20)
    >>> pairs["rna"].n_obs, bool((pairs["rna"].obs["cell_type"] == pairs["atac"].obs["cell_type"]).all())
    (20, True)
    """
    need_one_of(method, ("labels", "ot"), name="method")
    root = as_root(rng)
    _hint_paired(rna, atac)
    labels = [find_group(part, part, None, groupby).astype(str) for part in (rna, atac)]
    shared, dropped = _shared_labels(labels[0], labels[1], groupby)
    counts = (
        read_counts(rna, layer, what="RNA counts"),
        read_counts(atac, atac_layer, what="ATAC counts", option="atac_layer"),
    )
    with step(logger, "pair unpaired cells") as facts:
        cells = [_cells_of(part, label, shared) for part, label in zip((rna, atac), labels, strict=True)]
        wanted = _wanted(cells, labels, shared, n_metacells)
        parts = [x[rows] for x, rows in zip(counts, cells, strict=True)]
        spaces = (pca_scores(parts[0])[0], lsi_scores(parts[1]))
        codes = [pd.Categorical(v.to_numpy()[rows], shared).codes for v, rows in zip(labels, cells, strict=True)]
        assigned = [assign(space, code, wanted) for space, code in zip(spaces, codes, strict=True)]
        pools = [pool(part, where) for part, where in zip(parts, assigned, strict=True)]
        group = np.repeat(np.arange(len(shared)), wanted)
        weights = activity_weights(rna, atac, annotation, window) if method == "ot" else None
        partner = partners(pools[0], pools[1], group, shared, weights, root)
        facts.append(
            f"{cells[0].size} RNA and {cells[1].size} ATAC cells -> {group.size} pairs in {len(shared)} labels"
        )
        facts.append(f"{dropped['rna_cells']} RNA and {dropped['atac_cells']} ATAC cells of labels in one of them only")
    place = np.argsort(partner)  # the ATAC metacell partner[i] becomes row i
    assigned[1], pools[1] = place[assigned[1]], pools[1][partner]
    record = recipe(
        "pair_unpaired",
        {
            "groupby": groupby, "method": method, "n_metacells": int(wanted.sum()), "window": window,
            "rng_root": f"{root:032x}",
        },
        inputs={"rna": layer or "X", "atac": atac_layer or "X"}, dropped=dropped,
    )  # fmt: skip
    names = np.asarray(shared, dtype=object)[group]
    made = {
        key: _made(part, x, rows, where, names, groupby, record)
        for key, part, x, rows, where in zip(("rna", "atac"), (rna, atac), pools, cells, assigned, strict=True)
    }
    return as_mudata(made)


def _hint_paired(rna: AnnData, atac: AnnData) -> None:
    fewest = max(min(rna.n_obs, atac.n_obs), 1)
    if np.isin(rna.obs_names, atac.obs_names).sum() > LOOKS_PAIRED * fewest:
        logger.info("these cells look paired (equal barcodes): pass them to build_grn as (rna, atac) instead")
        return
    pattern = f"({BARCODE_STEM.pattern})"
    first, second = (
        pd.Index(v.str.extract(pattern, expand=False).fillna(""))
        for v in (rna.obs_names.to_series(), atac.obs_names.to_series())
    )
    if first.is_unique and second.is_unique and first.isin(second).sum() > LOOKS_PAIRED * fewest:
        logger.info("these cells look paired: use barcodes='stem' in build_grn")


def _shared_labels(rna: pd.Series, atac: pd.Series, groupby: str) -> tuple[list[str], dict[str, int]]:
    shared = sorted(set(rna) & set(atac))
    if not shared:
        raise fail(
            ValueError, f"RNA and ATAC must share labels in {groupby!r}.",
            f"RNA {listing(sorted(set(rna)))}, ATAC {listing(sorted(set(atac)))}.",
            "give both the same names of cell types, for example by transferring labels.",
        )  # fmt: skip
    lost = {"rna_cells": int((~rna.isin(shared)).sum()), "atac_cells": int((~atac.isin(shared)).sum())}
    only = sorted(set(rna) ^ set(atac))
    if only:
        logger.info("labels in one modality only: %s", listing(only))
    return shared, lost


def _cells_of(adata: AnnData, labels: pd.Series, shared: list[str]) -> np.ndarray:
    """Rows of the cells with shared labels, by name, so that the order of the input plays no part."""
    rows = np.flatnonzero(labels.isin(shared))
    return rows[np.argsort(adata.obs_names.to_numpy().astype(str)[rows], kind="stable")]


def _wanted(cells: list[np.ndarray], labels: list[pd.Series], shared: list[str], n_metacells: int | None) -> np.ndarray:
    """Metacells per label: by the size of its smaller side, at least one each."""
    sizes = [v.value_counts().reindex(shared).to_numpy() for v in labels]
    size = np.minimum(sizes[0], sizes[1])
    total = int(np.clip(size.sum() // SMALLEST, len(shared), MOST)) if n_metacells is None else n_metacells
    total = max(total, len(shared)) if n_metacells is None else total
    if not len(shared) <= total <= size.sum():
        raise fail(
            ValueError, "n_metacells lies between the number of shared labels and of cells of the smaller side.",
            f"{total} for {len(shared)} labels and {size.sum()} cells ({[c.size for c in cells]} in RNA and ATAC).",
            "choose a number between them.",
        )  # fmt: skip
    share = np.diff(np.rint(np.cumsum(np.r_[0, size]) / size.sum() * total)).astype(np.int64)
    return np.clip(share, 1, size)


def _made(
    adata: AnnData,
    x: sp.csr_matrix,
    rows: np.ndarray,
    where: np.ndarray,
    label: np.ndarray,
    groupby: str,
    record: dict[str, Any],
) -> AnnData:
    from anndata import AnnData

    obs = table_of(adata.obs).iloc[rows]
    columns: dict[str, Any] = {groupby: pd.Categorical(label)}
    for name in obs.columns.difference([groupby], sort=False):
        columns[str(name)] = _carried(obs[name], where, label.size)
    columns["n_cells"] = np.bincount(where, minlength=label.size)
    columns["n_counts"] = np.asarray(x.sum(axis=1), dtype=np.float64).ravel()
    index = pd.Index([f"metacell{i}" for i in range(label.size)])
    out = AnnData(X=x, obs=pd.DataFrame(columns).set_index(index), var=table_of(adata.var).copy())
    if MOTIFS in adata.varm:
        out.varm[MOTIFS] = adata.varm[MOTIFS].copy()
        out.uns[MOTIFS] = dict(adata.uns.get(MOTIFS, {}))
    metacell = np.full(adata.n_obs, -1, dtype=np.int64)
    metacell[rows] = where
    out.uns[METACELLS] = {"params": record, "metacell": metacell}
    return out


def _carried(values: pd.Series, where: np.ndarray, n: int) -> Any:
    """One value per metacell: the mean of numbers, the most frequent of anything else (ties: first in the alphabet)."""
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        return values.astype(np.float64).groupby(where).mean().reindex(range(n)).to_numpy()
    text = values.astype(object).where(values.notna(), "").astype(str).to_numpy()
    table = pd.DataFrame({"m": where, "v": text}).value_counts().reset_index(name="n")
    table = table.sort_values(["m", "n", "v"], ascending=[True, False, True]).drop_duplicates("m")
    return pd.Categorical(table.set_index("m")["v"].reindex(range(n)).to_numpy())
