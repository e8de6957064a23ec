"""`pp.map_reference`: networks of RNA-only cells from the nearest cells of a reference that has them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from .._core.checks import fail, listing, need_one_of
from .._core.inputs import copy_of, find_group, resolve
from .._core.keys import GrnKeys
from .._core.logging import step
from .._core.params import recipe
from .._core.results import Results
from ..grn.mapping import ORIGINS, UNKNOWN, Mapped, MapRules
from ..grn.network import Network
from ._reference import Embedder, Reference, open_genes, shared_genes

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)


def map_reference(
    data: Any,
    reference: Any,
    *,
    model: Embedder | None = None,
    k: int = 15,
    cut: float | None = 0.99,
    min_agreement: float = 0.5,
    groupby: str | None = None,
    kind: Literal["gene", "region"] = "gene",
    layer: str | None = None,
    reference_layer: str | None = None,
    rna: str = "rna",
    key_added: str = "grn",
    copy: bool = False,
) -> Any:
    """Give RNA-only cells the networks of their nearest reference cells.

    eRegulons are on that are on in most of the `k` nearest cells and that the cell's type keeps. A cell that its neighbours
    explain worse than reference cells are explained by theirs does not get their bits: it gets the network of its type with
    all eRegulons on, or, where the type is not clear either, no network. How well they explain it is the mean of -log p over
    its molecules, p being their mean profile; distances in an embedding cannot tell what is unlike all of the reference.

    `k=1, cut=None` is the rule of Qiu et al. 2025, who have not validated it. What mapping is worth on held-out and on
    shifted cells stands on the page of benchmarks. Batch effects are not corrected: read the confidence that is written
    beside the bits. `tl.cell_grn` scores cells by their own expression instead, and can go on from the groups found here.

    Parameters
    ----------
    data
        Cells: AnnData or MuData with raw counts.
    reference
        AnnData or MuData with the slots of `grs.tl.build_grn` and raw counts of the same species and gene names; it is read
        into memory, `data` in blocks.
    model
        Trained `grs.model.GRNFormer` in whose cell embedding neighbours are found. By default they are found on 30
        principal components of the reference, computed from the genes that both hold.
    k
        Neighbours that vote.
    cut
        Quantile of the reference: a cell is far when its neighbours explain it worse than this share of the reference
        cells is explained by its nearest others. `None`: no cell is far.
    min_agreement
        Share of the neighbours that must be of one type for a far cell to get the network of that type.
    groupby
        Column of obs with types that are known, by the names of the network; other names are taken for unknown. By
        default the type is the most frequent one of the neighbours.
    kind
        Bits of the reference that are handed on: `"gene"` (by expression) or `"region"` (by accessibility).
    layer, reference_layer
        Layers with raw counts; `None` is `.X`.
    rna
        Name of the RNA modality.
    key_added
        Base name of the slots, in the reference as in `data`.
    copy
        Return a copy of `data` instead of writing to it.

    Returns
    -------
    `None`, or the copy. Sets in the RNA:

    `uns["grn"]` : the network of the reference, with `map_params`
    `obs["grn_group"]` : categorical, missing where the type is not clear; `obsm["grn_active"]` : CSR bool (cells x
    eRegulons), all off there
    `obs["grn_mapped"]` : where the bits come from: `"neighbour"`, `"type"` or `"none"`
    `obs["grn_map_agreement"]` : share of the neighbours that are of the cell's type
    `obs["grn_map_distance"]` : mean of -log p of the cell's molecules over the cut; above 1 the cell is far
    `obs["grn_map_unanimity"]` : share of the type's eRegulons on which at least 90 % of the neighbours agree

    Scores and graphs that an earlier network left under the same base name are removed.

    Raises
    ------
    KeyError
        The reference has no network, no groups or no bits, or a column or layer is missing.
    TypeError
        `model` has no embedding of cells.
    ValueError
        Less than half of the reference's genes are in the data, counts are not raw, cells are empty, no label is known
        to the network, or an option is out of range.

    See Also
    --------
    grnformer_sc.tl.cell_grn : bits by the cells' own expression.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(240, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> new = mdata["rna"][160:].copy()
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> grs.pp.map_reference(new, mdata)
    >>> float((new.obs["grn_group"].astype(str) == new.obs["cell_type"].astype(str)).mean()) > 0.9
    True
    """
    need_one_of(kind, ("gene", "region"), name="kind")
    rules, keys = MapRules(k=k, cut=cut, min_agreement=min_agreement), GrnKeys(key_added)
    data = copy_of(data) if copy else data
    cells, known_cells = resolve(data, rna)[0], resolve(reference, rna)[0]
    if cells is known_cells:
        raise fail(
            ValueError, "the reference keeps its own bits.", "the same object as data and as reference.",
            "pass a copy as data.",
        )  # fmt: skip
    old = Reference.read(known_cells, keys, kind)
    known = _known_groups(data, cells, groupby, old.network)
    if model is not None and not hasattr(model, "get_latent_representation"):
        raise fail(
            TypeError, "model must be a trained GRNFormer.", f"{type(model).__name__}.",
            "load it first: grs.model.GRNFormer.load(folder).",
        )  # fmt: skip
    shared = shared_genes(cells.var_names, known_cells.var_names, model)
    new_rows = open_genes(cells, layer, shared, "the data")
    old_rows = open_genes(known_cells, reference_layer, shared, "the reference")
    with step(logger, "map_reference") as facts:
        atlas, space = old.place(old_rows, model, shared, rules)
        blocks = ((slice(first, first + part.shape[0]), part) for first, part in new_rows.blocks())
        mapped = Mapped.stack([atlas.map(part, space(part), known[where]) for where, part in blocks])
        count = np.bincount(mapped.origin, minlength=len(ORIGINS)).tolist()
        facts.append(f"{cells.n_obs} cells by {shared.size} genes: {count[0]} by neighbours, {count[1]} by type")
        facts.append(f"{count[2]} without a network; {old.rows.size} reference cells")
    dropped = {
        "reference_genes_missing": known_cells.n_vars - shared.size, "genes_not_in_reference": cells.n_vars - shared.size,
        "reference_cells_without_group": known_cells.n_obs - old.rows.size, "cells_without_network": count[2],
    }  # fmt: skip
    params = {
        "k": k, "cut": cut, "min_agreement": min_agreement, "groupby": groupby, "kind": kind,
        "space": "components" if model is None else "model", "surprise_cut": atlas.cut,
    }  # fmt: skip
    inputs = {"rna": layer or "X", "reference": reference_layer or "X"}
    record = recipe("map_reference", params, inputs=inputs, dropped=dropped)
    for slot, name in _results(mapped, old, record, keys).write(cells):
        logger.info("removed %s[%r]: it belonged to the bits that were there before", slot, name)
    return data if copy else None


def _known_groups(data: Any, cells: AnnData, groupby: str | None, network: Network) -> np.ndarray:
    """Groups that the user knows, -1 elsewhere."""
    if groupby is None:
        return np.full(cells.n_obs, UNKNOWN, dtype=np.int64)
    labels = find_group(data, cells, None, groupby)
    known = pd.Index(network.group_names).get_indexer(labels.astype(str)).astype(np.int64)
    if (known == UNKNOWN).all():
        raise fail(
            ValueError, f"labels in {groupby!r} must be names of the network: {listing(network.group_names)}.",
            f"{listing(labels.cat.categories)}.", "rename them, or leave groupby= out to have types found by neighbours.",
        )  # fmt: skip
    logger.info("%d of %d cells have a known type", (known != UNKNOWN).sum(), known.size)
    return known


def _results(mapped: Mapped, reference: Reference, record: dict[str, Any], keys: GrnKeys) -> Results:
    """Collect the slots."""
    out, network = Results(stale=_of_other_bits(keys)), reference.network
    out.obs[keys.group] = pd.Categorical.from_codes(mapped.codes, categories=list(network.group_names))
    out.obs[keys.mapped] = pd.Categorical.from_codes(mapped.origin, categories=list(ORIGINS))
    out.obs[keys.map_agreement] = mapped.agreement
    out.obs[keys.map_distance] = mapped.distance
    out.obs[keys.map_unanimity] = mapped.unanimity
    out.obsm[keys.active] = mapped.bits
    out.uns[keys.uns] = {**network.to_uns(), "params": reference.stored.get("params", {}), "map_params": record}
    return out


def _of_other_bits(keys: GrnKeys) -> list[tuple[str, str]]:
    """What speaks of other bits than those that are written."""
    obsm, obsp = (keys.auc, keys.auc_region, keys.active_region), (keys.connectivities, keys.distances)
    own = [*(("obsm", name) for name in obsm), *(("obsp", name) for name in obsp)]
    return [*own, ("uns", keys.cells), ("varp", keys.varp)]
