"""Names and numbers of LPM: which context and perturbations stand behind every profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from torch import Tensor

from .._core.checks import fail, listing

if TYPE_CHECKING:
    from anndata import AnnData

SHOWN = 10


@dataclass(frozen=True, slots=True)
class Conditions:
    """Context of every profile, and its perturbations, one after the other: those of profile i begin at `first[i]`."""

    context: np.ndarray
    members: np.ndarray
    first: np.ndarray

    def take(self, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Contexts, members and where those of each row begin, for rows in any order."""
        n = np.diff(self.first)[rows]
        start = np.cumsum(n) - n
        place = np.repeat(self.first[rows] - start, n) + np.arange(n.sum())
        return tuple(torch.from_numpy(x) for x in (self.context[rows], self.members[place], start))  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Names of contexts, perturbations and readouts, in the order of their embeddings."""

    contexts: pd.Index
    perturbations: pd.Index
    readouts: pd.Index

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Numbers of names."""
        return len(self.contexts), len(self.perturbations), len(self.readouts)

    def conditions(self, labels: Sequence[str], contexts: Sequence[str], separator: str | None) -> Conditions:
        """Numbers of labels (several perturbations joined by `separator`) and contexts; unknown names are an error."""
        parts = [members_of(label, separator) for label in labels]
        names = pd.Index([name for part in parts for name in part])
        found = []
        for what, known, asked in (
            ("perturbation", self.perturbations, names), ("context", self.contexts, pd.Index(contexts)),
        ):  # fmt: skip
            code = known.get_indexer(asked)
            if (code < 0).any():
                raise fail(
                    KeyError, f"every {what} must be one that the model was trained on.",
                    f"{listing(asked[code < 0].unique(), SHOWN)}; known {listing(known, SHOWN)}.",
                    "LPM has no embedding for others; leave them out.",
                )  # fmt: skip
            found.append(code.astype(np.int64))
        return Conditions(found[1], found[0], np.cumsum([0, *map(len, parts)]))

    def to_dict(self) -> dict[str, list[str]]:
        """Names as lists."""
        return {name: list(getattr(self, name)) for name in ("contexts", "perturbations", "readouts")}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Inverse of `to_dict`."""
        return cls(*(pd.Index(values[name], dtype=object) for name in ("contexts", "perturbations", "readouts")))

    def __str__(self) -> str:
        n_contexts, n_perturbations, n_readouts = self.sizes
        return f"{n_perturbations} perturbations, {n_readouts} readouts and {n_contexts} contexts"


def members_of(label: str, separator: str | None) -> list[str]:
    """Perturbations that a label names."""
    return [label] if separator is None else [part for part in label.split(separator) if part]


def rows_of(
    profiles: AnnData, perturbation_key: str, context_key: str, separator: str | None
) -> tuple[np.ndarray, Conditions, Vocabulary]:
    """Matrix of values (NaN: not measured), conditions of its rows, and the vocabulary."""
    label, context = (profiles.obs[key].astype(str) for key in (perturbation_key, context_key))
    names = sorted({name for text in label.unique() for name in members_of(text, separator)})
    vocabulary = Vocabulary(
        pd.Index(sorted(context.unique())), pd.Index(names), pd.Index(profiles.var_names.astype(str))
    )
    x = profiles.X
    values = np.asarray(x.toarray() if sp.issparse(x) else x, dtype=np.float32)
    if not np.isfinite(values).any():
        raise fail(
            ValueError, "profiles must hold a finite value.", f"none in {profiles.n_obs} rows.",
            "make them with grs.pp.perturbation_profiles.",
        )  # fmt: skip
    return values, vocabulary.conditions(label, context, separator), vocabulary
