"""`tl.simulate_ko`: knock-out or over-expression of TFs, carried along the network."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._core.checks import fail, listing, need_between, need_one_of
from .._core.inputs import copy_of
from .._core.keys import GrnKeys, PerturbationKeys
from .._core.logging import step
from .._core.params import recipe
from .._core.results import Results
from .._core.rng import RngLike, as_root
from .._core.settings import resolve_jobs
from ..get._read import network_of, rna_of
from ..grn.simulate_ko import Model, Simulated, SimulationSettings, simulate
from ..grn.wiring import Wiring, wiring_of
from ._arguments import need_unset
from ._inputs import network_groups, ordered_cells
from ._perturbed import Level, levels_of, places_of
from ._simulate_flecs import flecs_changes
from ._simulate_renge import renge_changes
from ._simulate_ritini import ritini_changes

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

STEP = "simulate_ko"
STORED = {"flecs": flecs_changes, "renge": renge_changes, "ritini": ritini_changes}  # models that lie beside a network
MODELS = ("linear", "boosted", *STORED)
MOST_STEPS = 20
USUAL_STEPS = 3  # as in CellOracle


def simulate_ko(
    data: Any,
    genes: str | Sequence[str],
    *,
    level: Level | Mapping[str, Level] = 0.0,
    model: Model | Literal["flecs", "renge", "ritini"] = "linear",
    n_steps: int | None = None,
    groupby: str | None = None,
    per_cell: bool = False,
    key: str = "grn",
    rna: str = "rna",
    layer: str | None = None,
    key_added: str | None = None,
    rng: RngLike = 0,
    n_jobs: int | None = None,
    copy: bool = False,
) -> Any:
    """Predict how expression changes when TFs are knocked out or over-expressed, from the stored network.

    The TFs are held at a level; the change of every target follows from that of its TFs, and is passed on for `n_steps`
    links (d_(k+1) = B' d_k in the linear model, as in CellOracle, Kamimoto et al. 2023; trees that predict every gene
    again from its changed TFs in the boosted one, as in SCENIC+, Bravo González-Blas et al. 2023). Only links that hold in
    a group carry anything there. Expression plus change stays inside the range that is observed in the cells: neither
    model has seen anything beyond it, and expression is not negative. What comes out is what the associations in these
    cells suggest, not a proof of cause.

    Parameters
    ----------
    data
        Cells with a network: AnnData, or MuData.
    genes
        TF or TFs to perturb, all at once.
    level
        Expression at which they are held, in units of log(1 + counts per 10,000): 0 knocks out, `"max"` is the highest
        value of any cell. One for all, or a mapping from each of the genes. A mean of `m` counts per 10,000 is
        `np.log1p(m)`. With `model="ritini"` also `"cut"`: the gene goes its way, and its outgoing links are taken away.
    model
        `"linear"`: ridge coefficients of each group, drawn towards those of all groups where cells are few.
        `"boosted"`: boosted trees on cells of all groups; slower, finds thresholds and interactions. `"renge"`: the model
        that RENGE fitted to knock-outs (`key="grn_renge"`); groups are its times, the gene need regulate nothing.
        `"flecs"`: the differential equations of FLeCS (`key="grn_flecs"`), integrated over its times with the genes held.
        `"ritini"`: the equations of RiTINI (`key="grn_ritini"`) over the points after each of its windows.
    n_steps
        Links that a change can travel; 1 is direct targets only. By default 3, or as many as RENGE was fitted with.
    groupby
        Column of obs with groups by the names the network knows; by default those it was made with.
    per_cell
        Also store the change of every cell.
    key
        Base name of the network.
    rna
        Name of the RNA modality.
    layer
        Layer with raw counts; `None` is `.X`.
    key_added
        Base name of the slots; `key` with `_ko` by default.
    rng
        Seed or Generator: which cells the boosted model sees (at least 500 of each group, where there are so many).
    n_jobs
        Threads, for trees and for single cells.
    copy
        Return a copy of `data` instead of writing to it.

    Returns
    -------
    `None`, or the copy. Sets in the RNA AnnData:

    `varm["grn_ko"]` : float32 genes x groups
        Change of the mean log-normalised expression (boosted: mean change of the sampled cells).
    `varm["grn_ko_step"]` : int8 genes x groups
        Links from the perturbed genes on the shortest way: 0 they themselves, 1 direct targets, -1 not reached.
    `uns["grn_ko"]`
        `genes`, `levels`, `group_names` (the columns of both) and `params`.
    `layers["grn_ko"]` : CSR float32 cells x genes
        With `per_cell`: change of every cell, nothing stored where it is 0.

    Raises
    ------
    KeyError
        There is no network, layer or column, or a gene is not in the data.
    ValueError
        A gene regulates nothing in the network or is not expressed, a level is negative, a group is unknown to the
        network, or the changes of single cells would take more than `settings.max_memory`.

    See Also
    --------
    grnformer_sc.get.perturbation : the changes as a table.
    grnformer_sc.pl.perturbation : the genes that change most.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> grs.tl.simulate_ko(mdata, "TF05")
    >>> mdata["rna"].varm["grn_ko"].shape
    (100, 2)
    """
    need_one_of(model, MODELS, name="model")
    if n_steps is not None:
        need_between(n_steps, 1, MOST_STEPS, name="n_steps")
    keys, slots, jobs = GrnKeys(key), PerturbationKeys.for_network(key, key_added), resolve_jobs(n_jobs)
    if copy:
        data = copy_of(data)
    rna_data, network = rna_of(data, rna), network_of(data, key, rna)
    earlier = _earlier(rna_data.uns, slots)
    if model == "flecs" or model == "renge" or model == "ritini":  # noqa: PLR1714 (a test that mypy can read)
        need_unset(
            {"groupby": groupby, "per_cell": per_cell or None, "layer": layer}, fix="leave them out.",
            expected=f"model={model!r} foretells one change per time, from its stored model.",
        )  # fmt: skip
        with step(logger, "simulate_ko") as facts:
            out, said = STORED[model](rna_data, network, key, slots, genes, level=level, n_steps=n_steps, step=STEP)
            facts.extend(said)
        _write(out, rna_data, slots, earlier)
        return data if copy else None
    n_steps = USUAL_STEPS if n_steps is None else n_steps
    levels = levels_of([genes] if isinstance(genes, str) else list(genes), level)
    groups = network_groups(data, rna_data, None, groupby, network, keys)
    codes = pd.Index(network.group_names).get_indexer(groups.astype(str)).astype(np.int64)
    cells, by_name, _ = ordered_cells(rna_data, None, codes, layer=layer, atac_layer=None)
    wiring = wiring_of(network, cells.genes)
    perturbed = places_of(list(levels), cells.genes, network, wiring)
    values = np.array([levels[name] for name in cells.genes[perturbed]])
    chosen = SimulationSettings(model=model, n_steps=n_steps, per_cell=per_cell, root=as_root(rng), n_jobs=jobs)
    with step(logger, "simulate_ko") as facts:
        found = simulate(cells, wiring, perturbed, values, chosen)
        facts.extend(_facts(found, cells.genes[perturbed]))
    _log_mute(found, perturbed, wiring, cells.genes, pd.Index(network.group_names))
    params = {
        "model": model, "n_steps": n_steps, "groupby": groupby, "per_cell": per_cell, "network": key,
        "rng_root": f"{chosen.root:032x}", "links_agreeing": found.agreement[0], "links_judged": found.agreement[1],
    }  # fmt: skip
    n_missing = int((~pd.Index(network.edges["gene"].astype(str).unique()).isin(cells.genes)).sum())
    record = recipe(STEP, params, inputs={"rna": layer or "X"}, dropped={"genes_missing": n_missing})
    out = _collect(found, slots, by_name, rna_data.n_vars)
    out.uns[slots.uns] = {
        "genes": cells.genes[perturbed].to_numpy(dtype=object), "levels": found.levels,
        "group_names": np.asarray(network.group_names, dtype=object), "params": record,
    }  # fmt: skip
    _write(out, rna_data, slots, earlier)
    return data if copy else None


def _write(out: Results, rna: AnnData, slots: PerturbationKeys, earlier: Mapping[str, Any]) -> None:
    if earlier.get("per_cell", False):
        out.stale = [("layers", slots.layer)]
    out.write(rna)


def _earlier(uns: Mapping[str, Any], slots: PerturbationKeys) -> Mapping[str, Any]:
    """Parameters of an earlier simulation under the same name; anything else under it must not be overwritten."""
    params: Mapping[str, Any] = uns.get(slots.uns, {}).get("params", {})
    if slots.uns in uns and params.get("step") != STEP:
        raise fail(
            ValueError, f"key_added={slots.uns!r} must be free, or name an earlier simulation.",
            f"adata.uns[{slots.uns!r}] holds something else.", "choose another key_added.",
        )  # fmt: skip
    return params


def _facts(found: Simulated, names: pd.Index) -> list[str]:
    held = ", ".join(f"{name} at {level:.3g}" for name, level in zip(names, found.levels, strict=True))
    nearest = np.where(found.step > 0, found.step, np.iinfo(np.int8).max).min(axis=1)
    n_direct, n_all = int((nearest == 1).sum()), int((nearest < np.iinfo(np.int8).max).sum())
    agree, judged = found.agreement
    return [
        held, f"{n_direct} direct targets, {n_all - n_direct} genes further on",
        f"{agree} of {judged} direct links act as their sign says",
    ]  # fmt: skip


def _log_mute(found: Simulated, perturbed: np.ndarray, wiring: Wiring, genes: pd.Index, groups: pd.Index) -> None:
    """Say in which groups a gene can do nothing, and why."""
    for place, level in zip(perturbed, found.levels, strict=True):
        before = found.before[:, np.searchsorted(found.genes, place)]
        holds = wiring.holds[wiring.tf == place].any(axis=0)
        reasons = {"none of its links holds": ~holds, "not expressed": holds & (before == 0) & (level == 0)}
        for reason, mute in reasons.items():
            if mute.any():
                logger.info("simulate_ko: %s changes nothing in %s: %s", genes[place], listing(groups[mute]), reason)


def _collect(found: Simulated, slots: PerturbationKeys, by_name: np.ndarray, n_vars: int) -> Results:
    """Changes at the places of the user's genes."""
    out, place = Results(), by_name[found.genes]
    change = np.zeros((n_vars, found.change.shape[1]), dtype=np.float32)
    steps = np.full(change.shape, -1, dtype=np.int8)
    change[place], steps[place] = found.change, found.step
    out.varm[slots.change], out.varm[slots.step] = change, steps
    if found.cells is not None:
        cells = found.cells
        wide = sp.csr_matrix((cells.data, place[cells.indices], cells.indptr), (cells.shape[0], n_vars))
        wide.sort_indices()
        out.layers[slots.layer] = wide
    return out
