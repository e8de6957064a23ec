"""`tl.compare_grns`: networks judged side by side."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._core.checks import fail, listing, need_between
from .._core.inputs import Barcodes, copy_of, find_group, open_rows, resolve
from .._core.keys import COMPARISON
from .._core.logging import progress, step
from .._core.params import recipe
from .._core.results import Results
from .._core.rng import RngLike, as_root, generator
from ..grn.embedding import log_normalise
from ..metrics._network import Judged, best_links, network_figures
from ..metrics._nulls import NULLS
from ..metrics._overlap import link_overlap
from ._networks import edges_of_networks

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

FEWEST_CELLS = 30


def compare_grns(
    data: Any,
    networks: Sequence[str] | Mapping[str, Any] | None = None,
    *,
    truth: pd.DataFrame | None = None,
    knockout: str | None = None,
    control: str = "control",
    n_cells: int = 2000,
    n_nulls: int = 5,
    rna: str = "rna",
    atac: str = "atac",
    layer: str | None = None,
    atac_layer: str | None = None,
    barcodes: Barcodes = "exact",
    key_added: str = COMPARISON,
    rng: RngLike = 0,
    copy: bool = False,
) -> Any:
    """Judge networks side by side, each beside random networks that share what is trivial about it.

    Without known links the figures tell how well a network's sources predict its targets in cells that were left out of the
    prediction (GRETA's three predictive tasks: genes from TFs, genes from regions, regions from TFs). That is association,
    and the network saw these cells: pass other cells as `data` and the networks as a dictionary to avoid this. Known links
    and knock-outs are better judges. What a figure is worth shows its distance to the nulls: random networks with the same
    degrees, and with targets of like expression (`grs.metrics.against_nulls`).

    Parameters
    ----------
    data
        MuData, pair (rna, atac), or AnnData with RNA only: cells to judge on.
    networks
        Base names of networks in `data`, or a dictionary from a name to a base name, an edge table, or a file or table that
        `grs.priors.read_network` reads. By default all networks in `data`.
    truth
        Known links: table with `tf`, `gene`, and `sign` (+1, -1) where it is known. All networks are judged on the TFs of
        this table and all measured genes.
    knockout
        Column of obs with the gene that every cell lacks, or `control`.
    control
        Label of the control cells.
    n_cells
        Cells that are used at most, drawn at random.
    n_nulls
        Random networks of each kind (0: none). Each costs as much as the network itself.
    rna, atac
        Names of the modalities.
    layer, atac_layer
        Layers with raw counts; `None` is `.X`.
    barcodes
        `"exact"` or `"stem"`, as in `grs.tl.build_grn`.
    key_added
        Key of the result in `uns`.
    rng
        Seed or generator of the drawn cells, the split and the nulls.
    copy
        Return a copy of `data` instead of writing to it.

    Returns
    -------
    `None`, or the copy. Sets in the RNA AnnData:

    `uns["grn_comparison"]` : `figures` (one row per network, task and figure: `value`; `degree_mean`, `degree_low`,
    `degree_high`, `expression_mean`, `expression_low`, `expression_high` of the nulls, NaN where there are none), `overlap`
    (one row per pair of networks: `network`, `other`, `jaccard` of as many best TF-gene pairs as the smallest network
    has), `params`

    Raises
    ------
    KeyError
        A network, layer or column is missing.
    ValueError
        There are fewer than two networks or too few cells, no true link is measured, or no cell is a control.

    See Also
    --------
    grnformer_sc.get.comparison : read the tables.
    grnformer_sc.pl.comparison : plot them.
    grnformer_sc.tl.consensus_grn : join the networks.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> grs.tl.build_grn(mdata, method="ridge", groupby="cell_type")
    >>> grs.tl.compare_grns(mdata, truth=mdata["rna"].uns["truth"], n_nulls=2)
    >>> figures = grs.get.comparison(mdata)
    >>> aupr = figures[figures["figure"] == "aupr"].set_index("network")
    >>> bool((aupr["value"] > aupr["degree_high"]).all())
    True
    """
    need_between(n_cells, FEWEST_CELLS, float("inf"), name="n_cells")
    need_between(n_nulls, 0, 10_000, name="n_nulls")
    if copy:
        data = copy_of(data)
    rna_data, atac_data = resolve(data, rna, atac, barcodes=barcodes)
    tables = edges_of_networks(rna_data, networks)
    root = as_root(rng)
    label = None if knockout is None else find_group(data, rna_data, atac_data, knockout).astype(str).to_numpy()
    known, n_lost = _known_links(truth, rna_data.var_names)
    judged = _cells(
        rna_data,
        atac_data,
        n_cells,
        root,
        layer=layer,
        atac_layer=atac_layer,
        truth=known,
        label=label,
        control=control,
    )
    with step(logger, "compare_grns") as facts:
        parts = []
        for name in progress(list(tables), title="networks", total=len(tables)):
            found = network_figures(tables[name], judged, n_nulls=n_nulls, root=root)
            parts.append(found.assign(network=name))
        figures = pd.concat(parts, ignore_index=True)
        facts.append(f"{len(tables)} networks, {judged.expression.shape[0]} cells, {figures['task'].nunique()} tasks")
    record = recipe(
        "compare_grns",
        {
            "networks": list(tables), "knockout": knockout, "control": control, "n_cells": judged.expression.shape[0],
            "n_nulls": n_nulls, "n_true": 0 if known is None else len(known), "rng_root": f"{root:032x}",
        },
        inputs={"rna": layer or "X", "atac": (atac_layer or "X") if atac_data is not None else ""},
        dropped={"true_links_not_measured": n_lost},
    )  # fmt: skip
    out = Results()
    out.uns[key_added] = {"figures": _ordered(figures), "overlap": _overlap(tables), "params": record}
    out.write(rna_data)
    return data if copy else None


def _cells(
    rna: AnnData, atac: AnnData | None, n_cells: int, root: int, *, layer: str | None, atac_layer: str | None,
    truth: pd.DataFrame | None, label: np.ndarray | None, control: str,
) -> Judged:  # fmt: skip
    """Normalised values of some cells, and what is known about them."""
    if rna.n_obs < FEWEST_CELLS:
        raise fail(ValueError, f"at least {FEWEST_CELLS} cells are needed.", f"{rna.n_obs}.", "pass more cells.")
    rows = np.arange(rna.n_obs)
    if rna.n_obs > n_cells:
        rows = np.sort(generator(root, "cells").permutation(rna.n_obs)[:n_cells])
    access = None
    if atac is not None:
        access = log_normalise(open_rows(atac, atac_layer, what="ATAC counts", option="atac_layer").take(rows))
    return Judged(
        expression=log_normalise(open_rows(rna, layer, what="RNA counts").take(rows)), genes=rna.var_names,
        accessibility=access, regions=None if atac is None else atac.var_names, truth=truth,
        knockout=None if label is None else label[rows], control=control,
    )  # fmt: skip


def _known_links(truth: pd.DataFrame | None, genes: pd.Index) -> tuple[pd.DataFrame | None, int]:
    """Distinct true links between different measured genes, and the number of the others."""
    if truth is None:
        return None, 0
    missing = [name for name in ("tf", "gene") if name not in truth]
    if missing:
        raise fail(KeyError, "truth needs the columns tf and gene.", f"{listing(truth.columns)}.", f"add {missing}.")
    links = truth.astype({"tf": str, "gene": str}).drop_duplicates(["tf", "gene"])
    inside = links["tf"].isin(genes) & links["gene"].isin(genes) & (links["tf"] != links["gene"])
    if not inside.any():
        raise fail(
            ValueError, "at least one true link must join two genes of the data.",
            f"TFs of the truth {listing(links['tf'].unique(), 3)}, genes {listing(genes, 3)}.", "use the same names.",
        )  # fmt: skip
    return links[inside].reset_index(drop=True), int((~inside).sum())


def _ordered(figures: pd.DataFrame) -> pd.DataFrame:
    """Names first, all columns of the nulls, text index."""
    nulls = [f"{kind}_{part}" for kind in NULLS for part in ("mean", "low", "high")]
    table = figures.reindex(columns=["network", "task", "figure", "value", *nulls])
    table.index = table.index.astype(str)
    return table.astype(dict.fromkeys(["value", *nulls], "float64"))


def _overlap(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Jaccard index of equally many best TF-gene pairs, one row per pair of networks."""
    links = {name: best_links(table, "tf", "gene") for name, table in tables.items()}
    shared = link_overlap(links, top=min(len(table) for table in links.values()))
    one, other = np.triu_indices(len(links), 1)
    names = np.asarray(list(links), dtype=object)
    table = pd.DataFrame({"network": names[one], "other": names[other], "jaccard": shared.to_numpy()[one, other]})
    table.index = table.index.astype(str)
    return table
