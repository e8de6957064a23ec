"""Options of `build_grn(method="ritini")`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...._core.checks import need_between, need_one_of
from ...._core.typing import Number

HISTORY, AHEAD = 5, 4  # points that are seen, and points that are foretold
MOST = float("inf")
FEWEST_POINTS = HISTORY + AHEAD + 1  # two windows


@dataclass(frozen=True, slots=True, kw_only=True)
class RitiniOptions:
    """What RiTINI is told about the cells and their prior, how it is trained, and which attention becomes a link.

    Attributes
    ----------
    time_key
        Column of obs with the place of every cell along the trajectory, a number (pseudotime).
    prior
        `"granger"` (pairs that Granger's test is sure of), `"full"` (all pairs), or a network: the base name of a stored
        one, a table or a file. The argument `prior` of `build_grn` is the same.
    candidates
        Pairs that can carry attention: those of the `"prior"`, or `"all"`, which the prior then only draws.
    min_surprise
        Least -log p of Granger's test.
    genes, n_genes
        Names of the genes; without them so many that vary most along the trajectory (of a prior network: of its genes).
    n_points, smooth
        Points of the series, of equal numbers of cells, and the standard deviation in points of the kernel over them.
    attention
        `"shared"`: the published form, one function for all pairs. `"pairs"`: pairs of genes have parameters of their own.
    knots
        Points in time between which the log odds of a pair change linearly, with `"pairs"`; 1 keeps them constant.
    checkpoint
        A published `best_model.pt`: training starts from its weights; `epochs=0` takes them as they are.
    epochs, batch_size, lr, dropout
        Passes over the windows, windows per step, first rate of Adam (halved where the loss stands still for 10 epochs),
        share of states and attention that is dropped in training.
    graph_weight, entropy_weight
        Weights in the loss of the cross-entropy between attention and prior, and of the entropy of attention.
    rank
        What links are ranked by: `"lift"`, mean attention over that of equal parts among the candidates of the target, or
        `"attention"` itself.
    threshold, top
        Least mean attention of a link, and how many links are kept at most (`None`: all).
    normalize
        Whether counts are divided by the total of the cell (counts per 10,000) before the logarithm.
    device
        torch device; `"auto"` takes a GPU where there is one.
    """

    time_key: str
    prior: Any = "granger"
    candidates: str = "prior"
    min_surprise: Number = 30.0
    genes: Sequence[str] | None = None
    n_genes: int = 100
    n_points: int = 100
    smooth: Number = 1.0
    attention: str = "shared"
    knots: int = 4
    checkpoint: str | Path | None = None
    epochs: int = 200
    batch_size: int = 4
    lr: Number = 0.001
    dropout: Number = 0.1
    graph_weight: Number = 3e-4
    entropy_weight: Number = 5e-4
    rank: str = "lift"
    threshold: Number = 0.0053
    top: int | None = 1000
    normalize: bool = True
    device: str = "auto"

    def __post_init__(self) -> None:
        need_one_of(self.candidates, ("prior", "all"), name="candidates")
        need_one_of(self.attention, ("shared", "pairs"), name="attention")
        need_one_of(self.rank, ("lift", "attention"), name="rank")
        need_between(self.n_points, FEWEST_POINTS, MOST, name="n_points")
        need_between(self.n_genes, 2, MOST, name="n_genes")
        need_between(self.knots, 1, 100, name="knots")
        need_between(self.batch_size, 1, MOST, name="batch_size")
        need_between(self.epochs, 1 if self.checkpoint is None else 0, MOST, name="epochs")
        if self.top is not None:
            need_between(self.top, 1, MOST, name="top")
        for name, low, high in (
            ("min_surprise", 0, MOST), ("smooth", 0, MOST), ("lr", 1e-9, 10), ("dropout", 0, 0.9),
            ("graph_weight", 0, MOST), ("entropy_weight", 0, MOST), ("threshold", 0, 1),
        ):  # fmt: skip
            need_between(getattr(self, name), low, high, name=name)
