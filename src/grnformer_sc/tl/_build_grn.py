"""`tl.build_grn`: gene regulatory networks of cell types and of cells."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .._core.checkpoint import Checkpoint
from .._core.checks import fail, need_one_of
from .._core.inputs import Barcodes, copy_of, find_group, resolve
from .._core.keys import DEFAULT_METHOD, GrnKeys
from .._core.logging import step
from .._core.params import recipe
from .._core.results import Results
from .._core.rng import RngLike, as_root
from .._core.settings import resolve_jobs
from .._core.settings import settings as package_settings
from ..grn.aucell import Norm
from ..grn.cost import stage_bytes
from ..grn.eregulons import Basc
from ..grn.infer import Inferred, infer_edges, weight_matrix
from ..grn.score import CellScores, fit_cells, modality_agreement
from ._evidence import read_evidence
from ._read import Read, gather, pooled
from ._settings import settings_of
from ._write import cell_results

logger = logging.getLogger(__name__)

METHODS = (DEFAULT_METHOD,)


def build_grn(
    data: Any,
    *,
    method: str = DEFAULT_METHOD,
    groupby: str | None = None,
    annotation: str | Path | pd.DataFrame | None = None,
    motifs: Any = None,
    prior: Any = None,
    tfs: Any = None,
    preset: str = "default",
    rna: str = "rna",
    atac: str = "atac",
    layer: str | None = None,
    atac_layer: str | None = None,
    barcodes: Barcodes = "exact",
    window: int | None = None,
    basc: Basc | None = None,
    norm: Norm | None = None,
    key_added: str | None = None,
    rng: RngLike = 0,
    n_jobs: int | None = None,
    checkpoint: str | Path | None = None,
    copy: bool = False,
) -> Any:
    """Infer the gene regulatory network of every cell type and of every cell.

    Region -> gene links (boosting and Spearman on metacells) and TF -> gene links (ridge and boosting) are joined through
    motif hits into eRegulons, as in SCENIC+ (Bravo Gonzalez-Blas et al. 2023); AUCell scores and their thresholds switch
    the eRegulons of each cell type on or off in each cell (Qiu et al. 2025). Without motifs or a prior the result is
    TF -> gene regulons, whose genes bring their regions along (`evidence="none"`); with RNA alone regions are left out.

    Parameters
    ----------
    data
        MuData with RNA and ATAC counts of the same cells, a pair (rna, atac), or an AnnData with RNA only.
    method
        Method; `"eregulon"` is the native one.
    groupby
        Column of obs with the cell types, in `mdata.obs` or either modality; `None` makes one group "all".
    annotation
        Gene positions (GTF, GFF3, BED, DataFrame); by default `chrom`, `start`, `end`, `strand` of `rna.var`.
    motifs
        Motif hits as a regions x TFs DataFrame or AnnData; by default `atac.varm["motifs"]` where it exists.
    prior
        Prior network (any form that `grs.priors.prior_network` reads): only its TF-gene pairs can become links.
    tfs
        TF names: list, file with one per line, or a boolean column of `rna.var`. By default the TFs of the motifs or
        prior, else those that `grs.priors.tf_names` recognises by their gene family.
    preset
        Named set of settings. `"default"` asks that two of six binarisations agree on a link. `"scenicplus"` follows that
        program: regions within 150 kb of the gene body, links ranked by importance alone, its seven binarisations of
        which one suffices, regions of both signs, every TF its own target, AUCell as in pySCENIC.
    rna, atac
        Names of the modalities.
    layer, atac_layer
        Layers with raw counts; `None` is `.X`.
    barcodes
        `"exact"` asks for equal barcodes in both modalities, `"stem"` pairs them by their nucleotides alone.
    window
        Largest distance of a region from the TSS in bp; by default that of the preset (500,000).
    basc
        Whether BASC A is one of the binarisations; `"scenicplus"` with its cut to the 100 weakest links of a gene. By
        default that of the preset (`False`).
    norm
        What AUCell divides by, `"decoupler"` or `"pyscenic"`; by default that of the preset (`"decoupler"`).
    key_added
        Base name of the slots; by default `"grn"`, or `"grn_<method>"` for another method.
    rng
        Seed or numpy Generator; the same seed gives the same bits for any `n_jobs` and any order of genes and regions.
    n_jobs
        Threads; `None` means `grs.settings.n_jobs`.
    checkpoint
        Folder for finished parts of the boosting: a run that was stopped goes on where it was when it is repeated, with
        the same bits. Delete it when the network is made.
    copy
        Return a copy of `data` instead of writing to it.

    Returns
    -------
    `None`, or the copy. Sets in the RNA AnnData (`grn` stands for the base name):

    `uns["grn"]` : `edges` (table of TF-region-gene links), `edge_groups` (CSR bool, edges x groups), `eregulons`, `groups`
    (tables), `group_names`, `params`
    `varp["grn"]` : CSR float32 genes x genes, signed TF -> gene weight
    `obs["grn_group"]` : categorical, the group label used
    `obsm["grn_auc"]` : DataFrame cells x eRegulons, float32; `obsm["grn_active"]` : CSR bool, the bits
    `obsm["grn_auc_region"]`, `obsm["grn_active_region"]` : the same from pooled accessibility (with ATAC)
    `obsp["grn_connectivities"]`, `obsp["grn_distances"]`, `uns["grn_cells"]` : neighbour graph of the cells' networks

    Raises
    ------
    KeyError
        A modality, layer, column or the gene positions are missing.
    ValueError
        Counts, names, barcodes, genome or evidence do not fit; the message says how to mend it. Nothing is written.

    See Also
    --------
    grnformer_sc.get.grn : read the network of a type or a cell.
    grnformer_sc.tl.fit : fit GRNFormer on it.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> grs.tl.build_grn(mdata, groupby="cell_type")
    >>> mdata["rna"].obsm["grn_auc"].shape[0]
    200
    """
    need_one_of(method, METHODS, name="method")
    settings = settings_of(preset, window=window, basc=basc, norm=norm)
    keys = GrnKeys.for_method(method, key_added)
    jobs, root = resolve_jobs(n_jobs), as_root(rng)
    if copy:
        data = copy_of(data)
    rna_data, atac_data = resolve(data, rna, atac, barcodes=barcodes)
    read = gather(
        rna_data, atac_data, find_group(data, rna_data, atac_data, groupby),
        read_evidence(rna_data, atac_data, tfs, motifs, prior),
        layer=layer, atac_layer=atac_layer, annotation=annotation, settings=settings,
    )  # fmt: skip
    _need_memory(read)
    with step(logger, "build_grn: links") as facts:
        kept = Checkpoint.at(checkpoint)
        pools = pooled(read, read.cells, read.n_metacells)
        found = infer_edges(pools, read.evidence, settings, root=root, n_jobs=jobs, checkpoint=kept)
        facts.append(f"{len(found.edges)} edges, {found.edges['eregulon'].nunique()} eRegulons, {len(read.tfs)} TFs")
    _need_edges(found, read, settings.eregulons.rho)
    with step(logger, "build_grn: cells") as facts:
        names = list(read.groups.cat.categories)
        scores = fit_cells(read.cells, found.edges, names, norm=settings.norm, n_jobs=jobs)
        facts.append(f"{scores.gene.active.sum(axis=1).mean():.1f} active eRegulons per cell")
        facts.append(f"{scores.graph.n_empty} cells without an edge")
    params = {
        "method": method, "groupby": groupby, "preset": preset, "window": settings.window, "basc": settings.eregulons.basc,
        "norm": settings.norm, "rng_root": f"{root:032x}",
        "evidence": "motifs" if read.evidence.motifs is not None else "prior" if read.evidence.prior is not None else "none",
    }  # fmt: skip
    inputs = {"rna": layer or "X", "atac": (atac_layer or "X") if read.cells.accessibility is not None else ""}
    record = recipe("build_grn", params, inputs=inputs, dropped=read.dropped)
    _collect(scores, keys, read, record).write(read.rna)
    return data if copy else None


def _need_memory(read: Read) -> None:
    """Log what the steps will hold; raise `ValueError` when that is more than `settings.max_memory`."""
    needs = stage_bytes(read.sizes)
    stage = max(needs, key=needs.__getitem__)
    logger.info("build_grn: needs about %.1f GB beside the data (%s)", needs[stage] / 1e9, stage)
    if needs[stage] > package_settings.max_bytes:
        raise fail(
            ValueError, f"build_grn must stay below settings.max_memory = {package_settings.max_memory!r}.",
            f"about {needs[stage] / 1e9:.2f} GB for the step {stage!r}.",
            "raise grs.settings.max_memory, or leave out genes and regions seen in few cells.",
        )  # fmt: skip


def _need_edges(found: Inferred, read: Read, rho: float) -> None:
    if len(found.edges):
        return
    strong = int((np.abs(found.tf_gene.rho) > rho).sum())
    n_pairs = 0 if found.region_gene is None else int((found.region_gene["rho"] > rho).sum())
    raise fail(
        ValueError, "a network needs at least one eRegulon.",
        f"none; {len(read.tfs)} TFs, {strong} TF-gene pairs and {n_pairs} region-gene pairs above the correlation limit.",
        "check the TF names and the motif table, or add cells: an eRegulon needs 10 target genes.",
    )  # fmt: skip


def _collect(scores: CellScores, keys: GrnKeys, read: Read, record: dict[str, Any]) -> Results:
    out = cell_results(scores, keys, read.rna.obs_names, read.groups)
    network = scores.network
    if scores.region is not None:
        eregulons = network.eregulons.assign(agreement=modality_agreement(scores))
        out.uns[keys.uns] = {**network.to_uns(), "eregulons": eregulons, "params": record}
    else:
        out.uns[keys.uns] = {**network.to_uns(), "params": record}
    out.varp[keys.varp] = weight_matrix(network.edges, read.rna.var_names)
    return out
