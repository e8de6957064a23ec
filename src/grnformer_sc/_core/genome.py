"""Gene positions of an RNA object, and checks that genes and regions belong to the same genome."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd

from .checks import fail, listing

logger = logging.getLogger(__name__)

POSITION_COLUMNS = ["chrom", "start", "end", "strand"]
FEWEST_MATCHED = 0.5  # share of the genes that must have a position
FEWEST_NEAR = 0.1  # share of the regions that must lie near a gene


def positions_from_var(var: pd.DataFrame) -> pd.DataFrame | None:
    """Read gene positions from the columns `chrom, start, end, strand` of `rna.var`, where they are."""
    if not set(POSITION_COLUMNS) <= set(var.columns):
        return None
    return var[POSITION_COLUMNS]


def place_genes(genes: pd.Index, annotation: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Positions in the order of `genes` (empty `chrom` where unknown) and the number of unknown genes."""
    table = annotation.reindex(genes)
    known = table["chrom"].notna() & (table["chrom"].astype(str) != "") & table["start"].notna()
    n_unknown = int((~known).sum())
    if genes.size and known.mean() < FEWEST_MATCHED:
        raise fail(
            ValueError, f"at least {FEWEST_MATCHED:.0%} of the genes need a position in the annotation.",
            f"{int(known.sum())} of {genes.size}; genes {listing(genes, 5)}, annotation {listing(annotation.index, 5)}.",
            _naming_hint(genes, annotation.index),
        )  # fmt: skip
    if n_unknown:
        logger.info("annotation: %d of %d genes have no position and get no regions", n_unknown, genes.size)
    filled = table.assign(chrom=table["chrom"].astype(object).where(known, ""))
    numbers = filled[["start", "end"]].apply(pd.to_numeric).where(known, 0).astype(np.int64)
    strand = filled["strand"].astype(object).where(known, "+")
    return pd.DataFrame({"chrom": filled["chrom"].astype(str), **numbers, "strand": strand.astype(str)}), n_unknown


def _naming_hint(genes: pd.Index, known: pd.Index) -> str:
    upper = known.str.upper()
    if genes.str.upper().isin(upper).mean() >= FEWEST_MATCHED:
        return "the names differ in letter case only (human GAD1, mouse Gad1): use the annotation of your species."
    if genes.str.match(r"ENS[A-Z]*G\d+").mean() > FEWEST_MATCHED:
        return "var_names are Ensembl ids: use gene symbols, or an annotation with the same ids."
    return "use the annotation of the same species with the same kind of gene names."


def need_same_genome(pairs: pd.DataFrame, genes: pd.DataFrame, regions: pd.DataFrame) -> None:
    """Raise `ValueError` when too few regions lie near a gene: another build, species or chromosome naming."""
    shared = set(genes["chrom"]) & set(regions["chrom"]) - {""}
    near = pairs["region"].nunique() / max(len(regions), 1)
    if near >= FEWEST_NEAR:
        return
    of_genes, of_regions = (sorted(set(table["chrom"]) - {""}) for table in (genes, regions))
    names = f"chromosomes of genes {listing(of_genes, 5)}, of regions {listing(of_regions, 5)}"
    fix = (
        "use an annotation of the genome build that the regions were called on (hg38 is not hg19, mm10 is not mm39)."
        if shared
        else "make the chromosome names equal (chr1 against 1)."
    )
    raise fail(
        ValueError, f"at least {FEWEST_NEAR:.0%} of the regions must lie near a gene.",
        f"{near:.1%}; {len(shared)} shared chromosomes; {names}.", fix,
    )  # fmt: skip
