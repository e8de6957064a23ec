"""What to show and in which order, when there is more than fits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from .._core.checks import fail, listing


def chosen_groups(known: Iterable[str], groups: Sequence[str] | None) -> list[str]:
    """Cell types to show: all that are known, or those that are named, each once; unknown ones are a `KeyError`."""
    names = [str(name) for name in known]
    chosen = names if groups is None else list(dict.fromkeys(str(name) for name in groups))
    unknown = [name for name in chosen if name not in names]
    if unknown or not chosen:
        raise fail(
            KeyError, "groups must be cell types of the network.", f"unknown {listing(unknown)}; known "
            f"{listing(names, 30)}.", "choose among them.",
        )  # fmt: skip
    return chosen


def cluster_order(values: Float[np.ndarray, "rows columns"]) -> list[int]:
    """Order rows so that similar ones are neighbours (average linkage, optimal leaf order)."""
    from scipy.cluster.hierarchy import leaves_list, linkage

    if values.shape[0] < 3:
        return list(range(values.shape[0]))
    return [int(i) for i in leaves_list(linkage(values, method="average", optimal_ordering=True))]


def take_turns(ranked: Mapping[str, Sequence[str]], n: int) -> list[str]:
    """Choose `n` names: each group in turn gives its best one that is not chosen yet.

    The result follows the order of the groups, so that a group's names stand together.
    """
    giver: dict[str, int] = {}
    queues = [iter(names) for names in ranked.values()]
    while len(giver) < n:
        before = len(giver)
        for place, queue in enumerate(queues):
            name = next((name for name in queue if name not in giver), None)
            if name is not None and len(giver) < n:
                giver[name] = place
        if len(giver) == before:
            break
    return sorted(giver, key=lambda name: giver[name])
