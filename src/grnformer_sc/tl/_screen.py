"""A perturbation screen as arrays: measured changes of every condition, and who is held out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from .._core.checks import fail, listing, need_key
from .._core.conditions import Conditions
from .._core.perturbations import genes_in
from ..grn.perturbation.labels import canonical
from ..grn.perturbation.shifts import Shifts, Wanted
from ..grn.perturbation.splits import FOLD, TRAIN, need_no_leak
from ._expression import Expression
from ._perturbed import did_you_mean

if TYPE_CHECKING:
    from anndata import AnnData

NEW = "new"  # part of a perturbation that was not measured


@dataclass(frozen=True, slots=True)
class Screen:
    """Means of all conditions.

    Attributes
    ----------
    conditions
        Perturbed conditions: `perturbation`, `context`, `n_cells`, `split`.
    contexts
        Names of the contexts; `code` counts among them.
    code
        Context of every condition.
    control
        Mean log expression of the control cells of every context.
    delta
        Mean of every condition minus that of the control cells of its context.
    measured
        Measured or not, by perturbed gene.
    """

    conditions: pd.DataFrame
    contexts: list[str]
    code: Int[np.ndarray, " conditions"]
    control: Float[np.ndarray, "contexts genes"]
    delta: Float[np.ndarray, "conditions genes"]
    measured: pd.Series

    @classmethod
    def read(cls, found: Conditions, expression: Expression, split: np.ndarray) -> Screen:
        """Average the cells of every condition, in one pass."""
        table = found.table.assign(split=split)
        sums = expression.sums(found.code, len(table))
        mean = sums / table["n_cells"].to_numpy()[:, None]
        is_control = table["control"].to_numpy()
        contexts = sorted(table["context"].unique())
        need_control(table, contexts)
        code = pd.Index(contexts).get_indexer(table["context"])
        control = mean[is_control][np.argsort(code[is_control])]
        own = table[~is_control].reset_index(drop=True)
        return cls(
            own, contexts, code[~is_control].astype(np.int64), control, (mean - control[code])[~is_control],
            found.measured,
        )  # fmt: skip

    def shifts(self, rows: Int[np.ndarray, " some"]) -> Shifts:
        """Some conditions and what they change."""
        genes = tuple(genes_in(name) for name in self.conditions["perturbation"].iloc[rows])
        return Shifts(Wanted(genes, self.code[rows]), self.delta[rows])

    def tasks(self, wanted: pd.DataFrame) -> Iterator[tuple[Int[np.ndarray, " trained"], Int[np.ndarray, " held"]]]:
        """Conditions to train on, and rows of `wanted` to predict from them."""
        part = self.conditions["split"].to_numpy()
        for name, own in wanted.groupby("split", sort=True).indices.items():
            if str(name).startswith(FOLD):
                train = np.flatnonzero(part != name)
            elif (part == TRAIN).any():
                train = np.flatnonzero(part == TRAIN)
            else:
                train = np.arange(part.size)
            yield train, np.asarray(own, dtype=np.int64)


def need_control(table: pd.DataFrame, contexts: Sequence[str]) -> None:
    """Raise `ValueError` when a context has no control cells (left)."""
    lacking = sorted(set(contexts) - set(table.loc[table["control"], "context"]))
    if lacking:
        raise fail(
            ValueError, "every context needs control cells.", f"none in {listing(lacking)}.",
            "keep the control cells, or run grs.pp.perturbation_setup again with fewer covariate_keys.",
        )  # fmt: skip
    if table["control"].all():
        raise fail(
            ValueError, "some cells must be perturbed.", "control cells only.", "keep the perturbed cells.",
        )  # fmt: skip


def parts_of(adata: AnnData, found: Conditions, split_key: str | None, *, needed: bool) -> np.ndarray:
    """Part of every condition, checked for leaks; all in training without a split."""
    if split_key is None or (split_key not in adata.obs and not needed):
        return np.where(found.table["control"], found.control, TRAIN)
    need_key(
        adata.obs, split_key, where="adata.obs",
        fix="run grs.pp.split_perturbations(adata) first, or name the perturbations to predict.",
    )  # fmt: skip
    label = adata.obs[split_key]
    if label.isna().any():
        raise fail(
            ValueError, f"every cell needs a part in obs[{split_key!r}].", f"{int(label.isna().sum())} without one.",
            "run grs.pp.split_perturbations again.",
        )  # fmt: skip
    table = found.table.iloc[found.code].assign(split=label.astype(str).to_numpy())
    table = table[~table["control"]].drop_duplicates(["perturbation", "context", "split"])
    by_context = bool(adata.uns.get(split_key, {}).get("by_context", False))
    if len(table):
        need_no_leak(table, by_context=by_context)
    merged = found.table.merge(table[["perturbation", "context", "split"]], how="left", on=["perturbation", "context"])
    return merged["split"].fillna(found.control).to_numpy()


def wanted_conditions(screen: Screen, perturbations: Sequence[str] | str | None, known: Sequence[str]) -> pd.DataFrame:
    """Conditions to predict: those held out, or named ones in every context; `known` are names that a gene may have."""
    if perturbations is None:
        table = screen.conditions
        return table[table["split"] != TRAIN].reset_index(drop=True)
    named = [perturbations] if isinstance(perturbations, str) else list(perturbations)
    wanted = list(dict.fromkeys(canonical(genes_in(str(name).replace(" ", ""))) for name in named))
    if not wanted:
        raise fail(ValueError, "name at least one perturbation.", "none.", "give genes such as 'KLF1' or 'CBL+CNN1'.")
    need_known([gene for name in wanted for gene in genes_in(name)], known)
    pairs = pd.DataFrame([(p, c) for p in wanted for c in screen.contexts], columns=["perturbation", "context"])
    out = pairs.merge(screen.conditions, how="left", on=["perturbation", "context"])
    return out.fillna({"n_cells": 0, "split": NEW}).astype({"n_cells": int})


def need_known(genes: Sequence[str], known: Sequence[str]) -> None:
    """Raise `KeyError` for genes nothing is known of, with the nearest names."""
    names = set(known)
    unknown = [gene for gene in dict.fromkeys(genes) if gene not in names]
    if unknown:
        raise fail(
            KeyError, "genes to perturb must be measured, perturbed in the cells, or in the network.",
            f"unknown {listing(unknown)}.", did_you_mean(unknown, known, cutoff=0.6),
        )  # fmt: skip
