"""`pl.region_gene`: the regions of a gene at its place in the genome."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from .. import get
from .._core.checks import fail, listing, need_key
from .._core.genome import positions_from_var
from .._core.inputs import Barcodes, open_rows, resolve, table_of
from .._core.keys import MOTIFS, GrnKeys
from .._core.rows import Rows, members
from ..grn.region_gene import parse_regions
from ..priors import gene_annotation
from ._colours import group_colours
from ._locus_panels import Locus, draw_locus
from ._order import chosen_groups

if TYPE_CHECKING:
    from anndata import AnnData

N_TFS = 5
AROUND = 50_000  # bp shown beside a gene without links
PER_MILLION, PER_CELL = 1e6, 1e4  # pseudobulk of regions; counts of a cell before the logarithm


def region_gene(
    data: Any,
    gene: str,
    *,
    groups: Sequence[str] | None = None,
    window: int | None = None,
    tfs: Sequence[str] | None = None,
    annotation: str | Path | pd.DataFrame | None = None,
    layer: str | None = None,
    atac_layer: str | None = None,
    barcodes: Barcodes = "exact",
    key: str = "grn",
    rna: str = "rna",
    atac: str = "atac",
    figure: Figure | SubFigure | None = None,
) -> dict[str, Axes]:
    """Plot the locus of a gene: accessibility per cell type, links of regions to the gene, motifs, and its expression.

    Accessibility is the sum over the cells of a type per million counts of that type, on one scale for all types. An arc
    leads from the middle of every linked region to the TSS; its height is the importance of the region for the gene, its
    colour the sign of their correlation. Regions are drawn at least a hair wide.

    Parameters
    ----------
    data
        MuData, or a pair (rna, atac), with a network.
    gene
        Gene, a name of `rna.var_names`.
    groups
        Cell types, in the order of the rows; all by default. Where they are named, only links that hold in one of them
        are drawn.
    window
        bp to show on each side of the TSS; by default what holds the gene and all its links.
    tfs
        TFs whose motifs are marked (in the middle of the regions that have them); by default the five with the
        strongest links to the gene through a motif. An empty list marks none.
    annotation
        Gene positions (GTF, GFF3, BED, DataFrame); by default `chrom`, `start`, `end`, `strand` of `rna.var`.
    layer, atac_layer
        Layers with raw counts; `None` is `.X`.
    barcodes
        `"exact"` asks for equal barcodes in both modalities, `"stem"` pairs them by their nucleotides alone.
    key
        Base name of the network.
    rna, atac
        Names of the modalities.
    figure
        Figure or SubFigure to draw on; a new one by default.

    Returns
    -------
    Dictionary of axes: `"accessibility"`, `"expression"`, `"links"`, `"gene"`, and `"motifs"` where TFs are shown.

    Raises
    ------
    KeyError
        There is no network, no ATAC, no gene position, or the gene, a cell type or a TF is unknown.
    ValueError
        No region lies in the window, the counts are no counts, or TFs are named where there are no motifs.

    See Also
    --------
    grnformer_sc.pp.link_regions : the regions that were candidates.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> gene = grs.get.grn(mdata)["gene"].iloc[0]
    >>> sorted(grs.pl.region_gene(mdata, gene))
    ['accessibility', 'expression', 'gene', 'links', 'motifs']
    """
    rna_data, atac_data = resolve(data, rna, atac, barcodes=barcodes)
    if atac_data is None:
        raise fail(KeyError, f"region_gene needs the modality {atac!r}.", "RNA only.", "pass a MuData with ATAC.")
    names, codes = _groups(data, rna_data, groups, key, rna)
    counts = open_rows(rna_data, layer, what="RNA counts")
    access = open_rows(atac_data, atac_layer, what="ATAC counts", option="atac_layer")
    place = _place(rna_data, gene, annotation)
    tables = (get.grn(data, group=group, key=key, rna=rna) for group in (names if groups is not None else [None]))
    edges = pd.concat([table[table["gene"] == gene] for table in tables]).drop_duplicates(["eregulon", "region"])
    regions = parse_regions(atac_data.var_names).assign(column=np.arange(atac_data.n_vars))
    regions.index = atac_data.var_names.astype(str)
    links = _links(edges, regions)
    low, high = _window(place, links, window)
    inside = (regions["chrom"] == place["chrom"]) & (regions["end"] > low) & (regions["start"] < high)
    shown = regions[inside].sort_values("start")
    _need_regions(shown, regions, gene, place, low, high)
    mean, share = _expression(counts, rna_data.var_names.get_loc(gene), codes, len(names))
    locus = Locus(
        gene=gene, chrom=place["chrom"], start=place["start"], end=place["end"], strand=place["strand"],
        low=low, high=high, groups=names, colours=group_colours(rna_data, names, key), regions=shown,
        accessibility=_pseudobulk(access, shown["column"].to_numpy(), codes, len(names)),
        expression=mean, expressing=share, links=links[links.index.isin(shown.index)], n_links=len(links),
        motifs=_motifs(atac_data, edges, shown, tfs),
    )  # fmt: skip
    return draw_locus(locus, figure)


def _groups(
    data: Any, rna: AnnData, groups: Sequence[str] | None, key: str, modality: str
) -> tuple[list[str], np.ndarray]:
    """Names of the cell types to show, and the number of its type for every cell (-1: none of them)."""
    names = chosen_groups(get.groups(data, key=key, rna=modality)["group"].unique(), groups)
    need_key(rna.obs, GrnKeys(key).group, where="rna.obs", fix="run grs.tl.build_grn or grs.tl.cell_grn.")
    labels = table_of(rna.obs)[GrnKeys(key).group].astype(str)
    return names, pd.Categorical(labels, categories=names).codes.astype(np.int64)


def _place(rna: AnnData, gene: str, annotation: str | Path | pd.DataFrame | None) -> dict[str, Any]:
    """Position of the gene and its TSS."""
    if gene not in rna.var_names:
        fix = "write it as in rna.var_names."
        raise fail(KeyError, f"gene={gene!r} must be a gene of the data.", f"{listing(rna.var_names, 5)}.", fix)
    table = positions_from_var(table_of(rna.var)) if annotation is None else gene_annotation(annotation)
    if table is None or gene not in table.index or str(table.loc[gene, "chrom"]) in ("", "nan"):
        where = "the annotation" if annotation is not None else "the columns chrom, start, end, strand of rna.var"
        raise fail(KeyError, f"gene {gene!r} needs a position.", f"none in {where}.", "pass annotation='genes.gtf.gz'.")
    row = table.loc[gene]
    start, end, strand = int(row["start"]), int(row["end"]), str(row["strand"])
    tss = end if strand == "-" else start
    return {"chrom": str(row["chrom"]), "start": start, "end": end, "strand": strand, "tss": tss}


def _links(edges: pd.DataFrame, regions: pd.DataFrame) -> pd.DataFrame:
    """Regions that are linked to the gene: `start`, `end`, `importance`, `sign`, indexed by name."""
    own = edges.assign(region=edges["region"].astype(str)).drop_duplicates("region").set_index("region")
    own = own[own.index.isin(regions.index)]
    rho = np.sign(own["region_gene_rho"].fillna(0)).astype(int)
    sign = own["region_sign"].astype(int)
    table = regions.loc[own.index, ["start", "end"]]
    return table.assign(importance=own["region_gene_importance"], sign=sign.where(sign != 0, rho))


def _window(place: dict[str, Any], links: pd.DataFrame, window: int | None) -> tuple[int, int]:
    if window is not None:
        if window < 1:
            raise fail(ValueError, "window must be at least 1 bp.", f"{window!r}.", "give bp, such as 100_000.")
        return max(place["tss"] - window, 0), place["tss"] + window
    low, high = place["start"], place["end"]
    if links.empty:
        return max(low - AROUND, 0), high + AROUND
    low, high = min(low, int(links["start"].min())), max(high, int(links["end"].max()))
    margin = (high - low) // 20 + 1_000
    return max(low - margin, 0), high + margin


def _need_regions(
    shown: pd.DataFrame, regions: pd.DataFrame, gene: str, place: dict[str, Any], low: int, high: int
) -> None:
    if len(shown):
        return
    chroms = regions["chrom"].unique()
    here = place["chrom"] in chroms
    raise fail(
        ValueError, f"a region must lie in the window of {gene!r}, {place['chrom']}:{low}-{high}.",
        "none." if here else f"none, and no region on {place['chrom']!r}; regions are on {listing(sorted(chroms), 5)}.",
        "widen window=." if here else "make the chromosome names of genes and regions equal.",
    )  # fmt: skip


def _pseudobulk(counts: Rows, columns: np.ndarray, codes: np.ndarray, n_groups: int) -> np.ndarray:
    """Counts per million of each group (groups x columns), in one pass over blocks of cells."""
    sums, total = np.zeros((n_groups, columns.size)), np.zeros(n_groups)
    for first, part in counts.blocks():
        member = members(codes[first : first + part.shape[0]], n_groups)
        sums += (member @ part[:, columns]).toarray()
        total += member @ np.asarray(part.sum(axis=1), dtype=np.float64).ravel()
    return PER_MILLION * sums / np.maximum(total, 1)[:, None]


def _expression(counts: Rows, gene: int, codes: np.ndarray, n_groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean log expression, and share of cells with counts, of one gene in each group."""
    values = np.zeros(codes.size)
    for first, part in counts.blocks():
        own = part[:, [gene]].toarray().ravel().astype(np.float64)
        total = np.asarray(part.sum(axis=1), dtype=np.float64).ravel()
        values[first : first + own.size] = np.log1p(PER_CELL * own / np.maximum(total, 1))
    inside = codes >= 0
    size = np.maximum(np.bincount(codes[inside], minlength=n_groups), 1)
    mean = np.bincount(codes[inside], values[inside], n_groups) / size
    return mean, np.bincount(codes[inside], values[inside] > 0, n_groups) / size


