"""Options of `build_grn(method="pcnet")`."""

from __future__ import annotations

from dataclasses import dataclass

from ...._core.checks import need_between
from ...._core.typing import Number


@dataclass(frozen=True, slots=True, kw_only=True)
class PcnetOptions:
    """Settings of scRank's networks; the defaults are its own.

    Attributes
    ----------
    n_components
        Principal components of the other genes that a gene is regressed on.
    quantile
        Share of all coefficients of a network that are set to 0, the smallest.
    n_samples
        Networks of samples that are joined to that of a group.
    rank
        Components of the tensor decomposition that joins them.
    two_way
        Weight of a link in the direction in which the pair is weaker; the other direction has 1.
    decimals
        Digits that weights are rounded to, of the largest weight.
    normalize
        Whether counts are divided by the total of the cell (counts per 10,000) and logarithms taken.
    """

    n_components: int = 3
    quantile: Number = 0.95
    n_samples: int = 10
    rank: int = 5
    two_way: Number = 0.25
    decimals: int = 1
    normalize: bool = False

    def __post_init__(self) -> None:
        need_between(self.n_components, 1, 100, name="n_components")
        need_between(self.quantile, 0, 1, name="quantile")
        need_between(self.n_samples, 1, 10_000, name="n_samples")
        need_between(self.rank, 1, 100, name="rank")
        need_between(self.two_way, 0, 1, name="two_way")
        need_between(self.decimals, 0, 15, name="decimals")
