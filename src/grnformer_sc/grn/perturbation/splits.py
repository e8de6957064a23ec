"""Which conditions are held out: by perturbed genes, by combination, by context, in folds; checked for leaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from ..._core.checks import fail, listing
from ..._core.perturbations import genes_in
from ..._core.rng import generator

Strategy: TypeAlias = Literal["unseen_single", "combo", "covariate", "folds", "leave_one_out"]
STRATEGIES = ("unseen_single", "combo", "covariate", "folds", "leave_one_out")
PARTS = ("train", "val", "test")
TRAIN, TEST, FOLD = "train", "test", "fold "
PAIR = ["perturbation", "context"]


def split_conditions(
    conditions: pd.DataFrame, strategy: Strategy, *, fractions: Sequence[float], n_folds: int, root: int
) -> pd.DataFrame:
    """Part of every condition (`perturbation`, `context`; control cells left out), as column `split`, and its `kind`.

    Every draw follows the names of what is drawn, never their order.
    """
    table = conditions[PAIR].drop_duplicates().sort_values(PAIR, ignore_index=True)
    names = sorted(table["perturbation"].unique())
    if strategy == "unseen_single":
        part = _by_gene(names, fractions, root)
    elif strategy == "combo":
        part = _by_combination(names, fractions, root)
    elif strategy == "covariate":
        return with_kind(table.assign(split=_by_context(table, fractions, root)))
    else:
        if len(names) < 2:
            raise _too_few("folds need 2 perturbations", len(names))
        n = len(names) if strategy == "leave_one_out" else min(n_folds, len(names))
        width = len(str(n - 1))
        order = dict(zip(_shuffled(names, root, strategy), range(len(names)), strict=True))
        place = {name: i for i, name in enumerate(names)} if n == len(names) else order
        part = {name: f"{FOLD}{place[name] % n:0{width}d}" for name in names}
    return with_kind(table.assign(split=table["perturbation"].map(part)))


def need_no_leak(table: pd.DataFrame, *, by_context: bool) -> None:
    """Raise `ValueError` when what is held out is also trained on, or a part that is needed is empty."""
    keys = PAIR if by_context else ["perturbation"]
    n_parts = table.groupby(keys, observed=True)["split"].nunique()
    twice = n_parts[n_parts > 1]
    if len(twice):
        first = twice.index[0]
        at = (table[keys].to_numpy() == np.atleast_1d(np.asarray(first, dtype=object))).all(axis=1)
        raise fail(
            ValueError, "a condition must be in one part of a split, or what is tested was trained on.",
            f"{listing(twice.index)} in several: {listing(sorted(table.loc[at, 'split'].unique()))} for {first!r}.",
            "put all its cells into one part.",
        )  # fmt: skip
    parts = set(table["split"])
    folds = {part for part in parts if part.startswith(FOLD)}
    if folds:
        if parts - folds or len(folds) < 2:
            raise fail(
                ValueError, "folds stand alone, two or more.", f"{listing(sorted(parts))}.", "make the split again.",
            )  # fmt: skip
    elif parts - set(PARTS) or not {TRAIN, TEST} <= parts:
        raise fail(
            ValueError, f"a split has the parts {listing(PARTS)} ('val' may be missing), or 'fold 0', 'fold 1', ....",
            f"{listing(sorted(parts))}.", "make it with grs.pp.split_perturbations.",
        )  # fmt: skip


def is_by_context(table: pd.DataFrame) -> bool:
    """Whether a perturbation stands in several parts, in different contexts."""
    return bool((table.groupby("perturbation", observed=True)["split"].agg(lambda own: len(set(own))) > 1).any())


def with_kind(table: pd.DataFrame) -> pd.DataFrame:
    """How much of a held-out condition was seen: `single` or `combo`, and how many of its genes stand in training."""
    is_train = (table["split"] == TRAIN).to_numpy()
    trained = {gene for name in table.loc[is_train, "perturbation"] for gene in genes_in(name)}
    if not is_train.any():  # folds: everything else is training
        owners: dict[str, set[str]] = {}
        for name, part in zip(table["perturbation"], table["split"], strict=True):
            for gene in genes_in(name):
                owners.setdefault(gene, set()).add(part)
    kinds = []
    for name, part in zip(table["perturbation"], table["split"], strict=True):
        genes = genes_in(name)
        seen = sum((gene in trained) if is_train.any() else bool(owners[gene] - {part}) for gene in genes)
        kinds.append(f"{'single' if len(genes) == 1 else 'combo'}_seen{seen}")
    return table.assign(kind=kinds)


def _shuffled(names: Sequence[str], root: int, purpose: str) -> list[str]:
    return [names[i] for i in generator(root, purpose, *names).permutation(len(names))]


def _sizes(n: int, fractions: Sequence[float], what: str) -> dict[str, int]:
    """Whole numbers of items in train, val and test: at least one each, val only where it has a share."""
    train, val = fractions
    least = 2 + (val > 0)
    if n < least:
        expected = f"the parts of a split need {least} {what}"
        raise _too_few(expected, n)
    n_val = min(max(1, round(val * n)), n - 2) if val > 0 else 0
    n_test = min(max(1, n - n_val - round(train * n)), n - n_val - 1)
    return {"train": n - n_val - n_test, "val": n_val, "test": n_test}


def _parts_of(names: Sequence[str], fractions: Sequence[float], root: int, what: str) -> dict[str, str]:
    sizes = _sizes(len(names), fractions, what)
    labels = [part for part in PARTS for _ in range(sizes[part])]
    return dict(zip(_shuffled(names, root, what), labels, strict=True))


def _by_gene(names: list[str], fractions: Sequence[float], root: int) -> dict[str, str]:
    """Genes are drawn; a perturbation is in the least trained part of its genes, so that held-out genes are unseen.

    Only genes with a perturbation of their own are drawn, where there are any: a part is then never empty.
    """
    singles = sorted(name for name in names if len(genes_in(name)) == 1)
    alone = singles or sorted({gene for name in names for gene in genes_in(name)})
    own = _parts_of(alone, fractions, root, "perturbed genes" if singles else "genes of combinations")
    part = {name: PARTS[max(PARTS.index(own.get(gene, TRAIN)) for gene in genes_in(name))] for name in names}
    wanted = set(own.values())
    missing = wanted - set(part.values())
    if missing:
        raise _too_few("every part needs a perturbation", sorted(missing))
    return part


def _by_combination(names: list[str], fractions: Sequence[float], root: int) -> dict[str, str]:
    combos = [name for name in names if len(genes_in(name)) > 1]
    if len(combos) == len(names):
        return _parts_of(combos, fractions, root, "combinations")
    sizes = _sizes(len(combos) + 1, fractions, "combinations")  # the single genes count as one in training
    labels = [*["train"] * (sizes["train"] - 1), *["val"] * sizes["val"], *["test"] * sizes["test"]]
    own = dict(zip(_shuffled(combos, root, "combinations"), labels, strict=True))
    return {name: own.get(name, TRAIN) for name in names}


def _by_context(table: pd.DataFrame, fractions: Sequence[float], root: int) -> list[str]:
    """Pairs are drawn among those that can be held out: perturbation and context each stay in training."""
    pairs = [f"{p}\x1f{c}" for p, c in zip(table["perturbation"], table["context"], strict=True)]
    left_p, left_c = table["perturbation"].value_counts().to_dict(), table["context"].value_counts().to_dict()
    sizes = _sizes(len(pairs), fractions, "pairs of perturbation and context")
    held = ["test", *["val"] * sizes["val"], *["test"] * (sizes["test"] - 1)]
    part = dict.fromkeys(pairs, TRAIN)
    for pair in _shuffled(pairs, root, "pairs"):
        if not held:
            break
        perturbation, context = pair.split("\x1f")
        if left_p[perturbation] > 1 and left_c[context] > 1:
            part[pair] = held.pop(0)
            left_p[perturbation] -= 1
            left_c[context] -= 1
    got = set(part.values())
    if "test" not in got or (fractions[1] > 0 and "val" not in got):
        raise _too_few(
            "a pair of perturbation and context can be held out where both stay in training",
            f"{len(left_p)} perturbations in {len(left_c)} contexts",
        )
    return [part[pair] for pair in pairs]


def _too_few(expected: str, found: object) -> Exception:
    return fail(
        ValueError, f"{expected}.", f"{found}.", "take other fractions= or another strategy, or measure more."
    )  # fmt: skip
