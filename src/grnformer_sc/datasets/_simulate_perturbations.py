"""A knock-out screen with a known network: the cells of `simulate_multiome`, each without some TFs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._core.checks import need_between
from .._core.perturbations import CONTROL, JOINT
from .._core.rng import RngLike, as_root, generator
from ._layout import lay_out_genome, numbered
from ._regulation import draw_regulation
from ._simulate import CELL_TYPE, _check_sizes, _draw_cells, _rna, _tf_numbers, draw_types

if TYPE_CHECKING:
    from anndata import AnnData


def simulate_perturbations(
    n_cells: int = 50,
    *,
    n_genes: int = 200,
    n_tfs: int = 16,
    n_types: int = 1,
    n_doubles: int = 0,
    hubs: float = 0.0,
    rng: RngLike = 0,
) -> AnnData:
    """Simulate a screen in which every TF is knocked out, alone and in some pairs, and the network is known.

    The network and the cells are those of `simulate_multiome`; every condition has cells of its own. A cell of a knock-out
    has no mRNA and no activity of its TFs, so what it lacks beside the control cells is what these TFs regulate. TFs
    regulate no other TF here, and no knock-out changes the cell type.

    Parameters
    ----------
    n_cells
        Cells of a perturbation; there are four times as many control cells.
    n_genes
        Genes, TFs included.
    n_tfs
        TFs.
    n_types
        Cell types.
    n_doubles
        Pairs of TFs that are knocked out together, drawn at random.
    hubs
        How unevenly targets are shared among TFs, as in `simulate_multiome`.
    rng
        The same number gives the same bytes.

    Returns
    -------
    AnnData with raw counts (CSR float32), `obs["perturbation"]` (`control`, `TF01`, `TF01+TF05`, ...),
    `obs["cell_type"]`, `var` and `uns["truth"]` as in `simulate_multiome`.

    Raises
    ------
    ValueError
        A number is too small, or there are fewer pairs of TFs than `n_doubles`.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> cells = grs.datasets.simulate_perturbations(20, n_genes=60, n_tfs=8, n_doubles=2, rng=0)
    >>> cells.obs["perturbation"].nunique(), int((cells.obs["perturbation"] == "control").sum())
    (11, 80)
    """
    need_between(n_cells, 1, 1_000_000, name="n_cells")
    _check_sizes(n_cells * 4, n_genes, n_tfs, n_types)
    pairs = list(combinations(range(n_tfs), 2))
    need_between(n_doubles, 0, len(pairs), name="n_doubles")
    need_between(hubs, 0, 5, name="hubs")
    root = as_root(rng)
    layout = lay_out_genome(n_genes, n_tfs, 0.8, generator(root, "layout"))
    plan = draw_regulation(layout, n_tfs, n_types, hubs, generator(root, "regulation"))
    tfs = list(layout.genes.index[layout.genes["is_tf"].to_numpy()])
    chosen = [pairs[i] for i in np.sort(generator(root, "doubles").permutation(len(pairs))[:n_doubles])]
    sets: list[Sequence[str]] = [(), *((tf,) for tf in tfs), *((tfs[a], tfs[b]) for a, b in chosen)]
    parts, types, labels = [], [], []
    for genes in sets:
        label = JOINT.join(genes) if genes else CONTROL
        own = replace(plan, knocked_out=_tf_numbers(genes, layout))
        kinds = draw_types(n_cells if genes else 4 * n_cells, n_types, generator(root, "types", label))
        parts.append(_draw_cells(kinds, layout, own, generator(root, "cells", label)))
        types.append(kinds)
        labels += [label] * kinds.size
    obs = pd.DataFrame(
        {
            "perturbation": pd.Categorical(labels),
            CELL_TYPE: pd.Categorical.from_codes(np.concatenate(types), numbered("type", n_types, 1)),
        },
        index=pd.Index(numbered("cell", len(labels), 5)),
    )
    activity, counts = np.concatenate([part[0] for part in parts]), sp.vstack([part[1] for part in parts], "csr")
    return _rna(counts, obs, layout, plan, activity)
