"""Gene positions from GTF, GFF3, BED or a table."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from .._core.checks import fail, listing, need_one_of
from .._core.files import bed_lines

logger = logging.getLogger(__name__)

Names = Literal["symbol", "id"]
COLUMNS = ["chrom", "start", "end", "strand"]
SYNONYMS = {"chromosome": "chrom", "chr": "chrom", "seqname": "chrom", "gene_name": "gene", "symbol": "gene"}
GTF_SUFFIXES = (".gtf", ".gff", ".gff3")
# attributes that name a gene, the first that is there; GTF: key "value", GFF3: key=value
ATTRIBUTES = {"symbol": ("gene_name", "gene_symbol", "Name", "gene", "gene_id", "ID"), "id": ("gene_id", "ID", "Name")}
FEWEST_BED = 5  # chrom, start, end, name, strand


def gene_annotation(source: str | Path | pd.DataFrame, *, names: Names = "symbol") -> pd.DataFrame:
    """Read the positions of genes from a GTF, GFF3 or BED file (plain or .gz) or a DataFrame.

    Coordinates of the result are 0-based and half open, as in BED; GTF and GFF3 files (1-based, inclusive) are
    converted. Of a gene that occurs more than once, entries on main chromosomes (no "_" in the name) go before those on
    patches, then the longest, then the first is kept; how many were dropped is logged. Nothing is downloaded.

    Parameters
    ----------
    source
        Path of a file, or a table with the columns `chrom`, `start`, `end`, `strand` and the gene names in a column
        `gene` or in the index. In a BED file the strand column is found by its content, the gene name is the first
        other column behind the end. A GTF without gene features is read from its transcripts or exons.
    names
        Name genes in a GTF or GFF3 file by `"symbol"` (the id where there is none) or by `"id"` (version removed).

    Returns
    -------
    Table indexed by gene name: `chrom` (str), `start`, `end` (int64, bp), `strand` ("+" or "-"), `tss` (int64).

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    ValueError
        Columns are missing, an end lies before its start, or the file holds no gene.

    Examples
    --------
    >>> import pandas as pd
    >>> import grnformer_sc as grs
    >>> place = {"gene": ["A", "B"], "chrom": "chr1", "start": [10, 50], "end": [20, 90], "strand": ["+", "-"]}
    >>> grs.priors.gene_annotation(pd.DataFrame(place))["tss"].tolist()
    [10, 90]
    """
    need_one_of(names, tuple(ATTRIBUTES), name="names")
    if isinstance(source, pd.DataFrame):
        return _finish(_from_frame(source))
    path = Path(source)
    if not path.exists():
        raise fail(FileNotFoundError, "the annotation file must exist.", f"{path}.", "check the path.")
    suffixes = [s.lower() for s in path.suffixes if s.lower() != ".gz"]
    is_gtf = bool(suffixes) and suffixes[-1] in GTF_SUFFIXES
    return _finish(_from_gtf(path, names) if is_gtf else _from_bed(path))


def _from_frame(frame: pd.DataFrame) -> pd.DataFrame:
    table = frame.rename(columns={c: SYNONYMS.get(str(c).lower(), str(c).lower()) for c in frame.columns})
    if "gene" not in table:
        table = table.assign(gene=table.index.astype(str))
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise fail(
            ValueError, f"gene positions need the columns {COLUMNS} and gene names.",
            f"columns {listing(frame.columns)}, without {missing}.", "rename the columns or give a GTF/BED file.",
        )  # fmt: skip
    return table[["gene", *COLUMNS]]


def _rows(path: Path) -> list[list[str]]:
    """Fields of every data line: comments and browser headers are left out."""
    return [line.split("\t") if "\t" in line else line.split() for line in bed_lines(path)]


def _from_gtf(path: Path, names: Names) -> pd.DataFrame:
    rows = [row for row in _rows(path) if len(row) >= 9]
    kinds = {row[2] for row in rows}
    gene_kinds = {kind for kind in kinds if kind.endswith("gene")}
    used = [row for row in rows if not gene_kinds or row[2] in gene_kinds]
    raw = pd.DataFrame([(r[0], r[3], r[4], r[6], r[8]) for r in used], columns=[*COLUMNS, "attributes"], dtype=str)
    gene = pd.Series(None, index=raw.index, dtype=object)
    for key in ATTRIBUTES[names]:
        found = raw["attributes"].str.extract(rf"(?:^|[;\s]){key}[ =]\"?([^\";]+)", expand=False)
        gene = gene.where(gene.notna(), found.astype(object))
    if gene.notna().sum() == 0:
        raise fail(
            ValueError, f"{path.name} must name genes in column 9.",
            f"{len(rows)} rows, features {listing(sorted(kinds))}.",
            "use a GTF or GFF3 file with gene_name, gene_id or Name.",
        )  # fmt: skip
    gene = gene.str.replace(r"^gene:", "", regex=True)
    if names == "id":
        gene = gene.str.replace(r"^(ENS\w+)\.\d+", r"\1", regex=True)
    raw = raw.assign(gene=gene, start=raw["start"].astype(np.int64) - 1, end=raw["end"].astype(np.int64))
    if not gene_kinds:
        raw = raw.groupby(["gene", "chrom", "strand"], as_index=False, sort=False).agg({"start": "min", "end": "max"})
    return raw[["gene", *COLUMNS]]


def _from_bed(path: Path) -> pd.DataFrame:
    rows = [row for row in _rows(path) if len(row) > 2 and row[1].isdigit() and row[2].isdigit()]
    width = min((len(row) for row in rows), default=0)
    raw = pd.DataFrame([row[:width] for row in rows], dtype=str)
    strands = [c for c in raw.columns[3:] if raw[c].isin(["+", "-", "."]).all() and (raw[c] != ".").any()]
    if width < FEWEST_BED or not strands:
        raise fail(
            ValueError, f"{path.name} must be BED with gene names and a strand column behind the end.",
            f"{len(rows)} rows of {width} columns, strand columns {strands}.",
            "add the missing columns (chrom, start, end, gene, strand).",
        )  # fmt: skip
    name = next(c for c in raw.columns[3:] if c not in strands)
    return pd.DataFrame({"gene": raw[name], "chrom": raw[0], "start": raw[1], "end": raw[2], "strand": raw[strands[0]]})


def _finish(table: pd.DataFrame) -> pd.DataFrame:
    table = table.dropna(subset=["gene", "chrom", "start", "end"])
    table = table[table["chrom"].astype(str) != ""].reset_index(drop=True)
    table = table.astype({"gene": str, "chrom": str, "start": np.int64, "end": np.int64, "strand": str})
    length = (table["end"] - table["start"]).to_numpy()
    if table.empty or (length < 0).any() or (table["start"] < 0).any():
        raise fail(
            ValueError, "an annotation needs genes with 0 <= start <= end.",
            f"{len(table)} genes, {int((length < 0).sum())} with the end before the start.", "check the file or table.",
        )  # fmt: skip
    patch = table["chrom"].str.contains("_", regex=False).to_numpy()
    best = table.iloc[np.lexsort((-length, patch))].drop_duplicates("gene").sort_index()
    if len(best) < len(table):
        logger.info("annotation: %d of %d entries repeat a gene and are dropped", len(table) - len(best), len(table))
    unknown = ~best["strand"].isin(["+", "-"])
    if unknown.any():
        logger.info("annotation: %d genes without a strand are taken as forward", int(unknown.sum()))
    best = best.assign(strand=best["strand"].where(~unknown, "+"))
    best["tss"] = np.where(best["strand"] == "-", best["end"], best["start"])
    return best.set_index("gene")
