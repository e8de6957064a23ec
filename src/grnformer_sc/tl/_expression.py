"""Log-normalised expression of cells, from counts or as it is stored, in blocks; means and samples of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float, Int

from .._core.checks import fail, stored_values
from .._core.inputs import open_rows
from .._core.rows import Rows, members, row_sums
from ..grn.embedding import SCALE, log_normalise
from ..grn.response import Cells

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

HIGHEST_LOG = 15.0  # of log1p of counts per cell, whatever the scale


@dataclass(frozen=True, slots=True)
class Expression:
    """Cells x genes in the order of gene names; counts are log-normalised as they are read."""

    rows: Rows
    depth: Float[np.ndarray, " cells"] | None
    genes: pd.Index
    by_name: Int[np.ndarray, " genes"]

    def _log(self, part: sp.csr_matrix, cells: np.ndarray | slice) -> sp.csr_matrix:
        return part if self.depth is None else log_normalise(part, size=self.depth[cells])

    def blocks(self) -> Iterator[tuple[int, sp.csr_matrix]]:
        """Log-normalised expression, block by block."""
        for first, part in self.rows.blocks():
            yield first, self._log(part, slice(first, first + part.shape[0]))

    def take(self, cells: Int[np.ndarray, " taken"]) -> sp.csr_matrix:
        """Log-normalised expression of some cells."""
        return self._log(self.rows.take(cells), cells)

    def cells(self, chosen: Int[np.ndarray, " taken"], codes: Int[np.ndarray, " taken"], n_groups: int) -> Cells:
        """Some cells for the fits of `grn.response`, which take counts: log values are turned back, to the same logs."""
        part = self.rows.take(chosen)
        if self.depth is not None:
            return Cells(Rows(part), self.depth[chosen], codes, n_groups)
        part = part.copy()
        part.data = np.expm1(part.data)
        return Cells(Rows(part), np.full(chosen.size, SCALE), codes, n_groups)

    def sums(self, code: Int[np.ndarray, " cells"], n: int) -> Float[np.ndarray, "codes genes"]:
        """Sum of the cells of every code; cells of code -1 are left out."""
        out = np.zeros((n, self.rows.shape[1]))
        for first, part in self.blocks():
            member = members(code[first : first + part.shape[0]], n)
            out += (member @ part.astype(np.float64)).toarray()
        return out


def open_expression(adata: AnnData, layer: str | None) -> Expression:
    """Open `X` or a layer: whole numbers are counts, anything else is taken as log-normalised already (logged)."""
    rows = open_rows(adata, layer, what="expression", counts=False)
    by_name = np.argsort(adata.var_names.to_numpy(dtype=str), kind="stable")
    genes = adata.var_names[by_name].astype(str)
    first = stored_values(rows.source if rows.in_memory else rows.block(0, min(1000, rows.shape[0])))
    if first.size and np.array_equal(first, np.rint(first)):
        return Expression(replace(rows, columns=by_name), row_sums(rows)[0], genes, by_name)
    if first.size and first.max() > HIGHEST_LOG:
        raise fail(
            ValueError, "expression must be raw counts or log-normalised.",
            f"fractions up to {first.max():.4g}.", "take the log (sc.pp.log1p), or name the layer of counts with layer=.",
        )  # fmt: skip
    logger.info("values are no whole numbers: taken as log-normalised expression")
    return Expression(replace(rows, columns=by_name), None, genes, by_name)
