"""`grs.estimate`: seconds and memory of `build_grn` before it is run."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .._core.inputs import Barcodes
from .._core.rng import seeds_for
from .._core.settings import resolve_jobs, settings
from .._core.tables import edge_table, eregulon_name
from ..grn.boosting import BoostSettings
from ..grn.cost import STAGES, stage_bytes
from ..grn.embedding import pca_scores
from ..grn.layout import join_links, lay_out
from ..grn.links import Evidence, LinkScores, Pools
from ..grn.region_gene import score_pairs
from ..grn.score import CellInput, fit_cells
from ..grn.settings import InferSettings
from ..grn.tf_gene import TfScores, tf_gene_links
from ._infer import pooled
from ._read import Read, gather
from ._settings import settings_of

logger = logging.getLogger(__name__)

PROBED_CELLS = (1_000, 2_000)  # on which steps are tried; with fewer, boosting would take other numbers of trees
PROBED_GENES = 8
PROBED_TARGETS = (32, 160)  # genes for which TF -> gene links are tried
OVERHEAD = 10  # boosting a gene takes as long as so many more regions
JOINED_GENES = 500
USUAL_RHO = 0.1  # spread of correlations
NULLS = 3  # kinds of permutation
TARGETS = 100  # genes of a stand-in eRegulon


def estimate(
    data: Any,
    groupby: str | None = None,
    *,
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
    n_perm: int | None = None,
    n_runs: int = 1,
    n_jobs: int | None = None,
) -> pd.DataFrame:
    """Estimate how long `tl.build_grn` takes on this machine and how much memory it needs.

    The input is read and checked as in the real run. Every step is tried on a part of it (some cells and genes), or on
    two parts where much of its time does not depend on the size, and its time is scaled by exact counts of the work.
    Memory follows from the sizes alone. Compilation, which the first call in a new environment pays, is not in it.

    Parameters
    ----------
    data
        MuData, pair (rna, atac), or AnnData with RNA only; nothing is written to it.
    groupby
        Column of obs with the cell types.
    annotation, motifs, prior, tfs, preset, rna, atac, layer, atac_layer, barcodes, window, n_perm, n_runs, n_jobs
        As in `tl.build_grn`.

    Returns
    -------
    Table with one row per step and the row `total`: `seconds`, and `gb`, the memory beyond what the process holds when the
    step begins (of the total: the largest).

    Raises
    ------
    KeyError, ValueError
        The input cannot be used; as in `tl.build_grn`.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=100, n_tfs=10, n_types=2, rng=0)
    >>> grs.estimate(mdata, "cell_type").index.tolist()
    ['read', 'rows', 'region -> gene', 'TF -> gene', 'eRegulons', 'cells', 'total']
    """
    chosen = settings_of(preset, window=window, n_perm=n_perm)
    jobs = resolve_jobs(n_jobs)
    start = time.perf_counter()
    read = gather(
        data, groupby=groupby, batch_key=None, rna=rna, atac=atac, layer=layer, atac_layer=atac_layer,
        barcodes=barcodes, annotation=annotation, tfs=tfs, motifs=motifs, prior=prior, settings=chosen,
    )  # fmt: skip
    seconds = {"read": time.perf_counter() - start}
    with settings.override(progress=False):
        seconds |= _probe(read, chosen, min(jobs, os.cpu_count() or 1))
    repeated = {"rows": n_runs, "region -> gene": n_runs + chosen.n_perm, "TF -> gene": n_runs + chosen.n_perm}
    repeated["eRegulons"] = n_runs + NULLS * chosen.n_perm
    seconds = {stage: took * repeated.get(stage, 1) for stage, took in seconds.items()}
    table = pd.DataFrame({"seconds": seconds, "gb": pd.Series(stage_bytes(read.sizes)) / 1e9}, index=list(STAGES))
    table.loc["total"] = [table["seconds"].sum(), table["gb"].max()]
    logger.info("estimate: %.2g s, %.2g GB", *table.loc["total"])
    return table


def _probe(read: Read, chosen: InferSettings, n_threads: int) -> dict[str, float]:
    """Seconds of all steps after reading, from a part of the cells."""
    n_cells, plan = read.cells.counts.shape[0], read.plan
    drawn_by = np.random.default_rng(0).integers(2**63, size=PROBED_CELLS[1], dtype=np.uint64)

    def make(n: int) -> Pools:
        part = _part(read.cells, n)
        n_part = part.counts.shape[0]
        embedding = pca_scores(part.counts)[0] if plan.n_neighbours > 1 else np.empty((n_part, 0))
        fewer = replace(plan, n_pools=min(plan.n_pools, n_part), n_single=min(plan.n_single, n_part))
        return pooled(read, part, embedding, np.arange(n_part), fewer, drawn_by[:n_part])

    n_read = plan.n_pools if plan.n_neighbours == 1 else n_cells  # nothing is done to deep cells that are no rows
    pools, took = _along(make, PROBED_CELLS, n_read)
    seconds = {"rows": took}
    seconds["region -> gene"] = _region_gene(pools, chosen) * plan.n_pools / pools.expression.shape[0] / n_threads
    n_fitted = plan.n_single or plan.n_pools
    seconds["TF -> gene"] = _tf_gene(pools, chosen, n_threads) * n_fitted / pools.for_tfs[0].shape[0]
    edges = _stand_in(read, pools)
    names = list(read.groups.cat.categories)
    fit = partial(fit_cells, edges=edges, group_names=names, norm=chosen.norm, n_jobs=n_threads)
    took = _along(lambda n: fit(_part(read.cells, n)), PROBED_CELLS, n_cells)[1]
    return {**seconds, "eRegulons": _eregulons(read, pools, chosen), "cells": took}


def _region_gene(pools: Pools, chosen: InferSettings) -> float:
    """Seconds on one thread, scaled from genes with few and with many regions."""
    if pools.pairs is None or pools.accessibility is None:
        return 0.0
    count = np.bincount(pools.pairs["gene"], minlength=pools.genes.size)
    linked = np.flatnonzero(count)[np.argsort(count[count > 0], kind="stable")]
    genes = np.sort(linked[np.unique(np.linspace(0, linked.size - 1, PROBED_GENES).astype(int))])
    own = pools.pairs[np.isin(pools.pairs["gene"], genes)]
    given = (
        pools.expression[:, genes], pools.accessibility, np.searchsorted(genes, own["gene"]), own["region"].to_numpy(),
        seeds_for(0, "probe", pools.genes[genes]),
    )  # fmt: skip
    score_pairs(*given, settings=replace(chosen.region_gene, n_trees=1), n_jobs=1)  # compiled before it is timed
    took = _timed(lambda: score_pairs(*given, settings=chosen.region_gene, n_jobs=1))[1]
    return took * float((count[linked] + OVERHEAD).sum() / (count[genes] + OVERHEAD).sum())


def _tf_gene(pools: Pools, chosen: InferSettings, n_threads: int) -> float:
    """Seconds, scaled from some genes; boosting is shared by the threads, what a single tree takes is not."""
    expression, tfs = pools.for_tfs[0], pools.tfs
    others = np.setdiff1d(np.arange(pools.genes.size), tfs)

    def link(n: int, settings: BoostSettings) -> None:
        genes = np.r_[others[np.linspace(0, others.size - 1, min(n, others.size)).astype(int)], tfs]
        columns = np.arange(genes.size - tfs.size, genes.size)
        seeds, n_targets = seeds_for(0, "probe", pools.genes[genes]), n if n <= others.size else None
        tf_gene_links(expression[:, genes], columns, seeds, settings=settings, n_jobs=1, n_targets=n_targets)

    parts = PROBED_TARGETS if PROBED_TARGETS[1] <= others.size else (pools.genes.size, pools.genes.size)
    alone, boosted = (
        _along(partial(link, settings=settings), parts, pools.genes.size)[1]
        for settings in (replace(chosen.tf_gene, n_trees=1), chosen.tf_gene)
    )
    return alone + max(boosted - alone, 0.0) / n_threads


def _eregulons(read: Read, pools: Pools, chosen: InferSettings) -> float:
    """Seconds to join links, from a part of the genes with random scores."""
    rng = np.random.default_rng(0)
    every = max(1, pools.genes.size // JOINED_GENES)
    genes = np.arange(0, pools.genes.size, every)
    score = rng.random((pools.tfs.size, genes.size), dtype=np.float32)
    rho = rng.normal(0, USUAL_RHO, score.shape).astype(np.float32)
    tf_gene = TfScores(importance=score, rho=rho, vote=score)
    links = None
    if pools.pairs is not None:
        links = pools.pairs[pools.pairs["gene"] % every == 0]
        random = {name: rng.random(len(links)) for name in ("importance", "score")}
        random["rho"] = rng.normal(0, USUAL_RHO, len(links))
        links = links.assign(gene=links["gene"] // every, **random).reset_index(drop=True)
    prior = read.evidence.prior
    evidence = replace(read.evidence, prior=None if prior is None else prior[:, genes])
    part = replace(pools, genes=pools.genes[genes], tfs=np.zeros_like(pools.tfs))
    call = partial(_join, LinkScores(links, tf_gene), evidence, part, chosen)
    call()
    return _timed(call)[1] * every


def _join(scores: LinkScores, evidence: Evidence, pools: Pools, chosen: InferSettings) -> None:
    lay_out(join_links(scores, evidence, chosen.eregulons), scores, pools, evidence)


def _stand_in(read: Read, pools: Pools) -> pd.DataFrame:
    """Edges of a random eRegulon per TF, and of a second one for every fourth TF, as real cells have them."""
    rng = np.random.default_rng(0)
    names = read.tfs.to_numpy(dtype=str)
    tf = np.repeat(np.r_[names, names[::4]], TARGETS)
    sign = np.repeat(np.r_[np.ones(names.size, int), -np.ones(names[::4].size, int)], TARGETS)
    regions = np.array([""]) if pools.regions is None else pools.regions.to_numpy(dtype=str)
    state = 0 if pools.regions is None else 1
    columns = {
        "tf": tf, "gene": rng.choice(pools.genes.to_numpy(dtype=str), tf.size), "region": rng.choice(regions, tf.size),
        "sign": sign, "region_sign": np.full(tf.size, state),
        "eregulon": [eregulon_name(t, s, state) for t, s in zip(tf, sign, strict=True)],
    }  # fmt: skip
    return edge_table({**columns, "evidence": np.full(tf.size, "none")})


def _along(call: Callable[[int], Any], parts: tuple[int, int], whole: int) -> tuple[Any, float]:
    """Seconds for `whole` items, on the line through the times of two parts; also what the larger part gave.

    The smaller part is run twice, so that nothing is compiled while it is timed.
    """
    few, many = (min(part, whole) for part in parts)
    call(few)
    less = _timed(lambda: call(few))[1] if many > few else 0.0
    out, more = _timed(lambda: call(many))
    return out, more + max(more - less, 0.0) * (whole - many) / max(many - few, 1)


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    out = call()
    return out, time.perf_counter() - start


def _part(cells: CellInput, n: int) -> CellInput:
    """Every n-th cell, in memory."""
    return cells.take(np.unique(np.linspace(0, cells.counts.shape[0] - 1, n).astype(np.int64)))
