"""Links of perturbed genes to the genes that a model predicts to change most."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from ..groups import signed_edges


def edges_of(
    effect: Float[np.ndarray, "perturbed genes"], perturbed: Int[np.ndarray, " perturbed"], genes: pd.Index, *,
    sign: int, top: int,
) -> pd.DataFrame:  # fmt: skip
    """Edge table of the `top` largest effects of every perturbed gene on others; an effect times `sign` activates."""
    effect = effect.copy()
    effect[np.arange(perturbed.size), perturbed] = 0
    order = np.argsort(-np.abs(effect), axis=1, kind="stable")[:, :top]
    row, gene = np.repeat(np.arange(perturbed.size), order.shape[1]), order.ravel()
    value = effect[row, gene]
    row, gene, value = row[value != 0], gene[value != 0], value[value != 0]
    return signed_edges(genes[perturbed[row]], genes[gene], sign * value)
