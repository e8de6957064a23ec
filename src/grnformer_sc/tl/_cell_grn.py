"""`tl.cell_grn`: the networks of cells from a network that exists already."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._core.checks import fail, listing, need_key, need_one_of
from .._core.inputs import copy_of, resolve
from .._core.keys import GrnKeys
from .._core.logging import step
from .._core.params import recipe
from .._core.settings import resolve_jobs
from .._core.tables import places_in, spell_regions
from ..grn.aucell import Norm
from ..grn.layout import weight_matrix
from ..grn.network import Network
from ..grn.score import apply_network, eregulon_table, fit_cells
from ..priors import read_network
from ._inputs import network_groups, ordered_cells
from ._write import cell_results

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

MOST_MISSING = 0.5  # share of the network's genes (of an imported one, its regions) that new data may lack


def cell_grn(
    data: Any,
    *,
    net: Any = None,
    groupby: str | None = None,
    thresholds: Literal["reference", "fit"] = "reference",
    rna: str = "rna",
    atac: str = "atac",
    layer: str | None = None,
    atac_layer: str | None = None,
    key_added: str = "grn",
    n_jobs: int | None = None,
    copy: bool = False,
) -> Any:
    """Give every cell its own network: eRegulons of its cell type, switched on or off by their AUC.

    With the reference thresholds the network is frozen: a cell's gene bits depend on its own counts alone, so it gets the
    same bits in any subset, and new cells are comparable with those the network was made from.

    Parameters
    ----------
    data
        Cells to score: AnnData, MuData or pair (rna, atac).
    net
        Object that holds the network (AnnData, MuData, or the dictionary of `uns["grn"]`); by default `data` itself. Or
        the links of a network of any origin: an edge table, or a table or file that `grs.priors.read_network` reads; they
        hold neither thresholds nor cell types, so they ask for `thresholds="fit"`.
    groupby
        Column of obs with cell types by the names the network knows; by default `obs["grn_group"]` where it exists, or
        the one group of a network without groups.
    thresholds
        `"reference"` uses the network's thresholds and types, `"fit"` fits both anew on these cells.
    rna, atac
        Names of the modalities.
    layer, atac_layer
        Layers with raw counts; `None` is `.X`.
    key_added
        Base name of the slots, in `net` as in `data`.
    n_jobs
        Threads.
    copy
        Return a copy of `data` instead of writing to it.

    Returns
    -------
    `None`, or the copy. Sets the cell-level slots that `build_grn` sets, and `uns["grn"]` with the network used:

    `obs["grn_group"]`, `obsm["grn_auc"]` (DataFrame float32), `obsm["grn_active"]` (CSR bool), the same two for regions
    where there is ATAC, `obsp["grn_connectivities"]`, `obsp["grn_distances"]`, `uns["grn_cells"]`

    Raises
    ------
    KeyError
        There is no network, or no group labels.
    ValueError
        Labels are unknown to the network, more than half of its genes (or of the regions of an imported one) are missing,
        or links are given without `thresholds="fit"`.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> new = mdata["rna"][:50].copy()
    >>> grs.tl.cell_grn(new, net=mdata, groupby="cell_type")
    >>> bool((new.obsm["grn_active"] != mdata["rna"].obsm["grn_active"][:50]).nnz == 0)
    True
    """
    need_one_of(thresholds, ("reference", "fit"), name="thresholds")
    keys, jobs = GrnKeys(key_added), resolve_jobs(n_jobs)
    if copy:
        data = copy_of(data)
    rna_data, atac_data = resolve(data, rna, atac)
    if isinstance(net, (pd.DataFrame, str, Path)):
        network, recorded = _imported(net, atac_data, fit=thresholds == "fit")
    else:
        stored = _stored(rna_data if net is None else net, keys, rna)
        network, recorded = Network.from_uns(stored), stored["params"]
    if thresholds == "reference" and "threshold" not in network.eregulons:
        raise fail(
            ValueError, "the network of a system holds no thresholds.", f"columns {listing(network.eregulons)}.",
            "pass thresholds='fit' to fit them on these cells.",
        )  # fmt: skip
    groups = network_groups(data, rna_data, atac_data, groupby, network, keys, fit=thresholds == "fit")
    names = list(groups.cat.categories) if thresholds == "fit" else list(network.group_names)
    codes = pd.Index(names).get_indexer(groups.astype(str)).astype(np.int64)
    n_missing = _need_genes(rna_data, network)
    cells, _, _ = ordered_cells(rna_data, atac_data, codes, layer=layer, atac_layer=atac_layer)
    norm: Norm = recorded.get("norm", "decoupler")
    with step(logger, "cell_grn") as facts:
        if thresholds == "fit":
            scores = fit_cells(cells, network.edges, names, norm=norm, n_jobs=jobs)
        else:
            scores = apply_network(cells, network, norm=norm, n_jobs=jobs)
        facts.append(f"{rna_data.n_obs} cells, {scores.gene.active.sum(axis=1).mean():.1f} active eRegulons per cell")
        facts.append(f"{n_missing} genes of the network are missing")
        n_unseen = int((~network.eregulons["tf"].isin(rna_data.var_names)).sum())
        if n_unseen:
            facts.append(f"the TFs of {n_unseen} eRegulons are not measured")
    out = cell_results(scores, keys, rna_data.obs_names, groups)
    if net is not None:
        out.stale = keys.of_cells
        out.varp[keys.varp] = weight_matrix(scores.network.edges, rna_data.var_names)
    params = {"thresholds": thresholds, "groupby": groupby}
    record = recipe("cell_grn", params, inputs={"rna": layer or "X"}, dropped={"genes_missing": n_missing})
    kept = rna_data.uns[keys.uns] if net is None else {}  # what a system stored beside its network
    out.uns[keys.uns] = {**kept, **scores.network.to_uns(), "params": recorded, "cell_params": record}
    out.write(rna_data)
    return data if copy else None


def _stored(net: Any, keys: GrnKeys, rna: str) -> Mapping[str, Any]:
    if isinstance(net, Mapping) and "edges" in net:
        return net
    holder = net.mod[rna] if hasattr(net, "mod") else net
    need_key(
        holder.uns,
        keys.uns,
        where="uns",
        fix="run grs.tl.build_grn(mdata, groupby=...) first, or pass net= with a network.",
    )
    stored: Mapping[str, Any] = holder.uns[keys.uns]
    return stored


def _imported(net: Any, atac: AnnData | None, *, fit: bool) -> tuple[Network, dict[str, Any]]:
    """Network of bare links, its regions spelled as in the data, and how it came here."""
    if not fit:
        raise fail(
            ValueError, "links alone hold no thresholds and no cell types.", "net= is a table or a file.",
            "pass thresholds='fit' to fit them on these cells.",
        )  # fmt: skip
    edges = read_network(net)
    n_missing = 0
    if atac is not None:
        edges, n_missing = _place_regions(edges, atac.var_names)
    record = recipe(
        "read_network", {"method": "imported", "source": "table" if isinstance(net, pd.DataFrame) else str(net)},
        inputs={}, dropped={"regions_missing": n_missing},
    )  # fmt: skip
    bare = sp.csr_matrix((len(edges), 0), dtype=bool)
    return Network(edges, eregulon_table(edges), pd.DataFrame(), bare, ()), record


def _place_regions(edges: pd.DataFrame, names: pd.Index) -> tuple[pd.DataFrame, int]:
    """Regions by the names that the data has for the same coordinates, and the number of those it lacks."""
    spelled = pd.Index(spell_regions(pd.Series(names.astype(str))))
    place = places_in(spelled, spell_regions(edges["region"]))
    has_region = (edges["region"].astype(str) != "").to_numpy()
    lost = has_region & (place < 0)
    scored = has_region & (edges["region_sign"] != 0).to_numpy()
    if scored.any() and (lost & scored).sum() > MOST_MISSING * scored.sum():
        raise fail(
            ValueError, f"at least {1 - MOST_MISSING:.0%} of the links must name regions of the data (same coordinates).",
            f"{(scored & ~lost).sum()} of {scored.sum()}; data {listing(names, 3)}, network {listing(edges['region'], 3)}.",
            "count the fragments in the regions of the network, or pass the RNA alone.",
        )  # fmt: skip
    if lost.any():
        logger.info("network: %d of %d links name regions that the data lacks", lost.sum(), has_region.sum())
    own = np.where(place >= 0, names.to_numpy(dtype=object)[place], edges["region"].astype(object))
    return edges.assign(region=pd.Categorical(own)), int(edges["region"][lost].nunique())


def _need_genes(rna: AnnData, network: Network) -> int:
    """Number of the network's genes that the data lacks; more than half is an error."""
    needed = pd.Index(network.edges["gene"].astype(str).unique())
    n_missing = int((~needed.isin(rna.var_names)).sum())
    if n_missing > MOST_MISSING * needed.size:
        raise fail(
            ValueError, f"at least {1 - MOST_MISSING:.0%} of the network's genes must be in the data.",
            f"{needed.size - n_missing} of {needed.size}; data {listing(rna.var_names, 3)}, network {listing(needed, 3)}.",
            "use the same species and gene names.",
        )  # fmt: skip
    return n_missing
