"""What was done to each cell, as `pp.perturbation_setup` wrote it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Int

from .checks import fail, listing, need_key
from .keys import ConditionKeys
from .perturbations import genes_in

if TYPE_CHECKING:
    from anndata import AnnData

COLUMNS = ("perturbation", "context")


@dataclass(frozen=True, slots=True)
class Conditions:
    """Conditions (pairs of perturbation and context) of the cells.

    Attributes
    ----------
    table
        One row per condition with cells: `perturbation`, `context`, `control` (bool), `n_cells`; by name.
    code
        Row of every cell.
    measured
        Measured (`True`) or not, by perturbed gene.
    control
        Label of control cells.
    """

    table: pd.DataFrame
    code: Int[np.ndarray, " cells"]
    measured: pd.Series
    control: str

    @property
    def in_control(self) -> Int[np.ndarray, " controls"]:
        """Places of the control cells."""
        return np.flatnonzero(self.table["control"].to_numpy()[self.code])

    @classmethod
    def read(cls, adata: AnnData) -> Conditions:
        """Read the slots, and check that they fit each other."""
        keys = ConditionKeys()
        fix = "run grs.pp.perturbation_setup(adata, condition_key=...) first."
        need_key(adata.uns, keys.uns, where="adata.uns", fix=fix)
        for column in (keys.label, keys.context):
            need_key(adata.obs, column, where="adata.obs", fix=fix)
        stored = adata.uns[keys.uns]
        frame = pd.DataFrame(
            {
                name: adata.obs[column].astype(str).to_numpy()
                for name, column in zip(COLUMNS, (keys.label, keys.context), strict=True)
            }
        )
        grouped = frame.groupby(list(COLUMNS), sort=True)
        code, table = grouped.ngroup().to_numpy(), grouped.size().rename("n_cells").reset_index()
        control = str(stored["control"])
        genes = stored["genes"].set_index("gene")["measured"].astype(bool)
        genes.index = genes.index.astype(str)
        table["control"] = table["perturbation"] == control
        unknown = sorted(
            {g for p in table.loc[~table["control"], "perturbation"] for g in genes_in(p)} - set(genes.index)
        )
        if unknown:
            raise fail(
                ValueError, f"obs[{keys.label!r}] must hold the perturbations that uns[{keys.uns!r}] knows.",
                f"{listing(unknown)}.", "run grs.pp.perturbation_setup again.",
            )  # fmt: skip
        return cls(table, code.astype(np.int64), genes, control)
