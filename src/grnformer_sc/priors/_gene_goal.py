"""What gene names are to become: the target's names and the tables that lead there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from .._core.checks import fail, listing
from ._annotation import gene_annotation
from ._genes import Synonyms, read_synonyms


@dataclass(frozen=True, slots=True)
class Goal:
    """What names are to become and the tables that lead there."""

    target: list[str]
    synonyms: Synonyms | None
    orthologs: Synonyms | None


def read_goal(to: Any, aliases: Any, orthologs: Any) -> Goal:
    """Read names, an annotation or "symbol" as the target, with the user's tables of aliases and orthologs."""
    synonyms = None if aliases is None else read_synonyms(aliases)
    pairs = None if orthologs is None else _ortholog_table(orthologs)
    if isinstance(to, str) and to == "symbol":
        if synonyms is None:
            raise fail(
                ValueError, "to='symbol' needs a table of names.", "aliases=None.", "pass aliases=<table or file>."
            )
        target = list(synonyms.symbols)
    elif to is None:
        if pairs is None:
            raise fail(
                ValueError, "harmonize_genes needs names to reach.", "to=None.", "pass to=<names or annotation>."
            )
        target = list(pairs.symbols)
    elif isinstance(to, (str, Path)):
        table = gene_annotation(to)
        target = list(table.index)
        ids = gene_annotation(to, names="id")
        both = table.reset_index().merge(ids.reset_index(), on=list(table.columns), suffixes=("", "_id"))
        known = read_synonyms(pd.DataFrame({"symbol": both["gene"], "gene_id": both["gene_id"]}))
        synonyms = known if synonyms is None else Synonyms(pd.concat([known.table, synonyms.table], ignore_index=True))
    elif isinstance(to, pd.DataFrame):
        target = list(gene_annotation(to).index)
    elif isinstance(to, Iterable):
        target = [str(name) for name in to]
    else:
        raise fail(TypeError, "to= must be names, an annotation or 'symbol'.", f"{type(to).__name__}.", "pass a list.")
    if not target:
        raise fail(ValueError, "the target must hold names.", "none.", "pass to=<names or annotation>.")
    return Goal(list(dict.fromkeys(target)), synonyms, pairs)


def _ortholog_table(orthologs: Any) -> Synonyms:
    if isinstance(orthologs, pd.DataFrame):
        if orthologs.shape[1] < 2:
            raise fail(
                ValueError, "orthologs need two columns (from, to).", f"{listing(orthologs.columns)}.", "add one."
            )
        orthologs = orthologs.iloc[:, :2].set_axis(["alias", "symbol"], axis=1)
    return read_synonyms(orthologs)
