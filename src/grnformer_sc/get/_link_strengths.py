"""Strengths of a network's links in single cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._core.checks import fail, listing, need_between
from .._core.inputs import open_rows, resolve
from .._core.keys import GrnKeys
from .._core.rows import Rows
from .._core.settings import settings
from .._core.tables import places_in
from ..grn.network import Network
from ..grn.systems.linger.cells import strengths_of_cells, strongest_of_rows
from ._read import network_of, stored

if TYPE_CHECKING:
    from anndata import AnnData

STRENGTHS = "strengths"  # in uns, beside the slots of every network
BLOCK = 16_000_000  # strengths held at a time


def link_strengths(
    data: Any,
    cells: Sequence[str] | None = None,
    *,
    top: int = 1000,
    key: str = "grn_linger",
    rna: str = "rna",
    atac: str = "atac",
    layer: str | None = None,
    atac_layer: str | None = None,
) -> AnnData:
    """Read the network of single cells: how strong each link of a network of LINGER is in each cell.

    The equation is that of a cell type, with the expression and accessibility of the cell instead (Yuan & Duren 2024).
    Only links that hold in the cell's type count, and of these the strongest `top`.

    Parameters
    ----------
    data
        MuData or pair with the network in the RNA; an AnnData where the network has no regions.
    cells
        Barcodes; `None` takes all cells.
    top
        Links of a cell that are kept at most.
    key
        Base name of the network.
    rna, atac
        Names of the modalities.
    layer, atac_layer
        Layers with raw counts; `None` is `.X`.

    Returns
    -------
    AnnData cells x links: `.X` strengths (CSR float32), `var` the edge table, `obs` of the cells.

    Raises
    ------
    KeyError
        There is no network of LINGER, or a barcode, gene or region is unknown.
    ValueError
        The network has regions, and there is no ATAC.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> rna = grs.datasets.simulate_multiome(120, n_genes=20, n_tfs=4, n_types=2, rng=0)["rna"]
    >>> grs.tl.build_grn(rna, method="linger", tfs="is_tf", options={"epochs": 20})
    >>> grs.get.link_strengths(rna, top=10).shape
    (120, 76)
    """
    from anndata import AnnData

    need_between(top, 1, float("inf"), name="top")
    found = stored(data, key, made_by="grs.tl.build_grn(mdata, method='linger')", rna=rna)
    if STRENGTHS not in found:
        raise fail(
            KeyError, f"uns[{key!r}] must hold a network of LINGER.", f"{listing(found)}.",
            "make one with grs.tl.build_grn(mdata, method='linger'), and name it with key=.",
        )  # fmt: skip
    network = network_of(data, key, rna)
    genes, access = resolve(data, rna, atac)
    links = _links(network, found[STRENGTHS], genes, access)
    rows = np.arange(genes.n_obs) if cells is None else _rows(genes.obs_names, cells)
    counts = open_rows(genes, layer, what="RNA counts")
    opened = None
    if access is not None and (links["region"] >= 0).any():
        opened = open_rows(access, atac_layer, what="ATAC counts", option="atac_layer")
    group = pd.Index(network.group_names).get_indexer(genes.obs[GrnKeys(key).group].astype(str))
    values = _blocks(links, network, rows, counts, opened, group, top)
    var = network.edges.copy()
    var.index = _names(network.edges)
    return AnnData(X=values, obs=genes.obs.iloc[rows].copy(), var=var)


def _links(network: Network, strengths: pd.DataFrame, rna: AnnData, atac: AnnData | None) -> pd.DataFrame:
    """Columns of the counts for every link, and what is the same in all cells."""
    edges = network.edges
    region = edges["region"].astype(str)
    has_regions = bool((region != "").any())
    if has_regions and atac is None:
        raise fail(
            ValueError, "the links of this network have regions, so the cells need accessibility.", "RNA only.",
            "pass the MuData, or the pair (rna, atac).",
        )  # fmt: skip
    place = {name: places_in(rna.var_names, edges[name]) for name in ("tf", "gene")}
    at = np.full(len(edges), -1)
    if has_regions and atac is not None:
        at = places_in(atac.var_names, edges["region"])
    missing = (place["tf"] < 0) | (place["gene"] < 0) | (has_regions & (at < 0))
    if missing.any():
        raise fail(
            KeyError, "the genes and regions of all links must be variables of the data.",
            f"{int(missing.sum())} of {len(edges)} links that are not, such as {listing(_names(edges)[missing], 2)}.",
            "pass the data that the network was made from.",
        )  # fmt: skip
    return pd.DataFrame({**place, "region": at, "shared": strengths["shared"].to_numpy(dtype=np.float64)})


def _rows(barcodes: pd.Index, cells: Sequence[str]) -> np.ndarray:
    names = [cells] if isinstance(cells, str) else list(cells)
    rows = barcodes.get_indexer(names)
    if (rows < 0).any():
        unknown = [name for name, row in zip(names, rows, strict=True) if row < 0]
        raise fail(
            KeyError, "cells are names of obs_names.", f"unknown {listing(unknown)}; there are {listing(barcodes, 3)}.",
            "use names of obs_names.",
        )  # fmt: skip
    return rows


def _blocks(
    links: pd.DataFrame,
    network: Network,
    rows: np.ndarray,
    counts: Rows,
    access: Rows | None,
    group: np.ndarray,
    top: int,
) -> sp.csr_matrix:
    holds, parts = network.edge_groups.T.tocsr(), []
    step = int(np.clip(BLOCK // max(len(links), 1), 1, settings.chunk_cells))
    for first in range(0, rows.size, step):
        own = rows[first : first + step]
        regions = None if access is None else access.take(own)
        value = strengths_of_cells(links, counts.take(own), regions)
        known = group[own] >= 0
        value[known] *= holds[group[own[known]]].toarray()
        value[~known] = 0
        parts.append(strongest_of_rows(value, top))
    return sp.vstack(parts, "csr") if parts else sp.csr_matrix((0, len(links)), dtype=np.float32)


def _names(edges: pd.DataFrame) -> pd.Index:
    parts = [edges[name].astype(str) for name in ("tf", "region", "gene")]
    return pd.Index(["|".join(part for part in row if part) for row in zip(*parts, strict=True)])
