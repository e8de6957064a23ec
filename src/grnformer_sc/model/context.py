"""What a model keeps of its training cells: rates, neighbours, co-expression. Held-out cells have no part in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float64

from .._core.rng import seed_for
from ..data.batch import Collator, TokenSpec
from ..data.fields import CellData
from ..data.gates import Reference, build_gate, resolve_gate
from ..data.visible import gene_rates, group_rates
from ..grn.coexpression import Partners, coexpression_partners
from ..grn.embedding import log_normalise
from ..grn.network import Network
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
    def fit(cls, cells: CellData, network: Network, config: ModelConfig, *, root: int) -> Context:
        """Compute the context from training cells."""
        rates = gene_rates(cells.counts)
        n_groups = len(network.group_names)
        in_genes = cells.genes.get_indexer(pd.unique(network.eregulons["tf"].astype(str)))
        tfs = np.sort(in_genes[in_genes >= 0])
        return cls(
            gate=resolve_gate(config.gate, cells) if config.use_grn else "neighbour",
            rates=rates,
            group_rates=group_rates(cells.counts, cells.codes, n_groups, rates),
            mean_size=float(cells.counts.sum(dtype=np.float64) / cells.n_cells),
            reference=Reference.fit(cells, seed=seed_for(root, "reference")),
            partners=coexpression_partners(log_normalise(cells.counts), cells.codes, n_groups, tfs),
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
