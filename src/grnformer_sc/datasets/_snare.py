"""The mouse cortex SNARE-seq data (Chen, Lake, Zhang 2019), parsed from the upstream files."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Int

from .._core.checks import fail, need_one_of
from .._core.inputs import as_mudata
from ._registry import fetch, remote_files

if TYPE_CHECKING:
    from mudata import MuData

logger = logging.getLogger(__name__)

UNKNOWN_TYPE = "Mis"  # upstream's name for cells without a type
FEWEST_COUNTS = 50  # of the small selection, in both modalities
MOST_PER_TYPE = 300
POSITIONS = ("chrom", "start", "end", "gene", "strand")


def snare_cortex(*, subset: Literal["small"] | None = None, download: bool = True) -> MuData:
    """Load paired RNA and ATAC counts of adult mouse cortex (SNARE-seq, GSE126074, mm10).

    10,309 cells, 1,677 highly variable genes and 25,734 pre-selected regions, each region linked upstream to one
    gene. Data are sparse: about 250 RNA and 80 ATAC counts per cell. Files come from `GRS_DATA_DIR`, the cache or the
    network, with their checksums verified (`fetch`).

    Parameters
    ----------
    subset
        `"small"` keeps 2,142 cells: type known, at least 50 counts in both modalities, at most 300 per type (drawn once
        with a fixed seed).
    download
        Use the network where the files are nowhere else.

    Returns
    -------
    MuData with `rna` and `atac`, raw counts in `X` (CSR float32). Sets:

    `obs` of both : batch, barcode, cluster, cell_type ("Mis": no type)
    `mdata["rna"].var` : chrom, start, end, strand (chrom "" where the position is unknown)
    `mdata["atac"].var` : chrom, start, end; names such as chr1:4914570-4914685
    `mdata.uns` : genome, organism, citation, licence, n_genes_without_position

    Raises
    ------
    FileNotFoundError
        A file is nowhere; the message names the three ways to get it.
    ValueError
        A file is corrupt, or `subset` is unknown.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.snare_cortex(subset="small")  # doctest: +SKIP
    >>> mdata.shape  # doctest: +SKIP
    (2142, 27411)
    """
    from anndata import AnnData

    need_one_of(subset, (None, "small"), name="subset")
    names = ("GxC1.npz", "RxC1.npz", "genes.txt", "regions.txt", "meta_c1.csv")
    paths = {name: fetch(f"snare_cortex/{name}", download=download) for name in names}
    bed = fetch("gene_positions/mm10_genes.bed", download=download)
    obs = _read_cells(paths["meta_c1.csv"])
    genes = pd.Index(paths["genes.txt"].read_text().split())
    regions = _read_regions(paths["regions.txt"])
    rna, atac = read_counts_npz(paths["GxC1.npz"]), read_counts_npz(paths["RxC1.npz"])
    for x, features, what in ((rna, genes, "genes"), (atac, regions, "regions")):
        if x.shape != (len(obs), len(features)):
            raise fail(
                ValueError, f"counts, cells and {what} must fit.",
                f"{x.shape} for {len(obs)} cells and {len(features)} {what}.",
                "get the files again.",
            )  # fmt: skip
    if subset == "small":
        cells = _small_selection(obs["cell_type"], rna, atac)
        obs, rna, atac = obs.iloc[cells], rna[cells], atac[cells]
        for name in ("batch", "cluster", "cell_type"):
            obs[name] = obs[name].cat.remove_unused_categories()
    var, n_unknown = _place(genes, bed)
    mdata = as_mudata(
        {"rna": AnnData(rna, obs=obs.copy(), var=var), "atac": AnnData(atac, obs=obs.copy(), var=regions)}
    )
    facts = remote_files()["snare_cortex/GxC1.npz"]
    mdata.uns.update(
        genome="mm10", organism="mouse", citation=facts.citation, licence=facts.licence,
        n_genes_without_position=n_unknown,
    )  # fmt: skip
    return mdata


def read_counts_npz(path: Path) -> sp.csr_matrix:
    """Read a features x cells matrix in scipy's npz layout as cells x features CSR float32, without unpickling."""
    with np.load(path, allow_pickle=False) as raw:
        layout = raw["format"].item()
        layout = layout.decode() if isinstance(layout, bytes) else str(layout)
        kinds = {"csr": sp.csr_matrix, "csc": sp.csc_matrix}
        need_one_of(layout, tuple(kinds), name=f"format of {path.name}")
        matrix = kinds[layout]((raw["data"], raw["indices"], raw["indptr"]), shape=tuple(raw["shape"]))
    out = sp.csr_matrix(matrix.T, dtype=np.float32)
    out.sort_indices()
    return out


def _read_cells(path: Path) -> pd.DataFrame:
    columns = {"Batch": "batch", "Barcode": "barcode", "Ident": "cluster", "cluster (remapped)": "cell_type"}
    table = pd.read_csv(path, index_col=0, dtype=str, keep_default_na=False).rename(columns=columns)
    table.index.name = None
    kinds = {"batch": "category", "barcode": str, "cluster": "category", "cell_type": "category"}
    return table[list(kinds)].astype(kinds)


def _read_regions(path: Path) -> pd.DataFrame:
    parts = pd.Series(path.read_text().split()).str.rsplit("_", n=2, expand=True)
    table = pd.DataFrame({"chrom": parts[0], "start": parts[1].astype(np.int64), "end": parts[2].astype(np.int64)})
    table.index = pd.Index(parts[0] + ":" + parts[1] + "-" + parts[2])
    return table


def _small_selection(cell_type: pd.Series, rna: sp.csr_matrix, atac: sp.csr_matrix) -> Int[np.ndarray, " selected"]:
    """Cells of the small set: one generator (seed 0) visits the types by name, also those that are kept whole."""
    rich = (rna.sum(axis=1).A1 >= FEWEST_COUNTS) & (atac.sum(axis=1).A1 >= FEWEST_COUNTS)
    label = cell_type.astype(str).to_numpy()
    rng = np.random.default_rng(0)
    kept = []
    for name in sorted(set(label[rich]) - {UNKNOWN_TYPE}):
        own = np.flatnonzero(rich & (label == name))
        kept.append(rng.choice(own, min(own.size, MOST_PER_TYPE), replace=False))
    return np.sort(np.concatenate(kept))


def _place(genes: pd.Index, bed: Path) -> tuple[pd.DataFrame, int]:
    """Positions of the genes, the longest entry where there are several, and the number of genes without one."""
    table = pd.read_csv(bed, sep="\t", header=None, names=list(POSITIONS))
    table = table.iloc[np.argsort(table["start"] - table["end"], kind="stable")]
    table = table.drop_duplicates("gene").set_index("gene").reindex(genes)
    known = table["chrom"].notna()
    n_unknown = int((~known).sum())
    logger.info("snare_cortex: %d of %d genes have no position", n_unknown, genes.size)
    filled = {"chrom": table["chrom"].where(known, ""), "strand": table["strand"].where(known, "+")}
    numbers = table[["start", "end"]].where(known, 0).astype(np.int64)
    return pd.DataFrame({**filled, **numbers}, index=genes)[["chrom", "start", "end", "strand"]], n_unknown
