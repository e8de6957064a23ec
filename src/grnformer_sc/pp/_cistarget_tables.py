"""Motif annotation of the data's TFs, the table of enriched motifs, and the hits of TFs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pandas as pd
import scipy.sparse as sp

from .._core.checks import fail, listing
from .._core.tables import by_upper
from ..priors._cistarget import motif_annotation
from ._cistarget_steps import COLUMNS, Found, Limits, Overlay, of_tfs

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

Searched = tuple[Overlay, Found, sp.csr_matrix]  # a database, its enriched motifs, scores (used regions x motifs)


def tf_pairs(annotations: Any, rna: AnnData | None, limits: Limits) -> tuple[pd.DataFrame, dict[str, int]]:
    """Motif and TF (spelled as in the genes), whether the annotation is direct; and how many TFs are lost."""
    table = motif_annotation(annotations, max_similarity=limits.max_similarity, min_identity=limits.min_identity)
    wanted = {"direct", *limits.extended}
    if len(wanted) > 2:
        wanted.add("both")
    table = table[table["kind"].isin(wanted)]
    lost = 0
    if rna is not None:
        known = table["tf"].str.upper().map(by_upper(rna.var_names))
        if known.isna().all():
            raise fail(
                ValueError, "at least one motif must be annotated to a gene of the data.",
                f"TFs {listing(table['tf'].unique(), 5)}, genes {listing(rna.var_names, 5)}.",
                "take the annotation of the species of the data, and gene symbols as var_names.",
            )  # fmt: skip
        lost = int(table["tf"][known.isna()].nunique())
        logger.info("motif annotation: %d of %d TFs are not among the genes", lost, table["tf"].nunique())
        table = table.assign(tf=known)[known.notna().to_numpy()]
    pairs = table.assign(direct=table["kind"] == "direct")[["motif", "tf", "direct"]]
    return pairs.groupby(["motif", "tf"], as_index=False)["direct"].max(), {"tfs_not_in_genes": lost}


def need_known(laid: Overlay, pairs: pd.DataFrame) -> None:
    motifs = laid.database.motifs
    if not motifs.isin(pairs["motif"]).any():
        raise fail(
            ValueError, f"the annotation must know motifs of {laid.database.path.name}.",
            f"database {listing(motifs, 3)}, annotation {listing(pairs['motif'].unique(), 3)}.",
            "take the .tbl file of the same motif collection (v10nr_clust, for example).",
        )  # fmt: skip


def enriched_table(methods: list[Searched], pairs: pd.DataFrame) -> pd.DataFrame:
    """Enriched motifs of all sets with their TFs, as text."""
    rows = [part for _, found, _ in methods for part in found.rows]
    table = pd.concat([part for part in rows if len(part)], ignore_index=True) if any(map(len, rows)) else None
    if table is None:
        raise fail(
            ValueError, "at least one motif must be enriched in a region set.",
            f"none in {len(rows)} tests.", "use larger or cleaner region sets, a lower min_nes, or a lower min_log2fc.",
        )  # fmt: skip
    table = table[COLUMNS].sort_values(
        ["region_set", "method", "nes", "log2fc", "motif"],
        ascending=[True, True, False, False, True],
        ignore_index=True,
    )
    for column, direct in (("tfs_direct", True), ("tfs_extended", False)):
        names = pairs[pairs["direct"] == direct].groupby("motif")["tf"].agg(lambda tfs: ", ".join(sorted(tfs)))
        table[column] = table["motif"].map(names).fillna("").astype(str)
    table.index = table.index.astype(str)
    return table


def cistromes(
    methods: list[Searched], pairs: pd.DataFrame, enriched: pd.DataFrame
) -> tuple[sp.csr_matrix, sp.csr_matrix, pd.Index]:
    """Direct and extended hits of the TFs of enriched motifs."""
    used = pairs[pairs["motif"].isin(enriched["motif"])]
    tfs = pd.Index(sorted(used["tf"].unique()))
    if tfs.empty:
        raise fail(
            ValueError, "at least one enriched motif must be annotated to a TF.",
            f"{enriched['motif'].nunique()} enriched motifs, such as {listing(enriched['motif'].unique(), 5)}, without any.",
            "take the annotation of the species of the data, or allow extended=('orthology', 'similarity').",
        )  # fmt: skip
    first, second = (_joined(methods, used[used["direct"] == direct], tfs) for direct in (True, False))
    only = sp.csr_matrix(second - second.multiply(first > 0))
    only.eliminate_zeros()
    return first, only, tfs


def _joined(methods: list[Searched], pairs: pd.DataFrame, tfs: pd.Index) -> sp.csr_matrix:
    """Best score of every method, regions of the data x TFs."""
    hits = [of_tfs(laid, scores, pairs, tfs) for laid, _, scores in methods]
    return sp.csr_matrix(hits[0] if len(hits) == 1 else hits[0].maximum(hits[1]))
