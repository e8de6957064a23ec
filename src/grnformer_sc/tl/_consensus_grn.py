"""`tl.consensus_grn`: one network out of several."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from .._core.checks import fail, need_between
from .._core.inputs import Barcodes, copy_of, find_group, resolve
from .._core.keys import CONSENSUS, GrnKeys
from .._core.logging import step
from .._core.params import recipe
from .._core.settings import resolve_jobs
from ..grn.aucell import Norm
from ..grn.consensus import consensus_edges
from ..grn.score import fit_cells
from ._inputs import ordered_cells
from ._networks import edges_of_networks
from ._write import network_results

logger = logging.getLogger(__name__)


def consensus_grn(
    data: Any,
    networks: Sequence[str] | Mapping[str, Any] | None = None,
    groupby: str | None = None,
    *,
    min_networks: int = 1,
    n_links: int | None = None,
    norm: Norm = "decoupler",
    rna: str = "rna",
    atac: str = "atac",
    layer: str | None = None,
    atac_layer: str | None = None,
    barcodes: Barcodes = "exact",
    key_added: str = CONSENSUS,
    n_jobs: int | None = None,
    copy: bool = False,
) -> Any:
    """Join networks of several methods or runs into one, by the mean place of every link.

    Methods err in different ways, so the mean of their rankings is about as good as the best of them, without knowing which
    that is (Marbach et al. 2012). Regions come from the networks that have any; the sign of a TF-gene pair is that for
    which more places speak: the earlier a network ranks a pair, the more its sign counts.

    Parameters
    ----------
    data
        MuData, pair (rna, atac), or AnnData with RNA only: the cells to score.
    networks
        Base names of networks in `data` (such as `["grn", "grn_ridge"]`), or a dictionary from a name to a base name, an
        edge table, or a file or table that `grs.priors.read_network` reads. By default all networks in `data` but the
        one below `key_added`.
    groupby
        Column of obs with the cell types; by default `obs["grn_group"]` of the first network in `data`.
    min_networks
        Number of networks that must hold a TF-gene pair.
    n_links
        TF-gene pairs to keep at most; by default as many as the median network has.
    norm
        What AUCell divides by, `"decoupler"` or `"pyscenic"`.
    rna, atac
        Names of the modalities.
    layer, atac_layer
        Layers with raw counts; `None` is `.X`.
    barcodes
        `"exact"` or `"stem"`, as in `grs.tl.build_grn`.
    key_added
        Base name of the slots.
    n_jobs
        Threads.
    copy
        Return a copy of `data` instead of writing to it.

    Returns
    -------
    `None`, or the copy. Sets the slots of `grs.tl.build_grn` below the base name. In `edges` the `score` follows the mean
    place, `support` is the number of networks with the TF-gene pair, other numbers are means over the networks that have
    them.

    Raises
    ------
    KeyError
        A network is missing.
    ValueError
        There are fewer than two networks, or no eRegulon is left.

    See Also
    --------
    grnformer_sc.tl.compare_grns : judge networks side by side.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> grs.tl.build_grn(mdata, method="ridge", groupby="cell_type")
    >>> grs.tl.consensus_grn(mdata)
    >>> int(grs.get.grn(mdata, key="grn_consensus")["support"].max())
    2
    """
    keys, jobs = GrnKeys(key_added), resolve_jobs(n_jobs)
    if copy:
        data = copy_of(data)
    rna_data, atac_data = resolve(data, rna, atac, barcodes=barcodes)
    tables = edges_of_networks(rna_data, networks, leave_out=key_added)
    need_between(min_networks, 1, len(tables), name="min_networks")
    if n_links is not None:
        need_between(n_links, 1, float("inf"), name="n_links")
    with step(logger, "consensus_grn: links") as facts:
        edges = consensus_edges(list(tables.values()), min_networks=min_networks, n_links=n_links)
        facts.append(f"{len(edges)} edges, {edges['eregulon'].nunique()} eRegulons from {len(tables)} networks")
    if not len(edges):
        sizes = ", ".join(f"{name}: {len(table)}" for name, table in tables.items())
        raise fail(
            ValueError, "a network needs at least one eRegulon (10 target genes).",
            f"none; edges of the networks {sizes}; min_networks={min_networks}.", "lower min_networks or raise n_links.",
        )  # fmt: skip
    if groupby is None:
        labels = [GrnKeys(name).group for name in tables if GrnKeys(name).group in rna_data.obs]
        groupby = labels[0] if labels else None
    groups = find_group(data, rna_data, atac_data, groupby)
    codes = groups.cat.codes.to_numpy().astype("int64")
    with_regions = atac_data is not None and (edges["region_sign"] != 0).any()
    cells, _, _ = ordered_cells(
        rna_data, atac_data if with_regions else None, codes, layer=layer, atac_layer=atac_layer
    )
    with step(logger, "consensus_grn: cells") as facts:
        scores = fit_cells(cells, edges, list(groups.cat.categories), norm=norm, n_jobs=jobs)
        facts.append(f"{scores.gene.active.sum(axis=1).mean():.1f} active eRegulons per cell")
    record = recipe(
        "consensus_grn",
        {
            "method": "consensus", "networks": list(tables), "groupby": groupby, "min_networks": min_networks,
            "n_links": n_links, "norm": norm,
        },
        inputs={"rna": layer or "X", "atac": (atac_layer or "X") if with_regions else ""},
        dropped={},
    )  # fmt: skip
    network_results(scores, keys, rna_data, groups, record).write(rna_data)
    return data if copy else None
