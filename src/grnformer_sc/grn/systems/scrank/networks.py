"""The network of a group of cells: samples, regressions, their join, and one direction for every pair."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float
from joblib import Parallel, delayed

from ...._core.rng import generator
from ...._core.rows import Rows
from ...embedding import log_normalise
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
