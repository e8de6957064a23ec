"""What a model keeps of its training cells: rates, neighbours, co-expression. Held-out cells have no part in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float64, Int64

from .._core.rng import generator, seed_for
from ..data.batch import Collator, TokenSpec
from ..data.fields import CellData
from ..data.gates import Reference, build_gate, resolve_gate
from ..data.visible import count_rates
from ..grn.coexpression import Partners, coexpression_partners
from ..grn.embedding import FITTED_CELLS, log_normalise
from ..grn.network import Network
from ..grn.pooling import sample_cells
from .config import ModelConfig

REFERENCE, PARTNERS = ("loadings", "mean", "scores", "codes"), ("group", "tf", "gene", "r")


@dataclass(frozen=True, slots=True)
class Context:
    """Everything that was computed from training cells before the first step.

    Attributes
    ----------
    gate
        The gate that was chosen.
    rates, group_rates
        Share of each gene in all counts, over all cells and per group.
    mean_size
        Mean total count of a cell.
    reference
        Cells among which neighbours are found.
    partners
        Co-expression links for edge perturbation.
    """

    gate: Literal["region", "neighbour", "gene"]
    rates: Float64[np.ndarray, " genes"]
    group_rates: Float64[np.ndarray, "groups genes"]
    mean_size: float
    reference: Reference
    partners: Partners

    @classmethod
    def fit(
        cls, cells: CellData, train: Int64[np.ndarray, " train"], network: Network, config: ModelConfig, *, root: int
    ) -> Context:
        """Compute the context from the training cells.

        Rates come from all of them, components and co-expression from a sample that is held in memory.
        """
        n_groups = len(network.group_names)
        rates = count_rates(cells.counts, cells.codes, n_groups, train)
        sample = cells.take(_sample(cells, train, root))
        in_genes = cells.genes.get_indexer(pd.unique(network.eregulons["tf"].astype(str)))
        tfs = np.sort(in_genes[in_genes >= 0])
        return cls(
            gate=resolve_gate(config.gate, cells) if config.use_grn else "neighbour",
            rates=rates.genes,
            group_rates=rates.groups,
            mean_size=rates.mean_size,
            reference=Reference.fit(sample, seed=seed_for(root, "reference")),
            partners=coexpression_partners(log_normalise(sample.counts.to_memory()), sample.codes, n_groups, tfs),
        )

    def collator(self, cells: CellData, network: Network, spec: TokenSpec) -> Collator:
        """Batches of a data set as this context sees it."""
        gate = build_gate(self.gate, cells, self.reference)
        return Collator(cells, gate, network.kept(), self.rates, self.mean_size, spec, self.reference)

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays (for safetensors) and the rest (for JSON)."""
        arrays = {"rates": self.rates, "group_rates": self.group_rates}
        arrays |= {f"reference.{name}": getattr(self.reference, name) for name in REFERENCE}
        arrays |= {f"partners.{name}": getattr(self.partners, name) for name in PARTNERS}
        bits = self.reference.stored
        arrays |= {"reference.bits.indices": bits.indices, "reference.bits.indptr": bits.indptr}
        rest = {
            "gate": self.gate,
            "mean_size": self.mean_size,
            "n_bits": bits.shape[1],
            "reference_cells": list(self.reference.cells),
        }
        return arrays, rest

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], rest: dict[str, Any]) -> Context:
        """Inverse of `to_arrays`."""
        indices, indptr = arrays["reference.bits.indices"], arrays["reference.bits.indptr"]
        bits = sp.csr_matrix((np.ones(indices.size, dtype=bool), indices, indptr), (indptr.size - 1, rest["n_bits"]))
        loadings, mean, scores, codes = (arrays[f"reference.{name}"] for name in REFERENCE)
        return cls(
            gate=rest["gate"],
            rates=arrays["rates"],
            group_rates=arrays["group_rates"],
            mean_size=rest["mean_size"],
            reference=Reference(loadings, mean, scores, bits, codes, pd.Index(rest["reference_cells"], dtype=object)),
            partners=Partners(*(arrays[f"partners.{name}"] for name in PARTNERS)),
        )


def _sample(cells: CellData, train: np.ndarray, root: int) -> np.ndarray:
    """Training cells, or so many of them as components are fitted to, every group by its size."""
    if train.size <= FITTED_CELLS:
        return train
    return train[sample_cells(cells.codes[train], FITTED_CELLS, generator(root, "sample"))]
