"""From rows of a count matrix to a `CellBatch`: mask, size factor, tokens and bits, for all cells at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Bool, Float32, Float64, Int64

from .._core.checks import fail, need_between
from ..nn.batch import CellBatch
from .fields import UNKNOWN, CellData
from .gates import Gate, Reference
from .visible import VisibleCounts, hide, quantile_edges, thin


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSpec:
    """How a cell becomes tokens.

    Attributes
    ----------
    mask_ratio
        Share of all measured genes that is masked, expressed or not.
    max_tokens
        Visible expressed genes per cell; beyond it a random subset.
    max_queries
        Masked genes per cell whose counts are predicted; beyond it a random subset.
    n_bins
        Quantile bins of the visible counts of a cell, bin 0 (not expressed) included, for backbones that read bins.
    thinned
        Thin half of the training cells, for backbones that learn from sequencing depth.
    swap_types
        Share of the training cells that get the network of another type, so that a type's network is no label.
    """

    mask_ratio: float = 0.25
    max_tokens: int = 1024
    max_queries: int = 64
    n_bins: int = 51
    thinned: bool = False
    swap_types: float = 0.0

    def __post_init__(self) -> None:
        need_between(self.mask_ratio, 0, 0.95, name="mask_ratio")
        need_between(self.swap_types, 0, 1, name="swap_types")
        for name, low in (("max_tokens", 1), ("max_queries", 1), ("n_bins", 3)):
            if getattr(self, name) < low:
                raise fail(ValueError, f"{name} must be at least {low}.", f"{getattr(self, name)}.", "raise it.")


@dataclass(frozen=True, slots=True)
class Collator:
    """Builds the batches of one data set; everything that depends on training cells is fixed at birth.

    Attributes
    ----------
    cells
        The data.
    gate
        Source of the bits.
    kept
        Which eRegulon a group keeps.
    rates
        Share of each gene in all counts of the training cells.
    mean_size
        Mean total count of the training cells; `log_size` is relative to it.
    spec
        How a cell becomes tokens.
    reference
        Training cells, for the group of cells that carry no known label.
    """

    cells: CellData
    gate: Gate
    kept: Bool[np.ndarray, "groups eregulons"]
    rates: Float64[np.ndarray, " genes"]
    mean_size: float
    spec: TokenSpec
    reference: Reference

    def __post_init__(self) -> None:
        if self.spec.swap_types and self.kept.shape[0] < 2:
            raise fail(
                ValueError, "swap_types needs a network of two types or more.", f"{self.kept.shape[0]}.",
                "leave swap_types at 0, or build the network with groupby=.",
            )  # fmt: skip

    def __call__(
        self,
        index: Int64[np.ndarray, " cells"],
        rng: np.random.Generator | None,
        *,
        mask: bool = True,
        training: bool = False,
        counts: sp.csr_matrix | None = None,
    ) -> CellBatch:
        """Build the batch of the cells `index`; without `rng` genes have one fixed order (same cell, same tokens).

        `counts` are those of the cells, where they have been read already.
        """
        rows = self.cells.counts.take(index) if counts is None else counts
        keys = _keys(rows.shape, rng)
        keys[:, ~self.cells.measured] = np.inf
        masked, queries = choose_masked(keys, int(self.cells.measured.sum()), self.spec, mask=mask)
        hidden = masked | ~self.cells.measured
        visible = hide(rows, hidden, self.rates)
        codes = self._codes(visible, index)
        if training and self.spec.swap_types and rng is not None:
            codes = swap_groups(codes, self.spec.swap_types, n_groups=self.kept.shape[0], rng=rng)
        bits = self.gate.bits(visible, index) & self.kept[codes]
        seen = thin(visible, rng) if training and self.spec.thinned and rng is not None else visible
        genes, values, padding = lay_out(seen.counts, keys, self.spec)
        n_visible = genes.shape[1]
        pad = [(0, 0), (0, queries.shape[1])]
        genes = np.concatenate([genes, queries], axis=1)
        masked_token = np.zeros(genes.shape, dtype=bool)
        masked_token[:, n_visible:] = True
        asked = np.zeros(genes.shape, dtype=np.float32)
        asked[:, n_visible:] = np.take_along_axis(rows.toarray(), queries, axis=1)
        return CellBatch(
            genes=torch.from_numpy(genes),
            values=torch.from_numpy(np.pad(values, pad)),
            masked=torch.from_numpy(masked_token),
            padding=torch.from_numpy(np.pad(padding, pad)),
            counts=torch.from_numpy(asked),
            log_size=torch.from_numpy(np.log(visible.size / self.mean_size).astype(np.float32)),
            group=torch.from_numpy(codes),
            bits=torch.from_numpy(bits),
            visible=torch.from_numpy(seen.counts.toarray() > 0),
            shown=torch.from_numpy(~hidden),
            edges=torch.from_numpy(quantile_edges(seen.counts, self.spec.n_bins)),
            depth=torch.from_numpy(np.log10(np.stack([visible.size, seen.size], axis=1)).astype(np.float32)),
        )

    def _codes(self, visible: VisibleCounts, index: Int64[np.ndarray, " cells"]) -> Int64[np.ndarray, " cells"]:
        codes = self.cells.codes[index]
        lost = codes == UNKNOWN
        if lost.any():
            nearest = self.reference.find(visible, np.full(index.size, -1))
            codes = np.where(lost, self.reference.groups(nearest), codes)
        return codes


def _keys(shape: tuple[int, int], rng: np.random.Generator | None) -> Float32[np.ndarray, "cells genes"]:
    """One random key per cell and gene. All choices come from it, so none depends on which counts are zero."""
    if rng is not None:
        return rng.random(shape, dtype=np.float32)
    fixed = np.random.default_rng(0).random(shape[1], dtype=np.float32)
    return np.tile(fixed, (shape[0], 1))


def swap_groups(
    codes: Int64[np.ndarray, " cells"], share: float, *, n_groups: int, rng: np.random.Generator
) -> Int64[np.ndarray, " cells"]:
    """Give a share of the cells another of two or more groups, any of the others alike."""
    other = (codes + rng.integers(1, n_groups, codes.size)) % n_groups
    return np.where(rng.random(codes.size) < share, other, codes)


def choose_masked(
    keys: Float32[np.ndarray, "cells genes"], n_measured: int, spec: TokenSpec, *, mask: bool
) -> tuple[Bool[np.ndarray, "cells genes"], Int64[np.ndarray, "cells queries"]]:
    """Mask the genes with the smallest keys; the first of them become queries (sorted by gene)."""
    masked = np.zeros(keys.shape, dtype=bool)
    n_masked = min(max(1, round(spec.mask_ratio * n_measured)), n_measured - 1)
    if not mask or spec.mask_ratio == 0:
        return masked, np.empty((keys.shape[0], 0), dtype=np.int64)
    n_queries = min(n_masked, spec.max_queries)
    order = np.argpartition(keys, [n_queries - 1, n_masked - 1], axis=1)
    np.put_along_axis(masked, order[:, :n_masked], values=True, axis=1)
    return masked, np.sort(order[:, :n_queries], axis=1)


def _chosen(
    counts: sp.csr_matrix, keys: Float32[np.ndarray, "cells genes"], limit: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Cell, gene and count of the visible genes, at most so many per cell (those of the smallest keys), in gene order."""
    per_cell = np.diff(counts.indptr)
    row = np.repeat(np.arange(counts.shape[0]), per_cell)
    if per_cell.max(initial=0) <= limit:
        return row, counts.indices, counts.data, per_cell
    order = np.lexsort((keys[row, counts.indices], row))
    chosen = np.sort(order[np.arange(row.size) - counts.indptr[row] < limit])
    return row[chosen], counts.indices[chosen], counts.data[chosen], np.minimum(per_cell, limit)


def lay_out(
    counts: sp.csr_matrix, keys: Float32[np.ndarray, "cells genes"], spec: TokenSpec
) -> tuple[Int64[np.ndarray, "cells tokens"], Float32[np.ndarray, "cells tokens"], Bool[np.ndarray, "cells tokens"]]:
    """Lay the visible expressed genes of every cell out in a padded block (genes, counts, padding)."""
    n_cells = counts.shape[0]
    row, gene, value, per_cell = _chosen(counts, keys, spec.max_tokens)
    place = np.arange(row.size) - np.repeat(np.cumsum(per_cell) - per_cell, per_cell)
    shape = n_cells, int(per_cell.max(initial=0))
    genes, values, padding = (
        np.zeros(shape, dtype=np.int64),
        np.zeros(shape, dtype=np.float32),
        np.ones(shape, dtype=bool),
    )
    genes[row, place], values[row, place], padding[row, place] = gene, value, False
    return genes, values, padding
