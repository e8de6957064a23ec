"""`pp.read_cistarget`: motif evidence from cisTarget databases."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from .._core.checks import fail, need_unique
from .._core.inputs import copy_of
from .._core.keys import DIFFERENTIAL_REGIONS, MOTIFS, MOTIFS_EXTENDED
from .._core.logging import step
from .._core.params import recipe
from .._core.results import Results
from .._core.rng import RngLike, as_root
from ._cistarget_steps import Limits, by_rankings, by_scores, overlay
from ._cistarget_tables import Searched, cistromes, enriched_table, need_known, tf_pairs
from ._differential_regions import MIN_LOG2FC, find_differential, modalities
from ._region_sets import Sets, region_sets_of, sets_of_table

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)


def read_cistarget(
    data: Any,
    rankings: str | Path | None = None,
    *,
    annotations: str | Path | pd.DataFrame,
    scores: str | Path | None = None,
    region_sets: Mapping[str, Any] | str | Path | Collection[str | Path] | None = None,
    groupby: str | None = None,
    layer: str | None = None,
    fraction_overlap: float = 0.4,
    auc_threshold: float = 0.005,
    rank_threshold: float = 0.05,
    min_nes: float = 3.0,
    max_fdr: float = 0.05,
    min_log2fc: float = 1.0,
    max_background: int = 500,
    min_score: float | None = 3.0,
    extended: str | Collection[str] = ("orthology",),
    max_similarity: float = 0.001,
    min_identity: float = 0.0,
    rng: RngLike = 0,
    rna: str = "rna",
    atac: str = "atac",
    copy: bool = False,
) -> Any:
    """Find TF hits in the regions with the cisTarget databases that SCENIC+ uses, without loading these.

    Motifs are sought that are enriched in sets of regions: by their rankings (cisTarget: recovery curves, AUC, NES) and by
    their scores (DEM: rank-sum test against a background). A region is a hit of a TF where it is in the leading edge (or
    scores high enough) for a motif of the TF in any set. The files are read by columns, only those of regions in the sets,
    and a block at a time: about 1.5 GB of memory for the largest databases (30 GB), most of it for their 1.2 million names.

    Parameters
    ----------
    data
        MuData, a pair (rna, atac), or the ATAC AnnData.
    rankings
        Rankings database (`.regions_vs_motifs.rankings.feather`; `motifs_vs_regions` is read too), ranks from 0.
    annotations
        Motif-to-TF table of the same motif collection (`.tbl`), or a DataFrame with its columns `#motif_id`, `gene_name`,
        `motif_similarity_qvalue`, `orthologous_identity`, `description`.
    scores
        Scores database (`.regions_vs_motifs.scores.feather`). At least one of `rankings` and `scores` is needed; hits of
        both are joined.
    region_sets
        Sets of regions by name (region names, or the path of a BED file), a folder of BED files, or a list of them. Regions
        that are not in `atac.var_names` stand for those they overlap.
    groupby
        Make the sets instead: regions more open in each group (`pp.differential_regions` with its defaults). Without either,
        the table that `pp.differential_regions` has stored.
    layer
        Layer of the ATAC with the counts, for `groupby`.
    fraction_overlap
        A database region stands for a region of the data when they share at least this part of either of them.
    auc_threshold
        Share of the database that counts for the AUC.
    rank_threshold
        Share of the database in which the leading edge may end.
    min_nes
        Least normalised enrichment score of a motif.
    max_fdr, min_log2fc
        Largest false discovery rate (Benjamini-Hochberg over motifs) and least log2 fold change of the mean score.
    max_background
        Most background regions of a set, drawn from the other sets (from the other regions if these hold too few).
    min_score
        Score that a hit must exceed; `None` takes for each motif the one that separates set and background best (Youden).
    extended
        Annotation that makes extended evidence: `"orthology"` (the motif of the same TF in another species),
        `"similarity"` (a motif like the TF's own). The TF's own motif is direct evidence.
    max_similarity, min_identity
        Largest q-value of motif similarity and least identity of orthologues in the annotation.
    rng
        Seed or generator of the background.
    rna, atac
        Names of the modalities. With RNA, only TFs among its genes are kept, in its spelling.
    copy
        Return a copy of `data` instead of writing to it.

    Returns
    -------
    `None`, or the copy. Sets:

    `atac.varm["motifs"]` : CSR float32, regions x TFs, hits by direct annotation
    `atac.varm["motifs_extended"]` : the same for hits by extended annotation only (0 where there is a direct one)
    `atac.uns["motifs"]` : `tfs` (names of the columns), `source`, `params`, and `enriched`, the table of
    `get.motif_enrichment`
    `atac.uns["differential_regions"]` : with `groupby`, the regions the sets were made from

    A hit's score is -log10 of the share of regions that rank (or score) as high for the motif: of all regions of the
    database, or of the background. 2 means the best hundredth. Of several motifs, sets and methods the best counts.

    Raises
    ------
    FileNotFoundError
        A file does not exist.
    ImportError
        `pyarrow` is not installed (``pip install 'grnformer-sc[cistarget]'``).
    KeyError
        There is no ATAC modality, or no column `groupby`.
    ValueError
        A file is damaged or of another kind, the database is of another genome, the annotation of another motif collection
        or species, no set is given, or no motif is enriched.

    See Also
    --------
    grnformer_sc.tl.build_grn : reads these hits.

    References
    ----------
    Aibar et al., *Nature Methods* 2017; Bravo González-Blas et al., *Nature Methods* 2023.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> atac = mdata["atac"]
    >>> hits = pd.DataFrame(atac.varm["motifs"].toarray().T, columns=atac.var_names)
    >>> ranks = (hits.rank(axis=1, method="first", ascending=False) - 1).astype("int32")
    >>> tfs = atac.uns["motifs"]["tfs"]
    >>> table = pd.DataFrame({"#motif_id": "m_" + tfs, "gene_name": tfs, "motif_similarity_qvalue": 0.0,
    ...                       "orthologous_identity": 1.0, "description": "gene is directly annotated"})
    >>> sets = {tf: atac.var_names[atac.varm["motifs"][:, [i]].toarray().ravel() > 0] for i, tf in enumerate(tfs[:3])}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ranks.assign(motifs="m_" + tfs).to_feather(f"{folder}/toy.regions_vs_motifs.rankings.feather")
    ...     grs.pp.read_cistarget(mdata, f"{folder}/toy.regions_vs_motifs.rankings.feather", annotations=table,
    ...                           region_sets=sets, auc_threshold=0.05, rank_threshold=0.3, min_nes=2)
    >>> grs.get.motif_enrichment(mdata)["tfs_direct"].tolist() == list(tfs[:3])
    True
    """
    _check(rankings, scores, region_sets, groupby)
    limits = Limits(
        fraction_overlap, auc_threshold, rank_threshold, min_nes, max_fdr, min_log2fc, max_background, min_score,
        (extended,) if isinstance(extended, str) else tuple(sorted(extended)), max_similarity, min_identity,
    )  # fmt: skip
    root = as_root(rng)
    data = copy_of(data) if copy else data
    rna_data, atac_data, target = modalities(data, rna, atac)
    need_unique(atac_data.var_names, what="region names (var_names)")
    pairs, dropped = tf_pairs(annotations, rna_data, limits)
    results = Results()
    if groupby is not None:
        results.uns[DIFFERENTIAL_REGIONS] = find_differential(
            data, groupby, layer=layer, max_fdr=0.05, min_log2fc=MIN_LOG2FC, n_strata=10, rna=rna, atac=atac
        )
    table = results.uns.get(DIFFERENTIAL_REGIONS)
    sets = _sets(atac_data, region_sets, table, fraction_overlap)
    with step(logger, "cistarget") as facts:
        methods: list[Searched] = []
        for path, search, ranks in ((rankings, by_rankings, True), (scores, by_scores, False)):
            if path is not None:
                laid = overlay(path, atac_data.var_names, fraction_overlap, ranks=ranks)
                need_known(laid, pairs)
                methods.append((laid, *search(laid, sets, limits, root)))
        enriched = enriched_table(methods, pairs)
        direct, other, tfs = cistromes(methods, pairs, enriched)
        facts.append(
            f"{len(sets)} region sets, {enriched['motif'].nunique()} enriched motifs, {tfs.size} TFs, "
            f"{direct.nnz} direct and {other.nnz} extended hits"
        )
    results.varm.update({MOTIFS: direct, MOTIFS_EXTENDED: other})
    files = {name: Path(path).name for name, path in (("rankings", rankings), ("scores", scores)) if path is not None}
    params = {**asdict(limits), "groupby": groupby, "rng": f"{root:032x}"}
    record = recipe("read_cistarget", params, inputs={**files, "atac": layer or "X"}, dropped=dropped)
    results.uns[MOTIFS] = {
        "tfs": tfs.to_numpy(dtype=object), "source": "cistarget", "params": record, "enriched": enriched,
    }  # fmt: skip
    results.write(target)
    return data if copy else None


def _check(rankings: Any, scores: Any, region_sets: Any, groupby: Any) -> None:
    if rankings is None and scores is None:
        raise fail(
            ValueError, "a database is needed.", "neither rankings= nor scores=.", "give the path of a feather file."
        )
    if region_sets is not None and groupby is not None:
        raise fail(ValueError, "give region_sets= or groupby=, not both.", "both.", "leave one of them out.")


def _sets(atac: AnnData, region_sets: Any, table: pd.DataFrame | None, fraction: float) -> Sets:
    if region_sets is not None:
        return region_sets_of(region_sets, atac.var_names, fraction=fraction)
    if table is None and DIFFERENTIAL_REGIONS not in atac.uns:
        raise fail(
            ValueError, "sets of regions are needed.", "neither region_sets= nor groupby=.",
            "pass groupby='cell_type', or region_sets={'name': regions} or a folder of BED files.",
        )  # fmt: skip
    sets = sets_of_table(atac.uns[DIFFERENTIAL_REGIONS] if table is None else table, atac.var_names)
    if not sets:
        raise fail(
            ValueError, "groups must differ in accessibility.", "no differential region.",
            "give region_sets=, or run pp.differential_regions with other thresholds first.",
        )  # fmt: skip
    return sets
