"""`build_grn` by the rules of eRegulons: the default method, and any other score of TF -> gene links."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .._core.checkpoint import Checkpoint
from .._core.checks import fail
from .._core.inputs import copy_of
from .._core.keys import DEFAULT_METHOD, GrnKeys
from .._core.logging import step
from .._core.params import recipe
from .._core.rng import RngLike, as_root
from .._core.settings import resolve_jobs, settings
from ..grn.cost import stage_bytes
from ..grn.infer import Inferred, infer_edges, infer_scored
from ..grn.links import Work
from ..grn.score import CellScores, fit_cells
from ..grn.settings import InferSettings
from ..grn.systems import SCORERS
from ._infer import Infer, infer_runs
from ._read import Read
from ._write import network_results

logger = logging.getLogger(__name__)

SHOWN_FDR = 0.2  # in the log
RECORDED = ("norm", "binarize", "quantile")
RECORDED_OF_DEFAULT = ("window", "extended", "n_perm", "max_fdr")


def build_regulons(
    data: Any,
    method: str,
    chosen: InferSettings,
    gather: Callable[[Any], Read],
    *,
    preset: str,
    groupby: str | None,
    batch_key: str | None,
    layer: str | None,
    atac_layer: str | None,
    n_runs: int,
    key_added: str | None,
    rng: RngLike,
    n_jobs: int | None,
    resume: bool | str | Path,
    copy: bool,
) -> Any:
    """Infer the links, score the cells with them, and write both; `gather` reads the input."""
    keys, kept = GrnKeys.for_method(method, key_added), Checkpoint.resuming("build_grn", resume=resume)
    work = Work(settings=chosen, root=as_root(rng), n_jobs=resolve_jobs(n_jobs), checkpoint=kept)
    if copy:
        data = copy_of(data)
    read = gather(data)
    _need_memory(read)
    found = _links(read, work, method, n_runs)
    scores = _cells(read, work, found)
    params = {
        "method": method, "groupby": groupby, "batch_key": batch_key, "n_runs": n_runs, "rng_root": f"{work.root:032x}",
        **{name: getattr(chosen, name) for name in RECORDED},
        "evidence": "motifs" if read.evidence.motifs is not None else "prior" if read.evidence.prior is not None else "none",
    }  # fmt: skip
    if method == DEFAULT_METHOD:
        params |= {"preset": preset, "basc": chosen.eregulons.basc}
        params |= {name: getattr(chosen, name) for name in RECORDED_OF_DEFAULT}
    inputs = {"rna": layer or "X", "atac": (atac_layer or "X") if read.cells.accessibility is not None else ""}
    record = recipe("build_grn", params, inputs=inputs, dropped=read.dropped)
    network_results(scores, keys, read.rna, read.groups, record, fdr=found.eregulon_fdr).write(read.rna)
    return data if copy else None


def _links(read: Read, work: Work, method: str, n_runs: int) -> Inferred:
    """Edge table of the default method, or of another score."""
    infer: Infer = infer_edges if method == DEFAULT_METHOD else partial(infer_scored, score=SCORERS[method])
    with step(logger, "build_grn: links") as facts:
        found = infer_runs(read, work, n_runs, infer=infer)
        facts.append(f"{len(found.edges)} edges, {found.edges['eregulon'].nunique()} eRegulons, {len(read.tfs)} TFs")
        if work.settings.n_perm:
            facts.append(f"{(found.edges['fdr'] <= SHOWN_FDR).sum()} edges with fdr <= {SHOWN_FDR}")
    _need_edges(found, read, work.settings.eregulons.rho)
    return found


def _cells(read: Read, work: Work, found: Inferred) -> CellScores:
    """Scores and bits of all cells."""
    chosen = work.settings
    with step(logger, "build_grn: cells") as facts:
        scores = fit_cells(
            read.cells, found.edges, list(read.groups.cat.categories), norm=chosen.norm, rule=chosen.binarize,
            quantile=chosen.quantile, n_jobs=work.n_jobs,
        )  # fmt: skip
        facts.append(f"{scores.gene.active.sum(axis=1).mean():.1f} active eRegulons per cell")
        facts.append(f"{scores.graph.n_empty} cells without an edge")
    return scores


def _need_memory(read: Read) -> None:
    """Log what the steps will hold; raise `ValueError` when that is more than `settings.max_memory`."""
    needs = stage_bytes(read.sizes)
    stage = max(needs, key=needs.__getitem__)
    logger.info("build_grn: needs about %.2g GB beside the data (%s)", needs[stage] / 1e9, stage)
    if needs[stage] > settings.max_bytes:
        raise fail(
            ValueError, f"build_grn must stay below settings.max_memory = {settings.max_memory!r}.",
            f"about {needs[stage] / 1e9:.2g} GB for the step {stage!r}.",
            "raise grs.settings.max_memory, or leave out genes and regions seen in few cells.",
        )  # fmt: skip


def _need_edges(found: Inferred, read: Read, rho: float) -> None:
    if len(found.edges):
        return
    strong = int((np.abs(found.scores.tf_gene.rho) > rho).sum())
    links = found.scores.region_gene
    n_pairs = 0 if links is None else int((links["rho"] > rho).sum())
    filters = ", ".join(f"{name}: {n}" for name, n in found.counts.items())
    raise fail(
        ValueError, "a network needs at least one eRegulon.",
        f"none; {len(read.tfs)} TFs, {strong} TF-gene pairs and {n_pairs} region-gene pairs above the correlation limit; "
        f"edges after each filter: {filters}.",
        "check the TF names and the motif table, add cells (an eRegulon needs 10 target genes), or raise max_fdr.",
    )  # fmt: skip
