"""RENGE in `build_grn`: which cells lack which gene at which time, and what is stored."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._core.checks import fail, listing
from .._core.rows import Rows
from ..grn.eregulons import EregulonSettings
from ..grn.systems.renge.network import Renge, edges_of, infer, needed_bytes
from ..grn.systems.renge.options import RengeOptions
from ..grn.systems.renge.predict import Predictor
from ..grn.systems.renge.sums import Design
from ._systems import SystemInput, SystemNetwork, need_memory

logger = logging.getLogger(__name__)

FEWEST_CELLS = 3  # of a knock-out, whose variance is needed
MODEL, SEARCH, Q_VALUES = "model", "search", "q_values"  # in uns, beside the slots of every network


def infer_renge(given: SystemInput, options: RengeOptions) -> SystemNetwork:
    """Fit RENGE to the cells whose knock-out is known, and lay out its links."""
    kept, design, dropped = read_design(given, options)
    genes, counts = given.cells.genes, given.cells.counts
    need_memory("renge", needed_bytes(design.times.size, design.knocked.size, genes.size, given.n_jobs), genes.size)
    if not kept.all():
        counts = Rows(counts.take(np.flatnonzero(kept)))
    found = infer(counts, design, options, root=given.root, n_jobs=given.n_jobs)
    _log(found, design, genes.size)
    # the effects of other genes are not identified: docs/explain/renge.md
    regulators = design.knocked if given.regulators is None else genes.get_indexer(given.regulators)
    edges = edges_of(found, genes, regulators, options.max_fdr, EregulonSettings())
    if not len(edges):
        raise fail(
            ValueError, "a network needs at least one link.",
            f"none with a q-value of at most {options.max_fdr:g} among {regulators.size} regulators of {genes.size} genes.",
            "raise options={'max_fdr': ...}, or add cells.",
        )  # fmt: skip
    holds = sp.csr_matrix(np.ones((len(edges), 1), dtype=bool))
    return SystemNetwork(edges, holds, _stored(found, genes), dropped)


def read_design(given: SystemInput, options: RengeOptions) -> tuple[np.ndarray, Design, dict[str, int]]:
    """Which cells are used, their times and knock-outs, and the numbers of those left out."""
    label = given.column(options.perturbation_key, "perturbation_key").to_numpy()
    genes = given.cells.genes
    control = label == options.control
    if not control.any():
        raise fail(
            ValueError, f"some cells must have no knock-out: the label {options.control!r} in "
            f"{options.perturbation_key!r}.", f"{listing(np.unique(label), 30)}.",
            "name the label of the control cells: options={'control': ...}.",
        )  # fmt: skip
    known = control | np.isin(label, genes)
    size = pd.Series(label[~control & known]).value_counts()
    seen = _expressed(given.cells.counts, control)
    many = size.index[size >= FEWEST_CELLS]
    used = sorted(many[seen[genes.get_indexer(many)]])
    kept = control | np.isin(label, used)
    if not used:
        raise fail(
            ValueError, f"some gene must be knocked out in {FEWEST_CELLS} cells and be expressed in control cells.",
            f"labels {listing(np.unique(label), 30)}, genes {listing(genes, 5)}.",
            "use the gene names of the data in the column of knock-outs.",
        )  # fmt: skip
    dropped = {
        "cells_with_knockouts_not_in_genes": int((~known).sum()), "cells_with_knockouts_unused": int((known & ~kept).sum()),
    }  # fmt: skip
    for reason, number in dropped.items():
        if number:
            logger.info("renge: %d %s left out", number, reason.replace("_", " "))
    value = np.zeros(given.rna.n_obs) if options.time_key is None else given.times(options.time_key)
    times, time = np.unique(value[kept], return_inverse=True)
    knocked = genes.get_indexer(pd.Index(used)).astype(np.int64)
    knockout = pd.Index(used).get_indexer(pd.Index(label[kept]))
    return kept, Design(time, np.where(knockout < 0, knocked.size, knockout), times, knocked), dropped


def _expressed(counts: Rows, control: np.ndarray) -> np.ndarray:
    """Genes with a count in some control cell."""
    out = np.zeros(counts.shape[1], dtype=bool)
    for first, part in counts.blocks():
        out[part[np.flatnonzero(control[first : first + part.shape[0]])].indices] = True
    return out


def _log(found: Renge, design: Design, n_genes: int) -> None:
    shape, fitted = found.shape, found.fitted
    logger.info(
        "renge: %d genes, %d knock-outs, %d times; penalty %.4g, l1_ratio %.4g, %d hops; loss %.6g after %d steps",
        n_genes, design.knocked.size, design.times.size, shape.penalty, shape.l1_ratio, shape.n_hops, fitted.loss,
        fitted.n_steps,
    )  # fmt: skip


def _stored(found: Renge, genes: pd.Index) -> dict[str, Any]:
    """What `uns` keeps beside the network: the model, what was tried, and the q-values of all pairs."""
    model = Predictor(genes, found.times, found.fitted.model, found.shape.n_hops, found.doses.baseline)
    shape = {"penalty": float(found.shape.penalty), "l1_ratio": float(found.shape.l1_ratio), "loss": found.fitted.loss}
    out: dict[str, Any] = {MODEL: {**model.to_uns(), **shape}}
    if found.q is not None:
        out[Q_VALUES] = found.q.T.copy()
    if found.tried:
        rows = [(t.shape.penalty, t.shape.l1_ratio, t.shape.n_hops, t.r2) for t in found.tried]
        table = pd.DataFrame(rows, columns=["penalty", "l1_ratio", "n_hops", "r2"])
        out[SEARCH] = table.set_index(table.index.astype(str))
    return out
