"""RiTINI from a series and a prior to an edge table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Float32

from ...._core.compute import device_of
from ...._core.rng import seed_for
from ...._core.tables import places_in
from ..groups import signed_edges
from .granger import Granger
from .model import STAGES, Pairs, RitiniNet
from .options import HISTORY, RitiniOptions
from .predict import Predictor
from .series import Series
from .training import Graph, Trained, Training, train

KEPT = 7  # matrices of the size of the attention that each of them keeps for the way back
ADAM = 4  # copies of a parameter, its gradient and its moments


@dataclass(frozen=True, slots=True)
class Ritini:
    """A fitted model, the training behind it, and its links with their attention in every window."""

    predictor: Predictor
    trained: Trained
    edges: pd.DataFrame
    attention: Float32[np.ndarray, "links windows"]
    times: Float[np.ndarray, " windows"]


def infer(
    series: Series, genes: pd.Index, graph: Graph, tests: Granger, options: RitiniOptions, *,
    evidence: str, root: int, start: RitiniNet | None = None,
) -> Ritini:  # fmt: skip
    """Fit the model, from `start` where it is given, and read its attention as links with the sign of `tests`."""
    pairs = Pairs(genes.size, options.knots) if options.attention == "pairs" else None
    settings = Training(
        epochs=options.epochs, batch_size=options.batch_size, lr=options.lr, dropout=options.dropout,
        graph_weight=options.graph_weight, entropy_weight=options.entropy_weight, device=device_of(options.device),
    )  # fmt: skip
    net = RitiniNet.drawn(seed_for(root, "weights"), pairs) if start is None else start
    trained = train(net, series.standard, graph, settings, root=root)
    edges = edges_of(trained.attention, graph.candidates, tests.correlation, genes, options, evidence=evidence)
    source, target = (places_in(genes, edges[end]) for end in ("tf", "gene"))
    attention = np.ascontiguousarray(trained.attention[:, source, target].T)
    times = series.times[HISTORY : HISTORY + attention.shape[1]]
    return Ritini(Predictor.of(trained.net, series, genes, graph.candidates), trained, edges, attention, times)


def edges_of(
    attention: Float32[np.ndarray, "windows sources targets"],
    candidates: Bool[np.ndarray, "sources targets"],
    correlation: Float[np.ndarray, "sources targets"],
    genes: pd.Index,
    options: RitiniOptions,
    *,
    evidence: str,
) -> pd.DataFrame:
    """Links whose mean attention reaches the threshold, the highest ranks of them.

    Attention of a target sums to 1, so that of a gene with few candidates is large whatever it does: the lift is its ratio
    to equal parts. It has no sign; a link has that of the correlation of its source with the change of its target.
    """
    mean = attention.mean(axis=0, dtype=np.float64)
    size = mean * candidates.sum(axis=0) if options.rank == "lift" else mean
    chosen = candidates & (mean > 0) & (mean >= options.threshold)
    place = np.flatnonzero(chosen)
    place = place[np.argsort(-size.flat[place], kind="stable")[: options.top]]
    source, target = np.divmod(place, genes.size)
    rho = correlation[source, target]
    weight = np.where(rho < 0, -1, 1) * size[source, target]
    return signed_edges(genes[source], genes[target], weight, evidence=evidence, tf_gene_rho=rho)


def needed_bytes(n_genes: int, n_points: int, options: RitiniOptions) -> float:
    """Memory of what a step keeps for the way back, of the attention of all windows, and of parameters of pairs."""
    knots = options.knots + 1 if options.attention == "pairs" else 0
    return 4.0 * n_genes**2 * (options.batch_size * STAGES * KEPT + n_points + ADAM * knots)
