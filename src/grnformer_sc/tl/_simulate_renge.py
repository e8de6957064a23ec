"""`simulate_ko` with the model that RENGE stored beside its network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._core.checks import fail, listing, need_between
from .._core.keys import PerturbationKeys
from .._core.results import Results
from ..grn.network import Network
from ..grn.systems.renge.predict import Predictor
from ..grn.wiring import steps_from, wiring_of
from ._perturbed import Level
from ._renge import MODEL
from ._simulate_stored import stored_changes, stored_model

if TYPE_CHECKING:
    from anndata import AnnData


def renge_changes(
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
    """Changes at every time of the data after one gene is lost, and facts for the log."""
    predictor = predictor_of(rna, key)
    gene, hops = _one_knockout(genes, level, predictor), predictor.n_hops if n_steps is None else n_steps
    need_between(hops, 1, predictor.n_hops, name="n_steps")
    reached = steps_from(wiring_of(network, predictor.genes), predictor.genes.get_indexer([gene]), hops)
    out, said = stored_changes(
        rna, slots, predictor.genes, predictor.change(gene, hops).T, reached, times=predictor.times, held={gene: 0.0},
        model="renge", n_steps=hops, key=key, step=step,
    )  # fmt: skip
    return out, [f"{gene} lost", *said]


def predictor_of(rna: AnnData, key: str) -> Predictor:
    """The model stored with a network, which must be one of RENGE's."""
    return Predictor.from_uns(stored_model(rna, key, MODEL, mark="effect", title="RENGE"))


def _one_knockout(genes: str | Sequence[str], level: Any, predictor: Predictor) -> str:
    """The one gene that is lost; RENGE has learnt from single knock-outs and from nothing else."""
    names = [genes] if isinstance(genes, str) else list(genes)
    if len(names) != 1 or level not in (0, {names[0]: 0}):
        raise fail(
            ValueError, "model='renge' foretells the loss of one gene.", f"genes {listing(names)}, level={level!r}.",
            "name one gene and leave level out; model='linear' takes several genes and other levels.",
        )  # fmt: skip
    if names[0] not in predictor.genes:
        raise fail(
            KeyError, "the gene must be in the model.", f"{names[0]!r}.", f"name one of {listing(predictor.genes)}."
        )
    return names[0]
