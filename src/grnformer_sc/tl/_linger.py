"""LINGER in `build_grn`: evidence and metacells in, one edge table of all groups out, networks to and from files."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._core.checks import fail, listing
from .._core.files import sha256_of
from .._core.rows import members
from ..grn.embedding import pca_scores
from ..grn.systems.groups import GroupNetworks
from ..grn.systems.linger.cells import relative
from ..grn.systems.linger.options import LingerOptions
from ._systems import EvidenceInput, SystemNetwork, need_cells, need_memory

if TYPE_CHECKING:
    from ..grn.systems.linger.bulk import Matched, Pretrained
    from ..grn.systems.linger.inputs import Samples, Wiring
    from ..grn.systems.linger.network import Strengths
    from ..grn.systems.linger.strength import Seen

logger = logging.getLogger(__name__)

FEWEST_CELLS = 20  # of a group
FEWEST_METACELLS = 10
SUFFIX = ".safetensors"


def infer_linger(given: EvidenceInput, options: LingerOptions) -> SystemNetwork:
    """Train the network of every gene on metacells of all groups, and find the strongest links of each group."""
    from ..grn.systems.linger.links import collect
    from ..grn.systems.linger.strength import shared

    names = list(given.groups.cat.categories)
    size = np.bincount(given.read.cells.codes, minlength=len(names))
    n_few = need_cells("linger", size, names, FEWEST_CELLS)
    wiring = _wiring(given)
    found, samples, lost = _trained(given, wiring, options)
    common = shared(found, wiring, distance=options.distance, tf_factor=options.tf_factor)
    seen = [one if n >= FEWEST_CELLS else None for one, n in zip(_seen(given), size, strict=True)]
    links = collect(common, seen, samples, wiring, found, options)
    if not len(links.edges):
        raise fail(
            ValueError, "a network needs at least one link.", "none of a TF with a motif in a region of a gene.",
            "check the names of TFs and regions in the motif table.",
        )  # fmt: skip
    networks = GroupNetworks(wiring.genes, tuple(names), links.weights)
    stored = {**networks.to_uns(), "strengths": links.strengths, "losses": found.losses}
    if options.bulk is not None:
        stored["bulk"] = {"file": Path(options.bulk).name, "sha256": sha256_of(Path(options.bulk)), **lost}
    dropped = {**given.read.dropped, "groups_with_few_cells": n_few, **lost}
    return SystemNetwork(_with_evidence(links.edges, given), links.holds, stored, dropped)


def _trained(given: EvidenceInput, wiring: Wiring, options: LingerOptions) -> tuple[Strengths, Samples, dict[str, int]]:
    """Strengths of links, metacells, and numbers of what the other networks do not know; reads and writes the files."""
    from ..grn.systems.linger.bulk import Pretrained
    from ..grn.systems.linger.inputs import pools_of, samples_of
    from ..grn.systems.linger.network import fit, needed_bytes

    target = None if options.save is None else _writable(Path(options.save))
    bulk = None if options.bulk is None else Pretrained.read(Path(options.bulk))
    cells, names = given.read.cells, list(given.groups.cat.categories)
    pools = pools_of(cells, pca_scores(cells.counts)[0], names, options, given.root)
    _need_metacells(pools.shape[0])
    n_kept = (target is not None) + (bulk is not None)
    needed = needed_bytes(wiring, pools.shape[0], wiring.regions.size, given.n_jobs, n_kept=n_kept)
    need_memory("linger", needed, wiring.genes.size)
    samples = samples_of(cells, pools)
    targets = wiring.targets(samples)
    _need_targets(targets, wiring)
    matched, lost = _matched(bulk, wiring, targets, options)
    kept = None if target is None else Pretrained.empty(wiring, targets)
    found = fit(samples, wiring, options, root=given.root, n_jobs=given.n_jobs, matched=matched, kept=kept)
    _log(found, wiring, pools.shape[0])
    if kept is not None and target is not None:
        kept.save(target)
        logger.info("linger: networks of %d genes written to %s", targets.size, target)
    return found, samples, lost


def _wiring(given: EvidenceInput) -> Wiring:
    """What can act on a gene: TFs and regions with motifs, or the TFs of a prior, or all TFs."""
    from ..grn.systems.linger.inputs import Wiring

    read, cells = given.read, given.read.cells
    if cells.accessibility is not None and read.pairs is not None and cells.regions is not None:
        if read.evidence.ranks is None:
            raise fail(
                ValueError, "method='linger' needs motif hits, which tie TFs to regions.", "ATAC without motifs.",
                "run grs.pp.scan_motifs first or pass motifs=; or pass the RNA alone, mdata['rna'].",
            )  # fmt: skip
        pairs = read.pairs[["gene", "region", "distance"]]
        return Wiring(cells.genes, read.tfs, cells.regions, pairs, sp.csr_matrix(read.evidence.ranks))
    logger.info(
        "linger: RNA alone: inputs are %s; no regions, no motif graph",
        "all TFs" if read.evidence.prior is None else "the TFs of the prior",
    )
    none = pd.DataFrame({name: np.empty(0, dtype=np.int64) for name in ("gene", "region", "distance")})
    allowed = None if read.evidence.prior is None else sp.csr_matrix(read.evidence.prior != 0)
    return Wiring(cells.genes, read.tfs, pd.Index([], dtype=str), none, None, allowed)


def _seen(given: EvidenceInput) -> list[Seen]:
    """What every group shows: its counts, summed up."""
    from ..grn.systems.linger.strength import Seen

    cells = given.read.cells
    of_group = members(cells.codes, len(given.groups.cat.categories)).astype(np.float32)
    genes = relative(cells.counts.weighted(of_group))
    if cells.accessibility is None:
        return [Seen(one, None) for one in genes]
    regions = relative(cells.accessibility.weighted(of_group))
    return [Seen(one, other) for one, other in zip(genes, regions, strict=True)]


def _matched(
    bulk: Pretrained | None, wiring: Wiring, targets: np.ndarray, options: LingerOptions
) -> tuple[Matched | None, dict[str, int]]:
    """Where the genes, TFs and pairs are found in other networks, and how many are not."""
    from ..grn.systems.linger.bulk import match

    if bulk is None:
        return None, {}
    matched = match(bulk, wiring, targets)
    lost = matched.lost(targets)
    logger.info(
        "linger: %d of %d genes, %d of %d TFs and %d of %d region-gene pairs are those of %s (prior term %r, weight %g)",
        targets.size - lost["genes_not_in_bulk"], targets.size, wiring.tfs.size - lost["tfs_not_in_bulk"], wiring.tfs.size,
        len(wiring.pairs) - lost["pairs_not_in_bulk"], len(wiring.pairs), Path(str(options.bulk)).name, options.prior_term,
        options.pull,
    )  # fmt: skip
    return matched, lost


def _with_evidence(edges: pd.DataFrame, given: EvidenceInput) -> pd.DataFrame:
    """Say of every link what ties its TF to it, and how well the motif fits."""
    read = given.read
    if read.evidence.motifs is None or read.cells.regions is None:
        return edges.assign(evidence=_kind(edges, "none" if read.evidence.prior is None else "prior"))
    region = read.cells.regions.get_indexer(edges["region"].astype(str))
    tf = read.tfs.get_indexer(edges["tf"].astype(str))
    direct = np.asarray(read.evidence.motifs[region, tf]).ravel()
    score = direct if read.evidence.hits is None else np.asarray(read.evidence.hits[region, tf]).ravel()
    return edges.assign(
        evidence=_kind(edges, np.where(direct != 0, "direct", "extended")), motif_score=score.astype(np.float32)
    )


def _kind(edges: pd.DataFrame, values: Any) -> pd.Categorical:
    values = np.full(len(edges), values) if isinstance(values, str) else values
    return pd.Categorical(values, categories=edges["evidence"].cat.categories)


def _writable(path: Path) -> Path:
    if path.suffix != SUFFIX:
        raise fail(
            ValueError, f"save names a file that ends in {SUFFIX}.", f"{path.name!r}.",
            f"options={{'save': '{path.stem or 'networks'}{SUFFIX}'}}.",
        )  # fmt: skip
    if not path.parent.is_dir():
        raise fail(
            FileNotFoundError, f"the folder of {path.name!r} must exist.", f"{path.parent}, which does not.",
            "make it first, or check the path.",
        )  # fmt: skip
    return path


def _need_metacells(number: int) -> None:
    if number < FEWEST_METACELLS:
        raise fail(
            ValueError, f"the networks need {FEWEST_METACELLS} metacells.", f"{number}.",
            "add cells, or raise options={'n_metacells': ...} (by default the root of the cells of a group, plus 1).",
        )  # fmt: skip


def _need_targets(targets: np.ndarray, wiring: Wiring) -> None:
    if not targets.size:
        raise fail(
            ValueError, "some gene must vary and have a TF or region that can act on it.",
            f"none of {wiring.genes.size} genes such as {listing(wiring.genes, 3)}.",
            "check the annotation, or that the prior names genes of the data.",
        )  # fmt: skip


def _log(found: Strengths, wiring: Wiring, n_metacells: int) -> None:
    terms = ", ".join(f"{name} {value:.3g}" for name, value in found.losses.items())
    logger.info(
        "linger: %d networks on %d metacells, %d TFs and %d region-gene pairs; loss: %s",
        found.targets.size, n_metacells, wiring.tfs.size, len(wiring.pairs), terms,
    )  # fmt: skip
