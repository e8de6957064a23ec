"""What a published system with inputs of its own reads, and the network that it hands back."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._core.checkpoint import NO_CHECKPOINT, Checkpoint
from .._core.checks import fail, listing, need_between
from .._core.inputs import find_group
from .._core.settings import settings
from ..get._read import rna_of
from ..grn.score import CellInput
from ..priors import tf_names
from ._evidence import read_evidence
from ._inputs import ordered_cells
from ._read import Read

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

FEWEST_CELLS = 10


@dataclass(frozen=True, slots=True)
class SystemInput:
    """The user's object, checked counts with genes in name order, groups, regulators that were named, finished parts."""

    data: Any
    rna: AnnData
    cells: CellInput
    groups: pd.Series
    regulators: pd.Index | None
    root: int
    n_jobs: int
    checkpoint: Checkpoint = NO_CHECKPOINT

    def column(self, name: str, option: str) -> pd.Series:
        """Text of a column of obs, wherever it is; `option` is what an error calls it."""
        return find_group(self.data, self.rna, None, name, option=option).astype(str)

    def times(self, name: str) -> np.ndarray:
        """Numbers of the column that `time_key` names."""
        return times_of(self.data, self.rna, name)


@dataclass(frozen=True, slots=True)
class EvidenceInput:
    """The user's object, and what the default method reads: counts, groups, a prior or motif hits with candidate regions."""

    data: Any
    read: Read
    root: int
    n_jobs: int

    def times(self, name: str) -> np.ndarray:
        """Numbers of the column that `time_key` names."""
        return times_of(self.data, self.rna, name)

    @property
    def rna(self) -> AnnData:
        """The RNA, where the network is written."""
        return self.read.rna

    @property
    def groups(self) -> pd.Series:
        """Group of every cell."""
        return self.read.groups


def times_of(data: Any, rna: AnnData, name: str) -> np.ndarray:
    """Numbers of the column of obs that `time_key` names, wherever it is."""
    text = find_group(data, rna, None, name, option="time_key").astype(str)
    times = pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64)
    if not np.isfinite(times).all():
        raise fail(
            ValueError, f"times must be numbers: those of {name!r}.",
            f"{listing(sorted(set(text[~np.isfinite(times)])))}.", "write them as numbers, all in one unit.",
        )  # fmt: skip
    return times


@dataclass(frozen=True, slots=True)
class SystemNetwork:
    """Edge table, in which groups each link holds, what is stored beside it, counts of what was dropped, values of cells."""

    edges: pd.DataFrame
    holds: sp.csr_matrix
    stored: dict[str, Any]
    dropped: dict[str, int] = field(default_factory=dict)
    of_cells: dict[str, sp.csr_matrix] = field(default_factory=dict)


def read_input(
    data: Any, *, groupby: str | None, tfs: Any, rna: str, layer: str | None, root: int, n_jobs: int,
    checkpoint: Checkpoint = NO_CHECKPOINT,
) -> SystemInput:  # fmt: skip
    """Check counts and groups, and read the names of regulators where they are given."""
    adata = rna_of(data, rna)
    need_between(adata.n_obs, FEWEST_CELLS, float("inf"), name="number of cells")
    groups = find_group(data, adata, None, groupby)
    names = None if tfs is None else read_evidence(adata, None, tfs, None, None)[0]
    codes = groups.cat.codes.to_numpy().astype(np.int64)
    cells, _, _ = ordered_cells(adata, None, codes, layer=layer, atac_layer=None)
    return SystemInput(data, adata, cells, groups, names, root, n_jobs, checkpoint)


def regulators_in(given: SystemInput, known: np.ndarray, *, where: str, fix: str) -> tuple[np.ndarray, int]:
    """Places of the regulators among the genes that are `known`, and the number of the others; some must be."""
    regulators = tf_names(given.cells.genes) if given.regulators is None else given.regulators
    tfs = given.cells.genes.get_indexer(regulators)
    there = known[tfs]
    if not there.any():
        raise fail(
            ValueError, f"a regulator must be in {where}.", f"none of {listing(regulators)}.",
            f"name others with tfs=, or {fix}.",
        )  # fmt: skip
    return tfs[there].astype(np.int64), int((~there).sum())


def need_memory(method: str, needed: float, n_genes: int) -> None:
    """Raise `ValueError` when a system would hold more than `settings.max_memory` allows."""
    if needed > settings.max_bytes:
        raise fail(
            ValueError, f"method={method!r} must stay below settings.max_memory = {settings.max_memory!r}.",
            f"about {needed / 1e9:.2g} GB for {n_genes} genes.", "leave out genes, use fewer n_jobs, or raise the limit.",
        )  # fmt: skip


def need_cells(method: str, size: np.ndarray, names: list[str], fewest: int) -> int:
    """Number of groups with too few cells, which are logged; raise `ValueError` when that is all of them."""
    few = [name for name, n in zip(names, size, strict=True) if n < fewest]
    if len(few) == len(names):
        raise fail(
            ValueError, f"a network needs {fewest} cells of a group.", f"at most {size.max()}.",
            "merge groups, or leave groupby out.",
        )  # fmt: skip
    if few:
        logger.info("%s: no network of %s, which have fewer than %d cells", method, listing(few), fewest)
    return len(few)
