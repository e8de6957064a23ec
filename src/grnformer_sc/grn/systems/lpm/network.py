"""Links of perturbed genes to the genes that a model predicts to change most."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from ...._core.tables import edge_table, eregulon_name
from ...tf_gene import share_below


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
    if not value.size:
        return edge_table({})
    names, size, way = genes[perturbed[row]], np.abs(value), (sign * np.sign(value)).astype(int)
    return edge_table({
        "tf": names, "gene": genes[gene], "tf_gene_importance": size, "sign": way, "score": share_below(size),
        "evidence": "none", "eregulon": [eregulon_name(*part, 0) for part in zip(names, way, strict=True)],
    })  # fmt: skip
