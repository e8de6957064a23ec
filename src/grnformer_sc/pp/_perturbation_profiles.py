"""`pp.perturbation_profiles`: what each perturbation changes in each context, from single cells."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._core.checks import fail, listing, need_between
from .._core.inputs import ALL_CELLS, find_group, open_rows, resolve, table_of
from .._core.logging import step
from .._core.params import recipe
from .._core.rows import Rows, members
from ..grn.embedding import log_normalise

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

SLOT = "perturbation_profiles"
FEWEST = 2  # cells that have a variance


def perturbation_profiles(
    data: Any,
    perturbation_key: str,
    *,
    context_key: str | None = None,
    control: str = "control",
    min_cells: int = 5,
    layer: str | None = None,
    rna: str = "rna",
) -> AnnData:
    """Average the cells of every perturbation in every context and take the control cells of the context away.

    Values are log1p of counts per 10,000; a profile is the difference of two means, with its standard error.

    Parameters
    ----------
    data
        Cells: AnnData or MuData.
    perturbation_key
        Column of obs that says what was done to each cell, the label of controls included.
    context_key
        Column of obs with the context (cell line, day, donor); None makes one context "all".
    control
        Label of the control cells.
    min_cells
        Profiles of fewer cells are left out and counted in the log.
    layer
        Layer with raw counts; None reads `.X`.
    rna
        Modality of a MuData.

    Returns
    -------
    New AnnData (profiles x genes, float32): `X` the change against control, `layers["se"]` its standard error,
    `obs["perturbation"]`, `obs["context"]`, `obs["n_cells"]`.

    Raises
    ------
    KeyError
        A column does not exist.
    ValueError
        The counts are no raw counts, a context has fewer than two control cells, or no profile is left.

    Examples
    --------
    >>> import numpy as np, anndata as ad, pandas as pd, scipy.sparse as sp, grnformer_sc as grs
    >>> counts = sp.csr_matrix(np.random.default_rng(0).poisson(2, (40, 5)).astype("float32"))
    >>> obs = pd.DataFrame({"knockout": ["control", "GATA1"] * 20}, index=[f"c{i}" for i in range(40)])
    >>> profiles = grs.pp.perturbation_profiles(ad.AnnData(counts, obs=obs), "knockout")
    >>> profiles.shape, profiles.obs["perturbation"].tolist()
    ((1, 5), ['GATA1'])
    """
    need_between(min_cells, FEWEST, np.inf, name="min_cells")
    cells, _ = resolve(data, rna)
    label = find_group(data, cells, None, perturbation_key)
    context = find_group(data, cells, None, context_key)
    counts = open_rows(cells, layer, what="RNA counts")
    with step(logger, "perturbation_profiles") as facts:
        n_labels = len(label.cat.categories)
        code = context.cat.codes.to_numpy().astype(np.int64) * n_labels + label.cat.codes.to_numpy()
        size = np.bincount(code, minlength=len(context.cat.categories) * n_labels)
        own = _control_code(label, context, size, control)
        total, square = _moments(counts, code, size.size)
        mean = total / np.maximum(size, 1)[:, None]
        variance = np.maximum(square - size[:, None] * mean**2, 0) / np.maximum(size - 1, 1)[:, None]
        treated = np.arange(size.size) % n_labels != own
        rows = np.flatnonzero(treated & (size >= min_cells))
        few = int((treated & (size > 0) & (size < min_cells)).sum())
        if not rows.size:
            raise fail(
                ValueError, f"some perturbation needs {min_cells} cells in a context.",
                f"at most {size[treated].max(initial=0)} cells.",
                "lower min_cells, or name another column.",
            )  # fmt: skip
        base = rows // n_labels * n_labels + own
        error = np.sqrt(variance[rows] / size[rows, None] + variance[base] / size[base, None])
        facts.append(f"{rows.size} profiles of {label.nunique() - 1} perturbations in {context.nunique()} contexts")
        if few:
            facts.append(f"{few} of fewer than {min_cells} cells left out")
    names = {
        "perturbation": label.cat.categories.to_numpy()[rows % n_labels],
        "context": context.cat.categories.to_numpy()[rows // n_labels], "n_cells": size[rows],
    }  # fmt: skip
    options = {
        "perturbation_key": perturbation_key, "context_key": context_key or ALL_CELLS, "control": control,
        "min_cells": min_cells,
    }  # fmt: skip
    record = recipe(SLOT, options, inputs={"counts": layer or "X"}, dropped={"profiles of few cells": few})
    return _profiles(mean[rows] - mean[base], error, names, cells, record)


def _control_code(label: pd.Series, context: pd.Series, size: np.ndarray, control: str) -> int:
    """Code of the label of control cells, of which every context has some."""
    if control not in label.cat.categories:
        raise fail(
            ValueError, f"some cells must carry the label {control!r}.", f"{listing(label.cat.categories)}.",
            "name the label of the control cells with control=.",
        )  # fmt: skip
    code = int(label.cat.categories.get_loc(control))
    lost = context.cat.categories[size[code :: len(label.cat.categories)] < FEWEST]
    if len(lost):
        raise fail(
            ValueError, f"every context needs {FEWEST} control cells.", f"fewer in {listing(lost)}.",
            "leave these contexts out, or join them to others.",
        )  # fmt: skip
    return code


def _moments(counts: Rows, code: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums and sums of squares of the log-normalised cells of every code, block by block."""
    total, square = np.zeros((n, counts.shape[1])), np.zeros((n, counts.shape[1]))
    for first, part in counts.blocks():
        member = members(code[first : first + part.shape[0]], n)
        x = log_normalise(part).astype(np.float64)
        total += (member @ x).toarray()
        square += (member @ x.multiply(x)).toarray()
    return total, square


def _profiles(
    change: np.ndarray, error: np.ndarray, names: dict[str, Any], cells: AnnData, record: dict[str, Any]
) -> AnnData:
    from anndata import AnnData

    index = [f"{p} in {c}" for p, c in zip(names["perturbation"], names["context"], strict=True)]
    out = AnnData(change.astype(np.float32), obs=pd.DataFrame(names, index=index), var=table_of(cells.var).copy())
    out.layers["se"] = error.astype(np.float32)
    out.uns[SLOT] = {"params": record}
    return out