def _motifs(
    atac: AnnData, edges: pd.DataFrame, shown: pd.DataFrame, tfs: Sequence[str] | None
) -> dict[str, pd.DataFrame]:
    """Regions with a motif of each TF: `start`, `end`, `sign` of the TF's link to the gene through it (0: no link)."""
    linked = edges[(edges["evidence"].astype(str) != "none") & edges["region"].astype(str).isin(shown.index)]
    linked = linked.assign(tf=linked["tf"].astype(str), region=linked["region"].astype(str))
    hits, known = None, pd.Index(linked["tf"].unique())
    if MOTIFS in atac.varm:
        known = known.union(pd.Index(np.asarray(atac.uns[MOTIFS]["tfs"], dtype=str)))
        hits = sp.csr_matrix(atac.varm[MOTIFS])[shown["column"].to_numpy()].tocsc()
    if tfs is None:
        best = linked.groupby("tf")["tf_gene_importance"].max().sort_values(ascending=False, kind="stable")
        tfs = list(best.index[:N_TFS])
    unknown = [name for name in tfs if name not in known]
    if unknown:
        raise fail(
            KeyError if len(known) else ValueError, "tfs must be TFs with motifs.", f"unknown {listing(unknown)}; "
            f"known {listing(known, 5)}.", "choose among them, or build the network with motifs.",
        )  # fmt: skip
    out = {}
    for tf in tfs:
        own = linked[linked["tf"] == tf].drop_duplicates("region").set_index("region")
        sign = own["sign"].astype(int).reindex(shown.index).fillna(0).astype(int)
        has = sign != 0
        if hits is not None and tf in (names := list(map(str, atac.uns[MOTIFS]["tfs"]))):
            has |= hits[:, [names.index(tf)]].toarray().ravel() != 0
        out[tf] = shown.loc[has, ["start", "end"]].assign(sign=sign[has])
    return out
