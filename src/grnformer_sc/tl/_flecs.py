"""FLeCS in `build_grn`: links of a stored network, times and knock-outs of the cells, and what is stored."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._core.checks import fail, listing
from .._core.tables import places_in
from ..grn.systems.flecs.options import FlecsOptions
from ._networks import edges_of, stored_networks
from ._systems import SystemInput, SystemNetwork, need_memory

if TYPE_CHECKING:
    from ..grn.systems.flecs.model import Links
    from ..grn.systems.flecs.network import Flecs
    from ..grn.systems.flecs.trajectories import Design

logger = logging.getLogger(__name__)

MODEL, TRAINING = "model", "training"  # in uns, beside the slots of every network
MOST_TIMES = 100  # more are no time points but a pseudotime
FEWEST_TIMES = 2


@dataclass(frozen=True, slots=True)
class Graph:
    """Links among the genes that have any, and the places of these among all genes."""

    links: Links
    members: np.ndarray


def infer_flecs(given: SystemInput, options: FlecsOptions) -> SystemNetwork:
    """Fit the weights of a stored network to trajectories of the cells."""
    from ..grn.systems.flecs.network import edges_of, infer, needed_bytes

    graph = read_graph(given, options)
    design, dropped = read_design(given, options, given.cells.genes[graph.members])
    need_memory("flecs", needed_bytes(graph.links, design.times.size, options), graph.members.size)
    genes = given.cells.genes[graph.members]
    found = infer(
        given.cells.counts, genes, graph.links, graph.members, design, options, root=given.root, n_jobs=given.n_jobs
    )
    _log(found, graph, design)
    edges = edges_of(graph.links, found.predictor.parameters, genes)
    holds = sp.csr_matrix(np.ones((len(edges), 1), dtype=bool))
    return SystemNetwork(edges, holds, _stored(found), dropped)


def read_graph(given: SystemInput, options: FlecsOptions) -> Graph:
    """Links of the stored network between measured genes, with reverse ones if asked for."""
    from ..grn.systems.flecs.model import Links

    genes, edges = given.cells.genes, edges_of(options.network, stored_networks(given.rna))
    tf, gene = places_in(genes, edges["tf"]), places_in(genes, edges["gene"])
    keep = (tf >= 0) & (gene >= 0) & (tf != gene)
    if given.regulators is not None:
        keep &= np.isin(tf, genes.get_indexer(given.regulators))
    if not keep.any():
        raise fail(
            ValueError, "the network needs links between measured genes.",
            f"none of {len(edges)}{'' if given.regulators is None else ' that starts at one of tfs='}; "
            f"links such as {listing(edges['tf'].astype(str) + ' -> ' + edges['gene'].astype(str), 3)}, "
            f"genes {listing(genes, 3)}.",
            "name a network of these genes with options={'network': ...}.",
        )  # fmt: skip
    pair = np.unique(tf[keep] * genes.size + gene[keep])
    members = np.unique([pair // genes.size, pair % genes.size])
    source, target = (np.searchsorted(members, end) for end in (pair // genes.size, pair % genes.size))
    links = Links(source, target, members.size)
    if options.symmetrize:
        both = links.symmetrized()
        logger.info("flecs: %d reverse links added to %d", both.source.size - pair.size, pair.size)
        links = both
    return Graph(links, members)


def read_design(given: SystemInput, options: FlecsOptions, genes: pd.Index) -> tuple[Design, dict[str, int]]:
    """Times and labels of the cells, and the numbers of cells left out."""
    from ..grn.systems.flecs.trajectories import Design

    times, time = _times(given, options)
    names, label, lost = _labels(given, options, genes)
    known = label >= 0
    starts = np.isin(np.arange(names.size), label[known & (time == 0)])
    if not starts[lost < 0].all():
        raise fail(
            ValueError, "trajectories start at cells without a knock-out at the first time.",
            f"none of {options.control!r} at time {times[0]:g}.", "leave that time out, or name the control cells.",
        )  # fmt: skip
    label = np.where(known & starts[label], label, -1)
    later = np.isin(np.arange(names.size), label[time > 0])
    label = np.where((label >= 0) & later[label], label, -1)
    dropped = {
        "cells_with_knockouts_not_in_links": int((~known).sum()),
        "cells_with_knockouts_at_few_times": int((known & (label < 0)).sum()),
    }  # fmt: skip
    for reason, number in dropped.items():
        if number:
            logger.info("flecs: %d %s left out", number, reason.replace("_", " "))
    used = np.unique(label[label >= 0])
    place = np.where(label >= 0, np.searchsorted(used, np.maximum(label, 0)), -1)
    return Design(time, place, times, tuple(names[used]), lost[used]), dropped


def _times(given: SystemInput, options: FlecsOptions) -> tuple[np.ndarray, np.ndarray]:
    """Distinct times, ascending, and which of them is that of every cell."""
    value = given.times(options.time_key)
    if options.n_bins is None:
        times, time = np.unique(value, return_inverse=True)
        if times.size > MOST_TIMES:
            raise fail(
                ValueError, f"without n_bins every value of {options.time_key!r} is a time; {MOST_TIMES} at most.",
                f"{times.size} values.", "cut it into bins: options={'n_bins': 5}.",
            )  # fmt: skip
    else:
        inner = np.quantile(value, np.arange(1, options.n_bins) / options.n_bins)
        code, time = np.unique(np.searchsorted(inner, value, side="right"), return_inverse=True)
        times = np.bincount(time, weights=value) / np.bincount(time)
        if code.size < options.n_bins:
            logger.info("flecs: %d of %d bins are not empty", code.size, options.n_bins)
    if times.size < FEWEST_TIMES:
        raise fail(
            ValueError, f"a trajectory needs {FEWEST_TIMES} times.",
            f"{times.size} in {options.time_key!r}: {listing(f'{t:g}' for t in times)}.",
            "name the column of a time series, or a pseudotime with n_bins.",
        )  # fmt: skip
    if options.knockout_time is not None and options.knockout_time > times[0]:
        raise fail(
            ValueError, "knockout_time is not later than the first time.",
            f"{options.knockout_time:g}, and {times[0]:g} in {options.time_key!r}.", "leave it out, or give a smaller one.",
        )  # fmt: skip
    return times, time.astype(np.int64)


def _labels(given: SystemInput, options: FlecsOptions, genes: pd.Index) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Names of the labels, that of every cell (-1: its gene has no link), and the gene lost in each (-1: none)."""
    if options.perturbation_key is None:
        return np.array([options.control]), np.zeros(given.rna.n_obs, dtype=np.int64), np.array([-1])
    text = given.column(options.perturbation_key, "perturbation_key").to_numpy()
    if not (text == options.control).any():
        raise fail(
            ValueError, f"some cells must have no knock-out: the label {options.control!r} in "
            f"{options.perturbation_key!r}.", f"{listing(np.unique(text), 30)}.",
            "name the label of the control cells: options={'control': ...}.",
        )  # fmt: skip
    names = np.unique(text)
    lost = genes.get_indexer(pd.Index(names))
    known = (lost >= 0) | (names == options.control)
    lost[names == options.control] = -1
    place = np.where(known, np.cumsum(known) - 1, -1)
    return names[known], place[np.searchsorted(names, text)], lost[known].astype(np.int64)


def _log(found: Flecs, graph: Graph, design: Design) -> None:
    trained = found.trained
    logger.info(
        "flecs: %d genes, %d links, %d trajectories over %d times; loss %.4g -> %.4g; held out %.4g, "
        "of no change %.4g, of the mean of the time %.4g",
        graph.members.size, graph.links.source.size, found.n_paths, design.times.size, trained.losses[0],
        trained.losses[-1], trained.held_out[-1], found.no_change, found.mean_of_time,
    )  # fmt: skip


def _stored(found: Flecs) -> dict[str, Any]:
    """What `uns` keeps beside the network: the model, and the losses of every epoch."""
    trained = found.trained
    losses = pd.DataFrame({"loss": trained.losses, "held_out": trained.held_out})
    losses.index = losses.index.astype(str)
    facts = {"no_change": found.no_change, "mean_of_time": found.mean_of_time, "n_trajectories": found.n_paths}
    return {MODEL: {**found.predictor.to_uns(), **facts}, TRAINING: losses}
