"""Checks of what is to be perturbed: genes that the network can act through, and levels that expression can have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from .._core.checks import fail, listing
from .._core.tables import alike, by_upper
from ..grn.network import Network
from ..grn.wiring import Wiring

Level: TypeAlias = float | Literal["max", "cut"]
CUT = "cut"  # the gene loses its outgoing links, where a model can do that


def levels_of(genes: list[str], level: Level | Mapping[str, Level]) -> dict[str, float]:
    """Level of every gene; infinity stands for the highest observed value."""
    given = level_of_each(genes, level)
    for gene, value in given.items():
        number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if value != "max" and not (number and 0 <= float(value) < np.inf):
            raise fail(
                ValueError, "a level is log-normalised expression: a finite number, 0 or more, or 'max'.",
                f"{value!r} for {gene!r}.", "0 knocks out; np.log1p(m) is a level of m counts per 10,000.",
            )  # fmt: skip
    return {gene: np.inf if value == "max" else float(value) for gene, value in given.items()}


def level_of_each(genes: list[str], level: Level | Mapping[str, Level]) -> dict[str, Level]:
    """What is asked for of every gene, as it is written."""
    if not genes:
        raise fail(ValueError, "name at least one gene to perturb.", "none.", "give a TF of the network.")
    given = level if isinstance(level, Mapping) else dict.fromkeys(genes, level)
    if set(given) != set(genes):
        raise fail(
            ValueError, f"level= must name each of the genes {listing(genes)}.", f"{listing(given)}.",
            "give one level for every gene, or a single number.",
        )  # fmt: skip
    return dict(given)


def places_of(names: list[str], genes: pd.Index, network: Network, wiring: Wiring) -> np.ndarray:
    """Places of the genes to perturb (ascending); each must be measured and regulate something."""
    unknown = [name for name in names if name not in genes]
    if unknown:
        raise fail(
            KeyError, "genes to perturb must be in the data (var_names).", f"unknown {listing(unknown)}.",
            did_you_mean(unknown, genes, cutoff=0.7),
        )  # fmt: skip
    place = np.sort(genes.get_indexer(pd.Index(names)))
    mute = np.setdiff1d(place, wiring.tf)
    if mute.size:
        count = pd.Series(genes[wiring.tf]).value_counts()
        best = [
            f"{name} ({n} targets)"
            for name, n in count.sort_index().sort_values(ascending=False, kind="stable").items()
        ]
        raise fail(
            ValueError, "a perturbed gene must regulate others in the network, or nothing can follow.",
            "; ".join(_role(str(genes[i]), i, genes, network, wiring) for i in mute[:5]) + ".",
            f"perturb one of its {len(best)} TFs: {listing(best)}.",
        )  # fmt: skip
    return place


def did_you_mean(unknown: Iterable[str], known: Iterable[str], *, cutoff: float) -> str:
    """How to mend unknown genes: the names most like them, if there are any."""
    spelled = by_upper(known)
    near = sorted({hit for name in unknown for hit in alike(str(name), spelled, cutoff=cutoff)})
    return f"did you mean {listing(near)}?" if near else "use the gene names of the data."


def _role(name: str, place: int, genes: pd.Index, network: Network, wiring: Wiring) -> str:
    """What a gene without outgoing links is to the network."""
    own = network.edges[(network.edges["tf"].astype(str) == name).to_numpy()]
    if len(own) and not own["gene"].astype(str).isin(genes).any():
        return f"none of the targets of {name} is in the data"
    if len(own):
        return f"no group keeps an eRegulon of {name} (grs.get.groups says what is on where)"
    n_tfs = int((wiring.gene == place).sum())
    if n_tfs:
        return f"{name} is a target of {n_tfs} TF{'s' if n_tfs > 1 else ''} and regulates no gene itself"
    return f"{name} is not in the network"
