"""What is read for drug sensitivity: binary labels, genes of both sides by name, features of lines and cells."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._core.checks import fail, listing, need_key, need_unique
from .._core.inputs import open_rows, table_of
from .._core.labels import binary_labels
from .._core.settings import settings
from .._core.tables import alike, by_upper
from .._core.warnings import FewLinesWarning, LostGenesWarning, warn
from ..get._read import network_of
from ..grn.embedding import log_normalise
from ..model.sensitivity_features import (
    Features,
    SharedGenes,
    array_features,
    expression_features,
    regulon_features,
)

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

REGULONS = "regulons"
FEW = 20  # lines of a class below which a user is warned
FEWEST_SHARED = 10  # genes
LOST = 0.5  # share of the genes of the smaller side that may be missing without a warning


def labelled_lines(reference: AnnData, drug: str, n_splits: int) -> np.ndarray:
    """Labels of all lines; both classes must be there for every fold."""
    labels = binary_labels(table_of(reference.obs), drug, where="reference.obs")
    n_up, n_down = int((labels == 1).sum()), int((labels == 0).sum())
    if not n_up or not n_down:
        raise fail(
            ValueError, f"the lines must hold both classes of {drug!r}.", f"{n_up} sensitive, {n_down} resistant.",
            "choose another drug, or another threshold of the response.",
        )  # fmt: skip
    if min(n_up, n_down) < n_splits:
        raise fail(
            ValueError, f"each of the {n_splits} folds needs a line of both classes of {drug!r}.",
            f"{n_up} sensitive, {n_down} resistant.", "lower n_splits, or add lines.",
        )  # fmt: skip
    if min(n_up, n_down) < FEW:
        warn(
            FewLinesWarning, f"{FEW} lines of each class are the least that carries over.",
            f"{n_up} sensitive and {n_down} resistant lines for {drug!r}.", "take the result for a guess; add lines.",
        )  # fmt: skip
    return labels


def features_of(
    adata: AnnData, reference: AnnData, *, use_rep: str | None, ranks: bool, layer: str | None, key: str
) -> tuple[Features, dict[str, int]]:
    """The same features of all lines and all cells, and what is lost on the way."""
    need_unique(reference.obs_names, what="names of the lines (reference.obs_names)")
    if use_rep not in (None, REGULONS):
        return _embedding(adata, reference, str(use_rep))
    shared = shared_genes(reference.var_names, adata.var_names)
    lost = {
        "genes_of_lines": reference.n_vars - shared.names.size, "genes_of_cells": adata.n_vars - shared.names.size,
    }  # fmt: skip
    cells, lines = open_rows(adata, layer, what="expression of the cells", counts=False), _expression(reference)
    if use_rep == REGULONS:
        return regulon_features(lines, cells, shared, network_of(adata, key)), lost
    return expression_features(lines, cells, shared, "ranks" if ranks else "log"), lost


def shared_genes(of_lines: pd.Index, of_cells: pd.Index) -> SharedGenes:
    """Genes of both sides, by name and sorted; too few are an error, many lost ones a warning."""
    need_unique(of_lines, what="genes of the lines (reference.var_names)")
    need_unique(of_cells, what="genes of the cells (adata.var_names)")
    names = of_lines.intersection(of_cells).astype(str).sort_values()
    smaller = min(of_lines.size, of_cells.size)
    if names.size < min(FEWEST_SHARED, smaller):
        raise fail(
            ValueError, f"lines and cells must share {FEWEST_SHARED} genes.",
            f"{names.size}; lines {listing(of_lines, 3)}, cells {listing(of_cells, 3)}{_nearest(of_lines, of_cells)}.",
            "bring both to the same names with grs.pp.harmonize_genes.",
        )  # fmt: skip
    logger.info(
        "drug_sensitivity: %d genes shared by name, of %d of the lines and %d of the cells", names.size, of_lines.size,
        of_cells.size,
    )  # fmt: skip
    if names.size < LOST * smaller:
        warn(
            LostGenesWarning, "Most genes should be shared by lines and cells.",
            f"{names.size} of {of_lines.size} of the lines and {of_cells.size} of the cells{_nearest(of_lines, of_cells)}.",
            "bring both to the same names with grs.pp.harmonize_genes; genes that one side lacks are lost.",
        )  # fmt: skip
    return SharedGenes(names, of_lines.get_indexer(names), of_cells.get_indexer(names))


def _nearest(of_lines: pd.Index, of_cells: pd.Index) -> str:
    """Pairs of names that are almost alike, of genes without a partner."""
    spelled, pairs = dict(list(by_upper(of_cells).items())[:5000]), []
    for name in of_lines.difference(of_cells)[:20].astype(str):
        pairs += [f"{name} ~ {hit}" for hit in alike(name, spelled, n=1, cutoff=0.8)]
        if len(pairs) == 3:
            break
    return f"; nearest names {listing(pairs)}" if pairs else ""


def _expression(reference: AnnData) -> np.ndarray:
    """Expression of the lines, dense and on a log scale."""
    x = reference.X
    x = np.asarray(x.toarray() if sp.issparse(x) else x, dtype=np.float32)
    bad = ~np.isfinite(x)
    if bad.any():
        raise fail(
            ValueError, "expression of the lines must be finite.",
            f"{int(bad.sum())} missing or infinite values in {int(bad.any(axis=1).sum())} lines and "
            f"{int(bad.any(axis=0).sum())} genes.", "leave these lines or genes out, or impute them.",
        )  # fmt: skip
    if (x >= 0).all() and np.array_equal(x, np.rint(x)):
        logger.info("drug_sensitivity: the lines hold counts, which are log-normalised")
        return np.asarray(log_normalise(sp.csr_matrix(x)).toarray())
    return x


def _embedding(adata: AnnData, reference: AnnData, use_rep: str) -> tuple[Features, dict[str, int]]:
    """An array of obsm that both objects have; tables are matched by their columns."""
    for side, where in ((adata, "adata.obsm"), (reference, "reference.obsm")):
        need_key(side.obsm, use_rep, where=where, fix=f"embed lines and cells alike, or use_rep=None or {REGULONS!r}.")
    cells, lines = adata.obsm[use_rep], reference.obsm[use_rep]
    lost: dict[str, int] = {}
    if isinstance(cells, pd.DataFrame) and isinstance(lines, pd.DataFrame):
        names = lines.columns.intersection(cells.columns)
        lost = {"columns_of_lines": lines.shape[1] - names.size, "columns_of_cells": cells.shape[1] - names.size}
        cells, lines = cells[names], lines[names]
    else:
        names = pd.Index([f"{use_rep}_{k}" for k in range(np.shape(cells)[1])])
    cells, lines = np.asarray(cells), np.asarray(lines)
    if cells.shape[1] != lines.shape[1] or not cells.shape[1]:
        raise fail(
            ValueError, f"obsm[{use_rep!r}] must have the same columns in cells and lines.",
            f"{cells.shape[1]} of the cells, {lines.shape[1]} of the lines.", "embed both with the same model.",
        )  # fmt: skip
    for side, where in ((cells, "cells"), (lines, "lines")):
        if not np.isfinite(side).all():
            raise fail(
                ValueError, f"obsm[{use_rep!r}] of the {where} must be finite.",
                f"{int((~np.isfinite(side)).sum())} missing values.", "embed these rows, or leave them out.",
            )  # fmt: skip
    return array_features(lines, cells, names, settings.chunk_cells), lost


def with_labels(features: Features, labels: np.ndarray) -> tuple[Features, np.ndarray]:
    """Only the lines that were measured, and their labels."""
    known = ~np.isnan(labels)
    return replace(features, lines=features.lines[known]), labels[known].astype(np.int64)
