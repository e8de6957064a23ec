"""RENGE from cells to an edge table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float, Int
from threadpoolctl import threadpool_limits

from ...._core.rows import Rows
from ...embedding import log_normalise
from ...eregulons import EregulonSettings, correlation_regulons
from ..groups import signed_edges
from .fit import Fitted, fit
from .model import Shape, terms_of
from .options import RengeOptions
from .search import Tried, search
from .significance import bootstrap_errors, q_values
from .sums import Design, Doses, Sums, doses_of, sums_of

MATRICES = 40  # genes x genes of float64 that a fit holds, most of them in the memory of L-BFGS
SUMS = 12  # times x knock-outs x genes


@dataclass(frozen=True, slots=True)
class Renge:
    """A fitted model with all that predictions and tables need."""

    times: Float[np.ndarray, " times"]
    shape: Shape
    fitted: Fitted
    doses: Doses
    q: Float[np.ndarray, "genes genes"] | None
    tried: list[Tried]


def log_counts(counts: sp.csr_matrix) -> sp.csr_matrix:
    """log(1 + count)."""
    out = counts.astype(np.float64)
    out.data = np.log1p(out.data)
    return out


def infer(counts: Rows, design: Design, options: RengeOptions, *, root: int, n_jobs: int) -> Renge:
    """Weigh the cells, choose the settings that are open, fit, and draw cells anew for q-values."""
    expression = log_normalise if options.normalize else log_counts
    with threadpool_limits(1):
        doses = doses_of(counts, expression, design)
        sums = sums_of(counts, expression, design, doses.dose)
        shape, tried = chosen_shape(sums, options, n_jobs)
        fitted = fit(terms_of(sums), shape)
        q = None
        if options.n_bootstrap:
            error = bootstrap_errors(
                counts, expression, design, doses.dose, shape, fitted.model.effect, root=root,
                n_bootstrap=options.n_bootstrap, n_jobs=n_jobs,
            )  # fmt: skip
            q = q_values(fitted.model.effect, error)
    return Renge(design.times, shape, fitted, doses, q, tried)


def chosen_shape(sums: Sums, options: RengeOptions, n_jobs: int) -> tuple[Shape, list[Tried]]:
    """Settings as given, or the best of those that were tried."""
    given = options.penalty, options.l1_ratio, options.n_hops
    if options.penalty is not None and options.l1_ratio is not None and options.n_hops is not None:
        return Shape(penalty=options.penalty, l1_ratio=options.l1_ratio, n_hops=options.n_hops), []
    tried = search(sums, penalty=given[0], l1_ratio=given[1], n_hops=given[2], n_folds=options.n_folds, n_jobs=n_jobs)
    return tried[0].shape, tried


def needed_bytes(n_times: int, n_knocked: int, n_genes: int, n_jobs: int) -> float:
    """Memory of the fits that run at a time."""
    return 8.0 * n_jobs * (MATRICES * n_genes**2 + SUMS * n_times * (n_knocked + 1) * n_genes)


def edges_of(
    found: Renge, genes: pd.Index, regulators: Int[np.ndarray, " regulators"], max_fdr: float, rules: EregulonSettings
) -> pd.DataFrame:
    """Links of the regulators: those with a small q-value, or without any by the rules of other methods."""
    effect = found.fitted.model.effect[:, regulators].T
    columns: dict[str, Any] = {}
    if found.q is None:
        modules = correlation_regulons(np.abs(effect), np.sign(effect), rules)
        tf, gene = modules.tf, modules.gene
        columns["support"] = modules.support
    else:
        q = found.q[:, regulators].T
        tf, gene = np.nonzero((q <= max_fdr) & (effect != 0))
        columns["tf_gene_fdr"] = columns["fdr"] = q[tf, gene]
    return signed_edges(genes[regulators[tf]], genes[gene], effect[tf, gene], **columns)
