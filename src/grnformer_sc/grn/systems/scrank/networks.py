"""The network of a group of cells: samples, regressions, their join, and one direction for every pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float, Int
from joblib import Parallel, delayed

from ...._core.rng import generator
from ...._core.rows import Rows
from ...._core.tables import edge_table, eregulon_name, places_in
from ...embedding import log_normalise
from ...tf_gene import share_below
from .options import PcnetOptions
from .regression import pc_network
from .tensor import decompose

FEWEST_CELLS = 26  # of a group
SMALL_GROUP = 100  # cells up to which samples have a fixed size
SMALL_SAMPLE = 25
MATRICES = 10  # genes x genes of float64 that a regression holds


def group_network(
    counts: Rows, cells: np.ndarray, options: PcnetOptions, *, root: int, name: str, n_jobs: int
) -> sp.csr_matrix:
    """Signed weights regulator -> gene of a group, in [-1, 1]; `cells` are its rows, ascending."""
    x = counts.take(cells)
    if options.normalize:
        x = log_normalise(x)
    tasks = (
        delayed(_sample)(x, options, generator(root, "pcnet", name, number)) for number in range(options.n_samples)
    )
    stack = Parallel(n_jobs=n_jobs, prefer="threads")(tasks)
    return direct(joined(stack, options.rank, options.decimals), options.two_way)


def _sample(x: sp.csr_matrix, options: PcnetOptions, rng: np.random.Generator) -> sp.csr_matrix:
    """Network of cells drawn with replacement: half as many as there are, 25 of a small group."""
    n = x.shape[0]
    rows = rng.integers(0, n, n // 2 if n > SMALL_GROUP else SMALL_SAMPLE)
    return pc_network(x[np.sort(rows)], options.n_components, float(options.quantile))


def joined(stack: list[sp.csr_matrix], rank: int, decimals: int) -> Float[np.ndarray, "genes genes"]:
    """Mean of the decomposed stack in units of its largest weight, rounded."""
    mean = decompose(stack, rank).mean()
    return np.round(mean / np.abs(mean).max(), decimals)


def direct(coefficients: Float[np.ndarray, "genes genes"], two_way: float) -> sp.csr_matrix:
    """Weights regulator -> gene: a pair counts in full in the direction where it is stronger, and a little in the other.

    The transpose of `two_way` A + (1 - `two_way`) B, where B is A with the weaker entry of every pair set to 0.
    """
    stronger = np.where(np.abs(coefficients) < np.abs(coefficients.T), 0, coefficients)
    out = (two_way * coefficients + (1 - two_way) * stronger).T
    np.fill_diagonal(out, 0)
    return sp.csr_matrix(out)


def needed_bytes(n_genes: int, n_jobs: int) -> float:
    """Memory of the regressions that run at a time."""
    return 8.0 * MATRICES * n_jobs * n_genes**2


@dataclass(frozen=True, slots=True)
class GroupNetworks:
    """Signed weights regulator -> gene of every group; a group without a network has an empty one."""

    genes: pd.Index
    names: tuple[str, ...]
    weights: Sequence[sp.csr_matrix]

    def to_uns(self) -> dict[str, Any]:
        """All networks below each other as one matrix, and the names of the genes."""
        return {"networks": sp.vstack(self.weights, "csr"), "genes": self.genes.to_numpy(dtype=object)}

    @classmethod
    def from_uns(cls, stored: Mapping[str, Any]) -> GroupNetworks:
        """Read what a network stores."""
        genes = pd.Index(stored["genes"]).astype(str)
        stack, names = sp.csr_matrix(stored["networks"]), tuple(str(name) for name in stored["group_names"])
        weights = [stack[k * genes.size : (k + 1) * genes.size] for k in range(len(names))]
        return cls(genes, names, weights)

    def edges(self, regulators: Int[np.ndarray, " regulators"]) -> tuple[pd.DataFrame, sp.csr_matrix]:
        """Links of the regulators in any group, and in which groups each holds.

        A link of both signs has two rows. `tf_gene_importance` is the largest size in any group.
        """
        n = self.genes.size
        chosen = sp.diags_array(np.isin(np.arange(n), regulators).astype(np.float64))
        parts = [sp.coo_matrix(chosen @ weights) for weights in self.weights]
        code = np.concatenate([(p.row.astype(np.int64) * n + p.col) * 2 + (p.data > 0) for p in parts])
        size = np.concatenate([np.abs(p.data) for p in parts])
        found, row = np.unique(code[size > 0], return_inverse=True)
        if not found.size:
            return edge_table({}), sp.csr_matrix((0, len(self.names)), dtype=bool)
        largest = np.zeros(found.size)
        np.maximum.at(largest, row, size[size > 0])
        (tf, gene), sign = np.divmod(found // 2, n), np.where(found % 2, 1, -1)
        names = self.genes[tf]
        table = edge_table({
            "tf": names, "gene": self.genes[gene], "tf_gene_importance": largest, "sign": sign, "evidence": "none",
            "score": share_below(largest), "eregulon": [eregulon_name(*part, 0) for part in zip(names, sign, strict=True)],
        })  # fmt: skip
        tf, gene = places_in(self.genes, table["tf"]), places_in(self.genes, table["gene"])
        holds = [np.sign(np.asarray(weights[tf, gene]).ravel()) == table["sign"].to_numpy() for weights in self.weights]
        return table, sp.csr_matrix(np.stack(holds, axis=1))
