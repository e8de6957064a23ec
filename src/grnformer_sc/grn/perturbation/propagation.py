"""Changes of perturbed genes carried along the links of a network, learnt from control cells alone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Int

from ..response import Cells, Moments, Response, linear_response, moments_of
from ..simulate_ko import Perturbation, propagate
from ..wiring import Wiring
from .shifts import Genes, Wanted


@dataclass(frozen=True, slots=True)
class Carrier:
    """Control cells of every context as means, and how their genes answer to their TFs."""

    moments: Moments
    respond: Response
    place: dict[str, int]
    level: float
    n_steps: int
    known: dict[tuple[Genes, int], np.ndarray] = field(default_factory=dict)  # changes by condition

    def __call__(self, wanted: Wanted) -> Float[np.ndarray, "conditions genes"]:
        """Change of every condition; none where no perturbed gene is measured."""
        out = np.zeros((len(wanted), self.moments.mean.shape[1]))
        for row, (genes, context) in enumerate(zip(wanted.genes, wanted.context.tolist(), strict=True)):
            if (genes, context) not in self.known:
                self.known[genes, context] = self._change(genes, context)
            out[row] = self.known[genes, context]
        return out

    def _change(self, genes: Genes, context: int) -> np.ndarray:
        at = np.array(sorted(self.place[gene] for gene in genes if gene in self.place), dtype=np.int64)
        moments = self.moments
        if not at.size:
            return np.zeros(moments.mean.shape[1])
        levels = np.minimum(np.full(at.size, self.level), moments.high[at])
        held = Perturbation(at, levels, moments.low, moments.high, self.n_steps)
        return propagate(moments.mean[[context]], np.array([context]), held, self.respond)[0]


def carrier(cells: Cells, wiring: Wiring, place: dict[str, int], *, level: float, n_steps: int) -> Carrier:
    """Fit every gene to its TFs by ridge in the control cells, as in `tl.simulate_ko`.

    `level` is the log-normalised expression at which perturbed genes are held; infinity is the highest of any control cell.
    A link carries a change in every context.
    """
    anywhere = np.asarray(wiring.holds.any(axis=1))
    holds = np.repeat(anywhere[:, None], cells.n_groups, axis=1)
    wiring = replace(wiring, holds=holds)
    moments = moments_of(cells, wiring)
    return Carrier(moments, linear_response(moments, wiring), place, level, n_steps)


def no_links(n_genes: int, n_contexts: int) -> Wiring:
    """A wiring without links: only the perturbed gene itself changes."""
    none: Int[np.ndarray, " none"] = np.empty(0, dtype=np.int64)
    return Wiring(none, none, np.zeros((0, n_contexts), dtype=bool), none.astype(np.int8), n_genes)
