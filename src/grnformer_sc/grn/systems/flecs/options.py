"""Options of `build_grn(method="flecs")`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...._core.checks import need_between
from ...._core.typing import Number

MOST = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class FlecsOptions:
    """What FLeCS is told about the cells and its network, and how it is trained.

    Attributes
    ----------
    network
        Network whose links are fitted: the base name of a stored one, or anything that `grs.priors.read_network` reads.
    time_key
        Column of obs with the time of every cell, a number: days, or pseudotime together with `n_bins`.
    n_bins
        Bins of equal numbers of cells into which that column is cut; `None` takes every value as a time.
    perturbation_key
        Column of obs with the gene that every cell lacks, or `control`; `None`: no cell lacks any.
    control
        Label of the cells without a knock-out.
    knockout_time
        Time at which a gene is lost when a knock-out is foretold; `None` is the first time of the data.
    symmetrize
        Add the reverse of every link, as the original program does without saying so.
    n_trajectories
        Trajectories at most, of every knock-out where there are some.
    n_comps
        Principal components in which cells are matched.
    epochs, batch_size, lr, lr_drop
        Passes over the trajectories, trajectories per step, learning rate of Adam and its factor in the second half.
    validation
        Share of the trajectories that is never trained on; their loss is logged and stored, and nothing is chosen by it.
    max_step
        Largest step of the Runge-Kutta method, in units of the mean time between bins.
    normalize
        Whether counts are divided by the total of the cell (counts per 10,000) before the logarithm.
    device
        torch device; `"auto"` takes a GPU where there is one.
    """

    network: Any
    time_key: str
    n_bins: int | None = None
    perturbation_key: str | None = None
    control: str = "control"
    knockout_time: Number | None = None
    symmetrize: bool = False
    n_trajectories: int = 1000
    n_comps: int = 20
    epochs: int = 20
    batch_size: int = 32
    lr: Number = 0.005
    lr_drop: Number = 0.1
    validation: Number = 0.1
    max_step: Number = 0.25
    normalize: bool = True
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.n_bins is not None:
            need_between(self.n_bins, 2, 1000, name="n_bins")
        for name in ("n_comps", "epochs", "batch_size"):
            need_between(getattr(self, name), 1, MOST, name=name)
        need_between(self.n_trajectories, 10, MOST, name="n_trajectories")
        for name, low, high in (("lr", 1e-9, 10), ("lr_drop", 0, 1), ("validation", 0, 0.5), ("max_step", 1e-3, 1)):
            need_between(getattr(self, name), low, high, name=name)
