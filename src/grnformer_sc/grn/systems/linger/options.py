"""Options of `build_grn(method="linger")`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...._core.checks import fail, need_between, need_one_of
from ...._core.typing import Number

MOST = 10**9
PRIOR_WEIGHT = {"ewc": 1.0, "inner": 0.1}


@dataclass(frozen=True, slots=True, kw_only=True)
class LingerOptions:
    """Settings of LINGER's networks.

    Attributes
    ----------
    bulk
        File with networks that an earlier call wrote (`save`), on any data: this fit starts from them and stays near them.
    prior_term
        How it stays near: `"ewc"`, squared distance weighted by the Fisher information of every weight (the paper), or
        `"inner"`, the inner product of the first layers (the original program).
    prior_weight
        Weight of that term; by default 1 for `"ewc"` and 0.1 for `"inner"`.
    save
        File (.safetensors) into which the networks are written, to be the `bulk` of another call.
    n_neighbors
        Cells of a metacell, neighbours of the same group; 1 takes rows as they are, as for samples of bulk data.
    n_metacells
        Metacells of a group at most; `None` is the root of its number of cells, plus 1.
    epochs, lr, weight_decay
        Steps of Adam on all metacells, its learning rate and decay.
    l1
        Penalty on the sum of sizes of all parameters.
    laplacian
        Penalty on differences between first-layer weights of a TF and of the regions with its motif.
    n_background
        Metacells against which contributions are measured.
    distance
        bp over which a region's say in a gene falls to 1/e.
    tf_factor
        Whether a link's strength has a factor for what the TF contributes, beside the regions; `False` as published.
    top
        TF-gene links of a group that are kept at most, the strongest.
    top_regions
        Regions of a link in a group that are kept at most, the strongest.
    device
        torch device; `"auto"` takes a GPU where there is one.
    """

    bulk: str | Path | None = None
    prior_term: str = "ewc"
    prior_weight: Number | None = None
    save: str | Path | None = None
    n_neighbors: int = 20
    n_metacells: int | None = None
    epochs: int = 100
    lr: Number = 0.01
    weight_decay: Number = 0.01
    l1: Number = 0.01
    laplacian: Number = 1.0
    n_background: int = 50
    distance: Number = 25_000
    tf_factor: bool = True
    top: int = 10_000
    top_regions: int = 3
    device: str = "auto"

    def __post_init__(self) -> None:
        need_one_of(self.prior_term, tuple(PRIOR_WEIGHT), name="prior_term")
        if self.prior_weight is not None:
            need_between(self.prior_weight, 0, MOST, name="prior_weight")
        if self.bulk is None and (self.prior_weight is not None or self.prior_term != "ewc"):
            raise fail(
                ValueError, "prior_term and prior_weight say how to stay near other networks.", "no bulk=.",
                "name the file that an earlier call wrote: options={'bulk': ...}.",
            )  # fmt: skip
        for name in ("n_neighbors", "epochs", "n_background", "top", "top_regions"):
            need_between(getattr(self, name), 1, MOST, name=name)
        if self.n_metacells is not None:
            need_between(self.n_metacells, 1, MOST, name="n_metacells")
        for name, low, high in (("lr", 1e-9, 10), ("distance", 1, MOST)):
            need_between(getattr(self, name), low, high, name=name)
        for name in ("weight_decay", "l1", "laplacian"):
            need_between(getattr(self, name), 0, MOST, name=name)

    @property
    def pull(self) -> float:
        """Weight of the prior term."""
        return float(PRIOR_WEIGHT[self.prior_term] if self.prior_weight is None else self.prior_weight)
