"""`simulate_ko` with the model that FLeCS stored beside its network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .._core.keys import PerturbationKeys
from .._core.results import Results
from ..grn.network import Network
from ..grn.wiring import steps_from, wiring_of
from ._arguments import need_unset
from ._flecs import MODEL
from ._perturbed import Level, levels_of, places_of
from ._simulate_stored import stored_changes, stored_model

if TYPE_CHECKING:
    from anndata import AnnData

    from ..grn.systems.flecs.predict import Predictor

MOST_STEPS = 100  # links between two genes, more than any network needs


def flecs_changes(
    rna: AnnData,
    network: Network,
    key: str,
    slots: PerturbationKeys,
    genes: str | Sequence[str],
    *,
    level: Level | Mapping[str, Level],
    n_steps: int | None,
    step: str,
) -> tuple[Results, list[str]]:
    """Changes at every time of the data while genes are held at levels, and facts for the log."""
    need_unset(
        {"n_steps": n_steps}, expected="model='flecs' integrates over the times of the data.", fix="leave it out."
    )
    predictor = flecs_of(rna, key)
    levels = levels_of([genes] if isinstance(genes, str) else list(genes), level)
    wiring = wiring_of(network, predictor.genes)
    source = places_of(list(levels), predictor.genes, network, wiring)
    held = {
        name: min(levels[name], float(predictor.highest[i]))
        for i, name in zip(source, predictor.genes[source], strict=True)
    }
    reached = steps_from(wiring, source, MOST_STEPS)
    out, said = stored_changes(
        rna, slots, predictor.genes, predictor.change(levels).T * (reached >= 0), reached, times=predictor.times, held=held,
        model="flecs", n_steps=None, key=key, step=step,
    )  # fmt: skip
    return out, [", ".join(f"{name} at {value:.3g}" for name, value in held.items()), *said]


def flecs_of(rna: AnnData, key: str) -> Predictor:
    """The model stored with a network, which must be one of FLeCS's."""
    from ..grn.systems.flecs.predict import Predictor

    return Predictor.from_uns(stored_model(rna, key, MODEL, mark="decay", title="FLeCS"))
