"""Labels of perturbed cells, of any naming scheme, as sets of genes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from ..._core.checks import fail, listing
from ..._core.perturbations import CONTROL, JOINT

SEPARATORS = ("+", "_", "|", ";", ",")  # in this order, where none is named
SPELLINGS = frozenset(
    {
        "control", "ctrl", "ctl", "non-targeting", "nontargeting", "non_targeting", "nt", "neg", "negative",
        "negctrl", "neg_ctrl", "unperturbed", "safe-targeting", "scramble", "scrambled", "mock",
    }
)  # fmt: skip


def guess_controls(labels: Iterable[str]) -> tuple[str, ...]:
    """Labels that are known spellings of a control, in any case."""
    return tuple(label for label in labels if label.strip().lower() in SPELLINGS)


def guess_separator(labels: Sequence[str], genes: Collection[str], controls: Collection[str]) -> str | None:
    """Separator of genes: the first that cuts every label that holds it into names that stand elsewhere as well.

    A name stands elsewhere as a gene that is measured, a whole label or a control; "+" needs no such proof, as gene names
    do not hold it.
    """
    known = {*genes, *controls, *SPELLINGS, *labels}
    for separator in SEPARATORS:
        cut = [label.split(separator) for label in labels if separator in label and label not in controls]
        if cut and (separator == JOINT or all(part in known for parts in cut for part in parts)):
            return separator
    return None


def genes_of(label: str, separator: str | None, controls: Collection[str]) -> tuple[str, ...]:
    """Sorted distinct genes of a label; none for control cells.

    Parts that are spellings of a control fall away: "A+ctrl" is A, "ctrl" and "ctrl+ctrl" are no gene.
    """
    if label in controls:
        return ()
    parts = [part.strip() for part in (label.split(separator) if separator else [label])]
    if not all(parts):
        raise fail(
            ValueError, "a perturbation is named by its genes.", f"the label {label!r}, with an empty name.",
            "rename it, or name the right sep=.",
        )  # fmt: skip
    lone = len(parts) == 1
    kept = {part for part in parts if part not in controls and (lone or part.lower() not in SPELLINGS)}
    return tuple(sorted(kept))


def canonical(genes: Sequence[str]) -> str:
    """Label of a set of genes: sorted, joined by "+"."""
    return JOINT.join(sorted(genes)) if genes else CONTROL


def need_distinct(names: Sequence[str]) -> None:
    """Raise `ValueError` for gene names that cannot stand in a canonical label."""
    bad = [name for name in names if JOINT in name or re.fullmatch(r"\s*", name) or name == CONTROL]
    if bad:
        raise fail(
            ValueError, f"gene names must not hold {JOINT!r} nor be {CONTROL!r}.", f"{listing(bad)}.",
            "rename these perturbations, or name the right sep= and control=.",
        )  # fmt: skip
