"""Gene positions from GTF, GFF3, BED or a table."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from .._core.checks import fail, listing

logger = logging.getLogger(__name__)

COLUMNS = ["chrom", "start", "end", "strand"]
SYNONYMS = {"chromosome": "chrom", "chr": "chrom", "seqname": "chrom", "gene_name": "gene", "symbol": "gene"}
GTF_SUFFIXES = (".gtf", ".gff", ".gff3")


def gene_annotation(source: str | Path | pd.DataFrame) -> pd.DataFrame:
    """Read the positions of genes from a GTF, GFF3 or BED file (plain or .gz) or a DataFrame.

    Coordinates of the result are 0-based and half open, as in BED; GTF and GFF3 files are converted. A gene that occurs
    more than once keeps its longest entry, the first of equals; how many were dropped is logged. Nothing is downloaded.

    Parameters
    ----------
    source
        Path of a file, or a table with the columns `chrom`, `start`, `end`, `strand` and the gene names in a column
        `gene` or in the index. In a BED file the strand column is found by its content (+ or -), the gene name is the
        fourth column.

    Returns
    -------
    Table indexed by gene name: `chrom` (str), `start`, `end` (int64, bp), `strand` ("+" or "-"), `tss` (int64).

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    ValueError
        Columns are missing, or the file holds no gene.

    Examples
    --------
    >>> import pandas as pd
    >>> import grnformer_sc as grs
    >>> table = pd.DataFrame({"gene": ["A", "B"], "chrom": "chr1", "start": [10, 50], "end": [20, 90], "strand": ["+", "-"]})
    >>> grs.priors.gene_annotation(table)["tss"].tolist()
    [10, 90]
    """
    if isinstance(source, pd.DataFrame):
        table = _from_frame(source)
    else:
        path = Path(source)
        if not path.exists():
            raise fail(FileNotFoundError, "the annotation file must exist.", str(path), "check the path.")
        suffixes = [s.lower() for s in path.suffixes if s.lower() != ".gz"]
        table = _from_gtf(path) if suffixes and suffixes[-1] in GTF_SUFFIXES else _from_bed(path)
    return _finish(table)


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


def _from_gtf(path: Path) -> pd.DataFrame:
    raw = pd.read_csv(path, sep="\t", comment="#", header=None, usecols=[0, 2, 3, 4, 6, 8], dtype=str)
    raw.columns = ["chrom", "feature", "start", "end", "strand", "attributes"]
    features = raw["feature"].unique()
    genes = raw[raw["feature"] == "gene"]
    if genes.empty:
        raise fail(
            ValueError, f"{path.name} must hold features of type 'gene'.", f"types {listing(features)}.",
            "use a gene-level GTF or GFF3 file.",
        )  # fmt: skip
    symbol = genes["attributes"].str.extract(r"(?:gene_name|Name|gene)[ =]\"?([^\";]+)", expand=False)
    backup = genes["attributes"].str.extract(r"(?:gene_id|ID)[ =]\"?(?:gene:)?([^\";]+)", expand=False)
    table = genes.assign(gene=symbol.fillna(backup), start=genes["start"].astype(np.int64) - 1)
    return table[["gene", *COLUMNS]]


def _from_bed(path: Path) -> pd.DataFrame:
    raw = pd.read_csv(path, sep=r"\s+", comment="#", header=None, dtype=str)
    raw = raw[raw[1].str.fullmatch(r"\d+").fillna(value=False).to_numpy(dtype=bool)]
    strands = [c for c in raw.columns[3:] if raw[c].isin(["+", "-"]).all() and len(raw)]
    if raw.shape[1] < 5 or not strands:
        raise fail(
            ValueError, f"{path.name} must be BED with a gene name in column 4 and a strand column.",
            f"{raw.shape[1]} columns and {len(raw)} rows, strand columns {strands}.",
            "add the missing columns (chrom, start, end, gene, strand).",
        )  # fmt: skip
    name = next(c for c in raw.columns[3:] if c != strands[0])
    return pd.DataFrame({"gene": raw[name], "chrom": raw[0], "start": raw[1], "end": raw[2], "strand": raw[strands[0]]})


def _finish(table: pd.DataFrame) -> pd.DataFrame:
    table = table.dropna(subset=["gene", "chrom", "start", "end"])
    table = table.astype({"gene": str, "chrom": str, "start": np.int64, "end": np.int64, "strand": str})
    length = (table["end"] - table["start"]).to_numpy()
    order = np.lexsort((np.arange(len(table)), -length))
    best = table.iloc[order].drop_duplicates("gene").sort_index()
    if len(best) < len(table):
        logger.info("annotation: %d repeated entries dropped, the longest of each gene kept", len(table) - len(best))
    if best.empty:
        raise fail(ValueError, "an annotation needs at least one gene.", "none.", "check the file or table.")
    best = best.assign(tss=np.where(best["strand"] == "-", best["end"], best["start"]))
    return best.set_index("gene")
