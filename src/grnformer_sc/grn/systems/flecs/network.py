"""FLeCS from cells and links to an edge table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from ...._core.compute import device_of
from ...._core.rng import generator
from ...._core.rows import Rows
from ...embedding import log_normalise
from ..groups import signed_edges
from ..renge.network import log_counts
from .model import Links, Parameters
from .options import FlecsOptions
from .predict import Predictor
from .training import Trained, Training, batches_of, mean_of_time, no_change, train
from .trajectories import Design, Paths, chains, unit_times

STARTS = 200  # cells at the first time that a forecast begins with


@dataclass(frozen=True, slots=True)
class Flecs:
    """A fitted model, how the training went, losses of two simple forecasts, and the number of trajectories."""

    predictor: Predictor
    trained: Trained
    no_change: float
    mean_of_time: float
    n_paths: int


def infer(
    counts: Rows, genes: pd.Index, links: Links, members: np.ndarray, design: Design, options: FlecsOptions, *,
    root: int, n_jobs: int,
) -> Flecs:  # fmt: skip
    """Pair the cells, fit the weights, and keep what a forecast needs; `members` are the columns of the genes."""
    with threadpool_limits(1):
        cells, label = chains(
            counts, design, n_trajectories=options.n_trajectories, n_comps=options.n_comps, root=root, n_jobs=n_jobs
        )
        paths = paths_of(counts, members, cells, design, label, normalize=options.normalize)
        rows = generator(root, "validation").permutation(len(cells))
        n_held = round(float(options.validation) * rows.size)
        outside = [rows[:n_held][i : i + options.batch_size] for i in range(0, n_held, options.batch_size)]
        settings = Training(
            lr=options.lr, lr_drop=options.lr_drop, max_step=options.max_step, device=device_of(options.device)
        )
        epochs = list(batches_of(rows[n_held:], options.batch_size, options.epochs, root))
        trained = train(links, Parameters.drawn(links, generator(root, "start")), paths, epochs, settings, outside)
    simple = no_change(paths, outside), mean_of_time(paths, rows[n_held:], outside)
    return Flecs(_predictor(genes, links, paths, design, trained, options), trained, *simple, len(cells))


def paths_of(
    counts: Rows, members: np.ndarray, cells: np.ndarray, design: Design, label: np.ndarray, *, normalize: bool
) -> Paths:
    """Log expression of the cells that the trajectories need, each once."""
    used = np.unique(cells[cells >= 0])
    part = counts.take(used)
    x = (log_normalise(part) if normalize else log_counts(part))[:, members].astype(np.float32)
    place = np.where(cells >= 0, np.searchsorted(used, np.maximum(cells, used[0])), -1)
    return Paths(x, place, unit_times(design.times), design.lost[label])


def needed_bytes(links: Links, n_times: int, options: FlecsOptions) -> float:
    """Memory of the states and slopes that a step of the training keeps, and of what runs along the links."""
    stages = 20.0 * n_times / float(options.max_step)
    return 4.0 * options.batch_size * (links.n_genes * stages + 4 * links.source.size)


def edges_of(links: Links, parameters: Parameters, genes: pd.Index) -> pd.DataFrame:
    """Every link with its strength and sign; a weight of exactly 0 is no link."""
    keep = parameters.weight != 0
    weight = parameters.weight[keep].astype(np.float64)
    return signed_edges(genes[links.source[keep]], genes[links.target[keep]], weight, evidence="prior")


def _predictor(
    genes: pd.Index, links: Links, paths: Paths, design: Design, trained: Trained, options: FlecsOptions
) -> Predictor:
    whole = np.flatnonzero(paths.lost < 0)
    first = paths.cells[whole[np.linspace(0, whole.size - 1, min(STARTS, whole.size)).astype(int)], 0]
    since = design.times[0] if options.knockout_time is None else options.knockout_time
    return Predictor(
        genes, design.times, links, trained.parameters, paths.expression[first].toarray(),
        paths.expression.max(axis=0).toarray().ravel(), float(since), float(options.max_step),
    )  # fmt: skip
