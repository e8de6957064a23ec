"""What models that lie beside a network have in common in `simulate_ko`: changes at times, at the places of the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int8

from .._core.checks import fail
from .._core.keys import PerturbationKeys
from .._core.params import recipe
from .._core.results import Results

if TYPE_CHECKING:
    from anndata import AnnData


def stored_model(rna: AnnData, key: str, name: str, *, mark: str, title: str) -> Mapping[str, Any]:
    """What the system `title` stored beside its network; `mark` is an entry that no other system's model has."""
    found: Mapping[str, Any] = rna.uns[key].get(name, {})
    if mark not in found:
        method = title.lower()
        raise fail(
            ValueError, f"model={method!r} needs a network that {title} made.", f"key={key!r} names another.",
            f"run grs.tl.build_grn(adata, method={method!r}, options={{...}}) and pass key='grn_{method}'.",
        )  # fmt: skip
    return found


def stored_changes(
    rna: AnnData,
    slots: PerturbationKeys,
    genes: pd.Index,
    change: Float[np.ndarray, "genes times"],
    reached: Int8[np.ndarray, "genes groups"],
    *,
    times: np.ndarray,
    held: dict[str, float],
    model: str,
    n_steps: int | None,
    key: str,
    step: str,
) -> tuple[Results, list[str]]:
    """Results of a forecast at `times` for the `genes` of a model while some are `held`, and facts for the log."""
    place = rna.var_names.get_indexer(genes)
    there = np.flatnonzero(place >= 0)
    out = Results()
    changes = np.zeros((rna.n_vars, times.size), dtype=np.float32)
    steps = np.full(changes.shape, -1, dtype=np.int8)
    changes[place[there]], steps[place[there]] = change[there], reached[there, :1]
    out.varm[slots.change], out.varm[slots.step] = changes, steps
    params = {"model": model, "n_steps": n_steps, "groupby": None, "per_cell": False, "network": key}
    record = recipe(step, params, inputs={"network": key}, dropped={"genes_missing": int((place < 0).sum())})
    out.uns[slots.uns] = {
        "genes": np.asarray(list(held), dtype=object), "levels": np.array(list(held.values()), dtype=np.float64),
        "group_names": np.asarray([f"{time:g}" for time in times], dtype=object), "params": record,
    }  # fmt: skip
    return out, [f"{int((reached[:, 0] == 1).sum())} direct targets", f"{times.size} times"]
