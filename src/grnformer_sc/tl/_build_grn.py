"""`tl.build_grn`: gene regulatory networks of cell types and of cells."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from .._core.checks import listing, need_between, need_one_of
from .._core.inputs import Barcodes
from .._core.keys import DEFAULT_METHOD
from .._core.rng import RngLike
from ..grn.aucell import Norm
from ..grn.eregulons import Basc
from ..grn.systems import SCORERS
from ..grn.thresholds import Rule
from ._arguments import need_unset, unless
from ._build_regulons import build_regulons
from ._build_system import SYSTEMS, build_system, not_read, with_prior
from ._read import gather
from ._settings import settings_of

METHODS = (DEFAULT_METHOD, *SCORERS, *SYSTEMS)


def build_grn(
    data: Any,
    *,
    method: str = DEFAULT_METHOD,
    options: Mapping[str, Any] | None = None,
    groupby: str | None = None,
    batch_key: str | None = None,
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
    binarize: Rule = "mixture",
    quantile: float = 0.9,
    extended: bool | None = None,
    n_perm: int | None = None,
    max_fdr: float | None = None,
    n_runs: int = 1,
    key_added: str | None = None,
    rng: RngLike = 0,
    n_jobs: int | None = None,
    resume: bool | str | Path = False,
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
        `"eregulon"`, or one that scores TF -> gene links from the RNA alone: `"grnboost2"`, `"genie3"`, `"ridge"`,
        `"correlation"`, `"partial_correlation"` (`grs.get.methods` describes them). These make a network by the same rules
        and write the same slots below `"grn_<method>"`; a prior limits their links, motifs do not. Systems with inputs or
        rules of their own, which `options` names: `"celloracle"` and `"dictys"` (need a prior or motifs), `"embedding"`
        (needs a gene embedding), `"flecs"`, `"linger"` (motifs with ATAC, or RNA alone), `"lpm"`, `"pcnet"`, `"renge"`,
        `"ritini"`; `"genecompass"`, `"geneformer"`, `"scgenept"`, `"scgpt"`, `"scprint"` (need a checkpoint).
    options
        What such a system is told, by name, as its page lists them
        (`method="renge", options={"perturbation_key": "knockout", "time_key": "day"}`).
    groupby
        Column of obs with the cell types, in `mdata.obs` or either modality; `None` makes one group "all".
    batch_key
        Column of obs with batches or donors: links are scored in every batch by itself and averaged, so that differences
        between batches make no link. Every batch needs 50 cells.
    annotation
        Gene positions (GTF, GFF3, BED, DataFrame); by default `chrom`, `start`, `end`, `strand` of `rna.var`.
    motifs
        Motif hits as a regions x TFs DataFrame or AnnData; by default `atac.varm["motifs"]` where it exists.
    prior
        Prior network (any form that `grs.priors.prior_network` reads): only its TF-gene pairs can become links.
    tfs
        TF names: list, file with one per line, or a boolean column of `rna.var`. By default the TFs of the motifs or
        prior, else those that `grs.priors.tf_names` recognises by their gene family; of RENGE the knocked-out genes.
    preset
        Named set of settings. `"default"` asks that two of six binarisations agree on a link. `"strict"` asks for three,
        for direct motif evidence and for eRegulons with a false discovery rate of at most .2 (`n_perm=10`).
        `"scenicplus"` follows that program: regions within 150 kb of the gene body, links ranked by importance alone, its
        seven binarisations of which one suffices, regions of both signs, every TF its own target, AUCell as in pySCENIC.
    rna, atac
        Names of the modalities.
    layer, atac_layer
        Layers with raw counts; `None` is `.X`.
    barcodes
        `"exact"` asks for equal barcodes in both modalities, `"stem"` pairs them by their nucleotides alone.
    window
        Largest distance of a region from the TSS in bp; by default that of the preset (500,000), of LINGER 1,000,000.
    basc
        Whether BASC A is one of the binarisations; `"scenicplus"` with its cut to the 100 weakest links of a gene. By
        default that of the preset (`False`).
    norm
        What AUCell divides by, `"decoupler"` or `"pyscenic"`; by default that of the preset (`"decoupler"`).
    binarize
        How the AUC threshold of an eRegulon is found: `"mixture"` (dip test, then the crossing of two Gaussians, else
        mean + 2 sd), `"trough"` (the lowest density between them, as in pySCENIC), `"otsu"`, or `"quantile"`.
    quantile
        Share of the cells below the threshold with `binarize="quantile"`.
    extended
        Whether motif hits by orthology or motif similarity (`atac.varm["motifs_extended"]`) count beside direct ones; by
        default that of the preset (`True`).
    n_perm
        Permutations of each kind for the false discovery rates in the table of edges and of eRegulons; by default that of
        the preset (0: no rates). See `grs.grn.nulls` for what is permuted.
    max_fdr
        Leave out eRegulons with a larger rate; by default that of the preset (1: none is left out). Below 1 it needs
        permutations.
    n_runs
        Number of networks inferred. The first is that of all cells and is the one written; each further one is made from
        90 % of the cells with other seeds, and `frequency` is the share of these that hold the same link.
    key_added
        Base name of the slots; by default `"grn"`, or `"grn_<method>"` for another method.
    rng
        Seed or numpy Generator; the same seed gives the same bits for any `n_jobs` and any order of genes and regions.
    n_jobs
        Threads; `None` means `grs.settings.n_jobs`.
    resume
        Keep finished parts of the boosting, by a hash of all that decides them: a run that was stopped goes on where it
        was when it is repeated, with the same bits. `True` keeps them below `grs.settings.cache_dir`, a path in that
        folder; delete it when the network is made.
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

    Systems with options write `uns` (with entries of their own), `varp` and the group label alone; `grs.tl.cell_grn` with
    `key_added="grn_<method>", thresholds="fit"` adds the slots of the cells.

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
    need_between(n_runs, 1, 10_000, name="n_runs")
    of_default = {
        "annotation": annotation, "motifs": motifs, "window": window, "basc": basc, "extended": extended,
        "n_perm": n_perm, "max_fdr": max_fdr, "preset": unless(preset, "default"),
    }  # fmt: skip
    read = partial(
        gather, groupby=groupby, rna=rna, atac=atac, layer=layer, atac_layer=atac_layer, barcodes=barcodes,
        annotation=annotation, tfs=tfs, motifs=motifs, prior=prior,
    )  # fmt: skip
    how: dict[str, Any] = {
        "groupby": groupby, "layer": layer, "key_added": key_added, "rng": rng, "n_jobs": n_jobs, "resume": resume,
        "copy": copy,
    }  # fmt: skip
    if method in SYSTEMS:
        of_cells = {"norm": norm, "binarize": unless(binarize, "mixture"), "quantile": unless(quantile, 0.9)}
        of_runs = {"batch_key": batch_key, "n_runs": unless(n_runs, 1), "resume": resume or None}
        of_evidence = {"prior": prior, "atac_layer": atac_layer}
        _need_unset(method, not_read(method, {**of_default, **of_cells, **of_runs, **of_evidence}))
        system = SYSTEMS[method]
        own = settings_of(preset, window=system.window if window is None else window)
        read = partial(read, batch_key=None, settings=own, regions=prior is None)
        options = with_prior(options, prior) if system.prior else options
        return build_system(data, method, options, read, tfs=tfs, rna=rna, **how)
    _need_unset(method, {"options": options})
    if method != DEFAULT_METHOD:
        _need_unset(method, of_default)
    chosen = settings_of(
        preset, window=window, basc=basc, norm=norm, binarize=binarize, quantile=quantile, extended=extended,
        n_perm=n_perm, max_fdr=max_fdr,
    )  # fmt: skip
    read = partial(read, batch_key=batch_key, settings=chosen, regions=method == DEFAULT_METHOD)
    return build_regulons(
        data, method, chosen, read, preset=preset, batch_key=batch_key, atac_layer=atac_layer, n_runs=n_runs, **how
    )


def _need_unset(method: str, given: dict[str, Any]) -> None:
    """Raise `ValueError` for arguments that a method does not know."""
    fix = f"leave them out, or use method={DEFAULT_METHOD!r}."
    if given.get("prior") is not None and method in SYSTEMS and "prior" in SYSTEMS[method].names:
        fix = "pass the prior among options={'prior': ...}."
    if "options" in given:
        fix = f"leave options out; they are of {listing(SYSTEMS)}."
    need_unset(given, expected=f"method={method!r} has no such options.", fix=fix)
