"""`get.predicted_change`: one predicted perturbation as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._core.checks import fail, listing, need_key
from .._core.keys import PREDICTED
from .._core.perturbations import genes_in

if TYPE_CHECKING:
    from anndata import AnnData

LAYERS = ("delta", "ci_low", "ci_high", "observed")


def predicted_change(adata: AnnData, perturbation: str, *, context: str | None = None) -> pd.DataFrame:
    """Read what `tl.perturb` predicts for one perturbation, beside what was measured.

    Parameters
    ----------
    adata
        Result of `tl.perturb`.
    perturbation
        Its name, genes in any order (`"B+A"` is `"A+B"`).
    context
        One context; needed where there are several.

    Returns
    -------
    Table with one row per gene, the largest predicted changes first: `gene`, `control` (mean log expression of control
    cells), `change`, `ci_low`, `ci_high`, `observed` (measured change, NaN where there are no cells), `perturbed` (the gene
    itself was).

    Raises
    ------
    KeyError
        This is no prediction, or it does not hold the perturbation or the context.
    ValueError
        There are several contexts and none is named.

    See Also
    --------
    grnformer_sc.get.perturbation : changes of a simulated knock-out, group by group.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> cells = grs.datasets.simulate_perturbations(20, n_genes=60, n_tfs=8, rng=0)
    >>> grs.pp.perturbation_setup(cells)
    >>> predicted = grs.tl.perturb(cells, perturbations="TF02+TF01", method="additive", split_key=None)
    >>> grs.get.predicted_change(predicted, "TF01+TF02").shape
    (60, 7)
    """
    need_key(adata.uns, PREDICTED, where="adata.uns", fix="pass what grs.tl.perturb returned.")
    genes = tuple(sorted(genes_in(perturbation)))
    name = "+".join(genes)
    own = np.flatnonzero((adata.obs["perturbation"].astype(str) == name).to_numpy())
    if not own.size:
        raise fail(
            KeyError, f"perturbation={perturbation!r} must be among the predicted ones.",
            f"{listing(adata.obs['perturbation'].astype(str).unique())}.", "name one of them.",
        )  # fmt: skip
    contexts = adata.obs["context"].astype(str).to_numpy()[own]
    if context is not None:
        if context not in contexts:
            raise fail(
                KeyError, f"context={context!r} must be among those of {name}.", f"{listing(contexts)}.", "name one."
            )
        own = own[contexts == context]
    if own.size > 1:
        raise fail(
            ValueError, f"{name} is predicted in several contexts.", f"{listing(contexts)}.", "name one with context=."
        )
    row = int(own[0])
    layer = {key: np.asarray(adata.layers[key])[row] for key in LAYERS}
    table = pd.DataFrame(
        {
            "gene": adata.var_names.astype(str), "control": np.asarray(adata.X)[row] - layer["delta"],
            "change": layer["delta"], "ci_low": layer["ci_low"], "ci_high": layer["ci_high"],
            "observed": layer["observed"], "perturbed": adata.var_names.isin(genes),
        }
    )  # fmt: skip
    order = np.lexsort((table["gene"], -table["change"].abs()))
    return table.iloc[order].reset_index(drop=True)
