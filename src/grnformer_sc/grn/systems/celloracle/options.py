"""Options of `build_grn(method="celloracle")`."""

from __future__ import annotations

from dataclasses import dataclass

from ...._core.checks import need_between
from ...._core.typing import Number


@dataclass(frozen=True, slots=True, kw_only=True)
class CellOracleOptions:
    """Settings of CellOracle's networks.

    Attributes
    ----------
    n_bags
        Regressions of a gene, each on cells drawn with replacement.
    alpha
        Penalty on the sum of squared coefficients, as in scikit-learn.
    max_features
        Share of the TFs of a gene that a regression sees.
    max_p
        Largest p-value of a link (Student's t over the regressions).
    top
        Links of a group that are kept at most, the largest.
    n_neighbors
        Cells of the same group over which expression is averaged; `None` is 2.5 % of the group, 1 leaves it as it is.
    most_cells
        Cells of a group at most, drawn at random where there are more.
    promoter
        bp around the TSS in which a region is a promoter (with motifs).
    coaccess
        Least correlation with a promoter of the gene at which another region counts (with motifs).
    """

    n_bags: int = 20
    alpha: Number = 10.0
    max_features: Number = 0.8
    max_p: Number = 0.001
    top: int = 10_000
    n_neighbors: int | None = None
    most_cells: int = 5000
    promoter: int = 1000
    coaccess: Number = 0.2

    def __post_init__(self) -> None:
        need_between(self.n_bags, 2, 10_000, name="n_bags")
        need_between(self.alpha, 1e-9, 1e12, name="alpha")
        need_between(self.max_features, 1e-9, 1, name="max_features")
        need_between(self.max_p, 0, 1, name="max_p")
        need_between(self.top, 1, 10**9, name="top")
        if self.n_neighbors is not None:
            need_between(self.n_neighbors, 1, 10_000, name="n_neighbors")
        need_between(self.most_cells, 50, 10**7, name="most_cells")
        need_between(self.promoter, 0, 10**7, name="promoter")
        need_between(self.coaccess, -1, 1, name="coaccess")
