"""What the user knows about TFs: their names, motif hits in regions, a prior network."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._core.checks import fail, listing
from .._core.inputs import table_of
from .._core.keys import MOTIFS, MOTIFS_EXTENDED
from .._core.tables import by_upper, places_by_upper
from ..grn.links import Evidence
from ..priors import prior_network, tf_names

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

FEWEST_REGIONS = 0.01  # share of the regions that a motif table must cover


def read_evidence(
    rna: AnnData, atac: AnnData | None, tfs: Any, motifs: Any, prior: Any
) -> tuple[pd.Index, Evidence, dict[str, int]]:
    """Settle the TFs and the evidence: TF names (sorted), matrices in the order of the variables, counts of what is lost.

    Without `tfs` the TFs are those of the motifs or of the prior; without these, of the gene-family table.
    """
    if motifs is not None and prior is not None:
        raise fail(
            ValueError, "give motifs= or prior=, not both.", "both.", "leave one of them out; compare the two networks."
        )
    if motifs is not None and atac is None:
        raise fail(ValueError, "motif evidence needs ATAC regions.", "RNA only.", "pass prior= instead, or a MuData.")
    hits = None if atac is None or prior is not None else _read_motifs(atac, motifs)
    if hits is not None:
        return _with_motifs(rna, tfs, *hits)
    if prior is not None:
        return _with_prior(rna, tfs, prior_network(prior))
    names = _tf_index(rna, tfs)
    logger.info("no motif or prior evidence: TF -> gene regulons (evidence 'none') of %d TFs", names.size)
    return names, Evidence(), {}


def _tf_index(rna: AnnData, tfs: Any) -> pd.Index:
    if isinstance(tfs, str) and tfs in rna.var:
        return pd.Index(sorted(rna.var_names[table_of(rna.var)[tfs].to_numpy(dtype=bool)]))
    if isinstance(tfs, str) and not Path(tfs).exists():
        raise fail(
            KeyError, f"tfs={tfs!r} is neither a column of rna.var nor a file.", f"columns {listing(rna.var.columns)}.",
            "pass a list of TF names, a file with one name per line, or a boolean column.",
        )  # fmt: skip
    return pd.Index(tf_names(rna.var_names, source=tfs))


def _match(rna: AnnData, tfs: Any, known: pd.Index, what: str) -> tuple[pd.Index, np.ndarray, dict[str, int]]:
    """TFs that are both in the genes and in the evidence (letter case aside), with their place in the evidence."""
    allowed = pd.Index(sorted(rna.var_names if tfs is None else _tf_index(rna, tfs)))
    place = places_by_upper(known, allowed)
    genes, place = allowed[place >= 0], place[place >= 0]
    n_known = len(by_upper(known))
    lost = n_known - genes.size
    if genes.empty:
        raise fail(
            ValueError, f"at least one TF of the {what} must be a gene of the data.",
            f"TFs {listing(known, 5)}, genes {listing(rna.var_names, 5)}.",
            f"use the same kind of gene names in the {what} and in var_names.",
        )  # fmt: skip
    if lost:
        logger.info("%s: %d of %d TFs are not among the genes", what, lost, n_known)
    return genes, place, {f"tfs_of_{what}_not_in_genes": lost}


def _with_motifs(
    rna: AnnData, tfs: Any, hits: sp.csr_matrix, extended: sp.csr_matrix | None, names: pd.Index
) -> tuple[pd.Index, Evidence, dict[str, int]]:
    genes, place, dropped = _match(rna, tfs, names, "motifs")
    direct = sp.csr_matrix(hits[:, place], dtype=np.float32)
    if extended is None:
        return genes, Evidence(motifs=direct), dropped
    return genes, Evidence(motifs=direct, extended=sp.csr_matrix(extended[:, place], dtype=np.float32)), dropped


def _with_prior(rna: AnnData, tfs: Any, table: pd.DataFrame) -> tuple[pd.Index, Evidence, dict[str, int]]:
    known = pd.Index(table["tf"].unique())
    genes, place, dropped = _match(rna, tfs, known, "prior")
    of_known = np.full(known.size, -1)
    of_known[place[::-1]] = np.arange(genes.size)[::-1]
    row, column = of_known[known.get_indexer(table["tf"])], places_by_upper(rna.var_names, table["gene"])
    keep = (row >= 0) & (column >= 0)
    dropped["prior_pairs_not_in_genes"] = int((~keep).sum())
    prior = sp.csr_matrix((table["weight"][keep], (row[keep], column[keep])), (genes.size, rna.n_vars))
    return genes, Evidence(prior=prior), dropped


def _read_motifs(atac: AnnData, motifs: Any) -> tuple[sp.csr_matrix, sp.csr_matrix | None, pd.Index] | None:
    """Hits (regions x TFs), those by extended annotation where there are, and the TF names."""
    if motifs is None:
        if MOTIFS not in atac.varm:
            return None
        names = pd.Index(atac.uns[MOTIFS]["tfs"]).astype(str)
        extended = sp.csr_matrix(atac.varm[MOTIFS_EXTENDED]) if MOTIFS_EXTENDED in atac.varm else None
        return sp.csr_matrix(atac.varm[MOTIFS]), extended, names
    if isinstance(motifs, pd.DataFrame):
        regions, names, matrix = motifs.index, motifs.columns, sp.csr_matrix(motifs.to_numpy(dtype=np.float32))
    elif hasattr(motifs, "obs_names") and hasattr(motifs, "X"):
        regions, names, matrix = motifs.obs_names, motifs.var_names, sp.csr_matrix(motifs.X)
    else:
        raise fail(
            TypeError, "motifs is a regions x TFs DataFrame or AnnData.", f"{type(motifs).__name__}.",
            "put hit scores into a DataFrame with regions as rows and TFs as columns.",
        )  # fmt: skip
    if not np.isfinite(matrix.data).all():
        raise fail(
            ValueError, "motif scores must be finite numbers.", f"{int((~np.isfinite(matrix.data)).sum())} others.",
            "write 0 where there is no hit.",
        )  # fmt: skip
    place = pd.Index(regions.astype(str)).get_indexer(atac.var_names)
    share = (place >= 0).mean()
    if share < FEWEST_REGIONS:
        raise fail(
            ValueError, f"the motif table must cover at least {FEWEST_REGIONS:.0%} of the regions.",
            f"{share:.2%}; regions {listing(atac.var_names, 3)}, table {listing(regions, 3)}.",
            "write its region names as in atac.var_names.",
        )  # fmt: skip
    select = sp.csr_matrix(
        (np.ones((place >= 0).sum()), (np.flatnonzero(place >= 0), place[place >= 0])), (atac.n_vars, len(regions))
    )
    logger.info("motifs: %d of %d regions and %d TFs", int((place >= 0).sum()), atac.n_vars, len(names))
    return sp.csr_matrix(select @ matrix), None, pd.Index(names).astype(str)
