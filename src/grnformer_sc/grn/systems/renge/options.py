"""Options of `build_grn(method="renge")`."""

from __future__ import annotations

from dataclasses import dataclass

from ...._core.checks import need_between
from ...._core.typing import Number


@dataclass(frozen=True, slots=True, kw_only=True)
class RengeOptions:
    """What RENGE is told about the cells, and its settings; settings that are `None` are searched.

    Attributes
    ----------
    perturbation_key
        Column of obs with the gene that every cell lacks, or `control`.
    time_key
        Column of obs with the time since the knock-out, a number; `None` is one time for all cells.
    control
        Label of the cells without a knock-out.
    penalty, l1_ratio, n_hops
        Weight C of the penalty, its share of L1, and the links that a change travels at most; those that are `None` are
        chosen by cross-validation over knocked-out genes.
    n_folds
        Folds of that cross-validation.
    n_bootstrap
        Fits to resampled cells behind the q-values; 0 for none.
    max_fdr
        Links with larger q-values are left out of the edge table.
    normalize
        Whether counts are divided by the total of the cell (counts per 10,000) before the logarithm.
    """

    perturbation_key: str
    time_key: str | None = None
    control: str = "control"
    penalty: Number | None = None
    l1_ratio: Number | None = None
    n_hops: int | None = None
    n_folds: int = 5
    n_bootstrap: int = 30
    max_fdr: Number = 0.01
    normalize: bool = True

    def __post_init__(self) -> None:
        for name, low, high in (("penalty", 1e-12, 1e12), ("l1_ratio", 0, 1), ("n_hops", 1, 20)):
            if getattr(self, name) is not None:
                need_between(getattr(self, name), low, high, name=name)
        need_between(self.n_folds, 2, 100, name="n_folds")
        if self.n_bootstrap != 0:
            need_between(self.n_bootstrap, 2, 100_000, name="n_bootstrap")
        need_between(self.max_fdr, 0, 1, name="max_fdr")
