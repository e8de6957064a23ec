"""Other methods of `tl.build_grn`: scores of TF -> gene links, of which `grn.infer` makes networks, and whole systems."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from numpy import ndarray

from ..links import Pools, Work
from .linear import correlation, partial_correlation, ridge
from .trees import genie3, grnboost2

# Rows of the regressions in, scores of all pairs out: at least 0, larger for surer links, 0 for a gene with itself.
Scorer = Callable[[Pools, Work], Float[ndarray, "tfs genes"]]

SCORERS: dict[str, Scorer] = {
    "correlation": correlation,
    "genie3": genie3,
    "grnboost2": grnboost2,
    "partial_correlation": partial_correlation,
    "ridge": ridge,
}
