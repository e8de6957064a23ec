"""RiTINI in `build_grn`: cells along a trajectory as a series, its prior, and what is stored."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._core.checks import fail, listing
from .._core.tables import EDGE_COLUMNS, places_in
from ..grn.systems.ritini.options import FEWEST_POINTS, RitiniOptions
from ..priors import prior_network
from ._networks import edges_of, stored_networks
from ._perturbed import did_you_mean
from ._systems import SystemInput, SystemNetwork, need_memory

if TYPE_CHECKING:
    from ..grn.systems.ritini.granger import Granger
    from ..grn.systems.ritini.model import RitiniNet
    from ..grn.systems.ritini.network import Ritini
    from ..grn.systems.ritini.series import Series
    from ..grn.systems.ritini.training import Graph

logger = logging.getLogger(__name__)

MODEL, TRAINING, ATTENTION, WINDOWS = "model", "training", "attention", "window_times"  # in uns, beside the network
COMPUTED = ("granger", "full")  # priors that need no network


def infer_ritini(given: SystemInput, options: RitiniOptions) -> SystemNetwork:
    """Fit RiTINI to the cells along their trajectory, and lay out the links that it attends to."""
    from ..grn.systems.ritini.granger import granger
    from ..grn.systems.ritini.network import infer, needed_bytes

    network = _network(given, options)
    series, members, dropped = read_series(given, options, network)
    genes = given.cells.genes[members]
    need_memory("ritini", needed_bytes(genes.size, series.times.size, options), genes.size)
    start, series = _start(options, genes, series)
    tests = granger(series.values)
    graph = read_graph(given, options, genes, network, tests)
    evidence = "none" if network is None else "prior"
    found = infer(series, genes, graph, tests, options, evidence=evidence, root=given.root, start=start)
    _log(found, graph, series)
    if not len(found.edges):
        raise fail(
            ValueError, "a network needs at least one link.",
            f"none of {graph.candidates.sum()} candidates with a mean attention of {options.threshold:g}.",
            "lower options={'threshold': ...}.",
        )  # fmt: skip
    holds = sp.csr_matrix(np.ones((len(found.edges), 1), dtype=bool))
    return SystemNetwork(found.edges, holds, _stored(found, series), dropped)


def read_series(
    given: SystemInput, options: RitiniOptions, network: pd.DataFrame | None
) -> tuple[Series, np.ndarray, dict[str, int]]:
    """Points along the trajectory, the places of the genes that are used, and counts of what was left out."""
    from ..grn.systems.ritini.series import Series, bins_of, changing, points_of

    time = given.times(options.time_key)
    bins = bins_of(time, options.n_points)
    n_points = int(bins.max()) + 1
    if n_points < FEWEST_POINTS:
        raise fail(
            ValueError, f"a trajectory needs {FEWEST_POINTS} points at different times.",
            f"{n_points} in {options.time_key!r}.",
            "name a pseudotime; a few days of sampling are no trajectory, give method='flecs' or 'renge' those.",
        )  # fmt: skip
    if n_points < options.n_points:
        logger.info("ritini: %d of %d points have cells of their own", n_points, options.n_points)
    times, values = points_of(given.cells.counts, time, bins, smooth=float(options.smooth), normalize=options.normalize)
    members = _members(given, options, network, values)
    flat = int((~changing(values)).sum())
    return Series.of(times, values[:, members]), members, {"genes_that_never_change": flat}


def _members(
    given: SystemInput, options: RitiniOptions, network: pd.DataFrame | None, values: np.ndarray
) -> np.ndarray:
    """Places of the genes: those named, or the most variable of all or of a prior network, and named regulators."""
    from ..grn.systems.ritini.series import changing, most_variable

    genes, moves = given.cells.genes, changing(values)
    if options.genes is not None:
        unknown = [str(name) for name in options.genes if name not in genes]
        if unknown:
            raise fail(
                KeyError, "options={'genes': ...} must be in the data (var_names).", f"unknown {listing(unknown)}.",
                did_you_mean(unknown, genes, cutoff=0.7),
            )  # fmt: skip
        members = np.unique(genes.get_indexer(pd.Index(list(options.genes))))
        members = members[moves[members]]
    else:
        pool = np.arange(genes.size)
        if network is not None and options.candidates == "prior":
            ends = np.concatenate([places_in(genes, network[end]) for end in ("tf", "gene")])
            pool = np.unique(ends[ends >= 0])
        members = pool[most_variable(values[:, pool], options.n_genes)]
        if given.regulators is not None:
            named = genes.get_indexer(given.regulators)
            members = np.union1d(members, named[moves[named]])
    if members.size < 2:
        raise fail(
            ValueError, "a network needs two genes that change along the trajectory.", f"{members.size}.",
            "name other genes, or use a prior network of genes in the data.",
        )  # fmt: skip
    return members


def _network(given: SystemInput, options: RitiniOptions) -> pd.DataFrame | None:
    """Table of the prior network with `tf` and `gene`; `None` where the prior is computed."""
    if isinstance(options.prior, str) and options.prior in COMPUTED:
        return None
    table = isinstance(options.prior, pd.DataFrame) and list(options.prior.columns) == list(EDGE_COLUMNS)
    if table or isinstance(options.prior, str):
        return edges_of(options.prior, stored_networks(given.rna))
    return prior_network(options.prior)


def read_graph(
    given: SystemInput, options: RitiniOptions, genes: pd.Index, network: pd.DataFrame | None, tests: Granger
) -> Graph:
    """The prior among the genes, and the pairs that can carry attention; sources are the regulators that were named."""
    from ..grn.systems.ritini.training import Graph

    other = ~np.eye(genes.size, dtype=bool)
    if network is not None:
        prior = np.zeros_like(other)
        tf, gene = places_in(genes, network["tf"]), places_in(genes, network["gene"])
        both = (tf >= 0) & (gene >= 0)
        prior[tf[both], gene[both]] = True
    else:
        prior = tests.surprise >= options.min_surprise if options.prior == "granger" else other
    if given.regulators is not None:
        other = other & genes.isin(given.regulators)[:, None]
    prior = prior & other
    candidates = prior if options.candidates == "prior" else other
    if not candidates.any():
        name = options.prior if network is None else f"network of {len(network)} links"
        largest = f"; the largest -log p is {tests.surprise.max():.3g}" if name == "granger" else ""
        raise fail(
            ValueError, "some pair of genes must be able to carry attention.",
            f"none of the prior ({name}) among {genes.size} genes{largest}.",
            "lower options={'min_surprise': ...}, give another prior=, or candidates='all'.",
        )  # fmt: skip
    return Graph(candidates, prior)


def _start(options: RitiniOptions, genes: pd.Index, series: Series) -> tuple[RitiniNet | None, Series]:
    """Weights of a published checkpoint where one is named, and the series in the units that they were trained in."""
    from ..grn.systems.ritini.series import Series
    from ._read_ritini import read_ritini

    if options.checkpoint is None:
        return None, series
    if options.attention != "shared":
        raise fail(
            ValueError, "published weights are of the published form.", f"attention={options.attention!r}.",
            "leave attention out, or the checkpoint.",
        )  # fmt: skip
    order = None if options.genes is None else pd.Index(list(options.genes)).get_indexer(genes)
    read = read_ritini(Path(options.checkpoint), order, genes.size)
    if read.mean is None or read.scale is None:
        return read.net, series
    return read.net, Series(series.times, series.values, read.mean, read.scale)


def _log(found: Ritini, graph: Graph, series: Series) -> None:
    from ..grn.systems.ritini.training import no_change

    trained = found.trained
    first = trained.losses[0][1] if trained.losses else float("nan")
    logger.info(
        "ritini: %d genes, %d points, %d of %d pairs can carry attention, %d of them in the prior; squared error %.4g at "
        "first, %.4g at the end, %.4g if nothing changed",
        found.predictor.genes.size, series.times.size, graph.candidates.sum(), graph.candidates.size,
        (graph.candidates & graph.prior).sum(), first, trained.error, no_change(series.standard),
    )  # fmt: skip


def _stored(found: Ritini, series: Series) -> dict[str, Any]:
    """What `uns` keeps beside the network: the model, its losses, and the attention of every link in every window."""
    from ..grn.systems.ritini.training import LOSSES, no_change

    losses = pd.DataFrame(found.trained.losses, columns=list(LOSSES))
    facts = {"error": found.trained.error, "no_change": no_change(series.standard)}
    return {
        MODEL: {**found.predictor.to_uns(), **facts}, TRAINING: losses.set_index(losses.index.astype(str)),
        ATTENTION: found.attention, WINDOWS: found.times,
    }  # fmt: skip
