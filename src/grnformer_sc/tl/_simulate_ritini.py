"""`simulate_ko` with the model that RiTINI stored beside its network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from .._core.keys import PerturbationKeys
from .._core.results import Results
from ..grn.network import Network
from ..grn.wiring import Wiring, steps_from, wiring_of
from ._arguments import need_unset
from ._perturbed import CUT, Level, level_of_each, levels_of, places_of
from ._ritini import MODEL
from ._simulate_stored import stored_changes, stored_model

if TYPE_CHECKING:
    from anndata import AnnData

    from ..grn.systems.ritini.predict import Predictor

MOST_STEPS = 100


def ritini_changes(
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
    """Changes in every window while genes are held at levels, or without their links, and facts for the log."""
    need_unset(
        {"n_steps": n_steps}, expected="model='ritini' integrates over the points of each window.", fix="leave it out."
    )
    predictor = ritini_of(rna, key)
    each = level_of_each([genes] if isinstance(genes, str) else list(genes), level)
    cut = [name for name, value in each.items() if value == CUT]
    rest = {name: value for name, value in each.items() if value != CUT}
    levels = levels_of(list(rest), rest) if rest else {}
    places_of(list(each), predictor.genes, network, wiring_of(network, predictor.genes))
    highest = dict(zip(predictor.genes, predictor.series.values.max(axis=0), strict=True))
    held = {name: min(value, float(highest[name])) for name, value in sorted(levels.items())}
    reached = steps_from(_wiring(predictor), predictor.genes.get_indexer(sorted(each)), MOST_STEPS)
    change = predictor.change(levels, cut).T * (reached >= 0)
    out, said = stored_changes(
        rna, slots, predictor.genes, change, reached, times=predictor.times, held=held | dict.fromkeys(cut, np.nan),
        model="ritini", n_steps=None, key=key, step=step,
    )  # fmt: skip
    done = [f"{name} at {value:.3g}" for name, value in held.items()] + [f"{name} without its links" for name in cut]
    return out, [", ".join(done), *said]


def ritini_of(rna: AnnData, key: str) -> Predictor:
    """The model stored with a network, which must be one of RiTINI's."""
    from ..grn.systems.ritini.predict import WEIGHTS, Predictor

    return Predictor.from_uns(stored_model(rna, key, MODEL, mark=WEIGHTS, title="RiTINI"))


def _wiring(predictor: Predictor) -> Wiring:
    """All pairs that can carry attention, also those that are no link of the table."""
    pairs = sp.csc_matrix(predictor.candidates)
    gene = np.repeat(np.arange(pairs.shape[1]), np.diff(pairs.indptr))
    tf = pairs.indices.astype(np.int64)
    return Wiring(tf, gene, np.ones((tf.size, 1), dtype=bool), np.zeros(tf.size, dtype=np.int8), predictor.genes.size)
