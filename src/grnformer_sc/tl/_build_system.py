"""`build_grn` for published systems with inputs of their own: options, network, slots."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

from .._core.checkpoint import Checkpoint
from .._core.checks import fail, listing
from .._core.inputs import copy_of
from .._core.keys import GrnKeys
from .._core.logging import step
from .._core.params import recipe
from .._core.rng import RngLike, as_root
from .._core.settings import resolve_jobs
from ..grn.score import network_of_links
from ..grn.systems.celloracle.options import CellOracleOptions
from ..grn.systems.dictys.options import DictysOptions
from ..grn.systems.embedding.options import EmbeddingOptions
from ..grn.systems.flecs.options import FlecsOptions
from ..grn.systems.linger.options import LingerOptions
from ..grn.systems.lpm.options import LpmOptions
from ..grn.systems.renge.options import RengeOptions
from ..grn.systems.ritini.options import RitiniOptions
from ..grn.systems.scrank.options import PcnetOptions
from ..nn.foundation.options import FoundationOptions
from ._celloracle import infer_celloracle
from ._dictys import infer_dictys
from ._embedding_network import infer_embedding
from ._flecs import infer_flecs
from ._foundation import infer_foundation
from ._linger import infer_linger
from ._lpm import infer_lpm
from ._pcnet import infer_pcnet
from ._read import Read
from ._renge import infer_renge
from ._ritini import infer_ritini
from ._systems import EvidenceInput, SystemNetwork, read_input
from ._write import link_results

logger = logging.getLogger(__name__)

EVIDENCE = ("annotation", "motifs", "window", "prior", "atac_layer")  # what a system may share with the default method


@dataclass(frozen=True, slots=True)
class System:
    """A class of options, and the function that makes a network with them.

    Some make one network of all cells; some read the `evidence` of the default method: a prior, or motif hits, with regions
    within `window` bp of the TSS (`None`: that of the preset); of some the `prior` is an option of that name; some keep
    finished parts, so that a run that was stopped `resumes`.
    """

    options: Callable[..., Any]
    infer: Callable[[Any, Any], SystemNetwork]
    by_group: bool
    evidence: bool = False
    window: int | None = None
    resumes: bool = False
    prior: bool = False

    @property
    def names(self) -> list[str]:
        """Names of its options."""
        kind: Any = self.options
        return [field.name for field in fields(kind)]


SYSTEMS: dict[str, System] = {
    "celloracle": System(CellOracleOptions, infer_celloracle, by_group=True, evidence=True),
    "dictys": System(DictysOptions, infer_dictys, by_group=True, evidence=True),
    "embedding": System(EmbeddingOptions, infer_embedding, by_group=False),
    "flecs": System(FlecsOptions, infer_flecs, by_group=False),
    "linger": System(LingerOptions, infer_linger, by_group=True, evidence=True, window=1_000_000),
    "lpm": System(LpmOptions, infer_lpm, by_group=False),
    "pcnet": System(PcnetOptions, infer_pcnet, by_group=True),
    "renge": System(RengeOptions, infer_renge, by_group=False),
    **{
        name: System(FoundationOptions, partial(infer_foundation, name=name), by_group=True, resumes=True)
        for name in ("genecompass", "geneformer", "scgenept", "scgpt", "scprint")
    },
    "ritini": System(RitiniOptions, infer_ritini, by_group=False, prior=True),
}


def build_system(
    data: Any,
    method: str,
    options: Mapping[str, Any] | None,
    gather: Callable[[Any], Read],
    *,
    groupby: str | None,
    tfs: Any,
    rna: str,
    layer: str | None,
    key_added: str | None,
    rng: RngLike,
    n_jobs: int | None,
    resume: bool | str | Path,
    copy: bool,
) -> Any:
    """Make the network of a system and write it, without scores of cells; `gather` reads what the default method does."""
    system, chosen = SYSTEMS[method], options_of(method, options)
    if groupby is not None and not system.by_group:
        raise fail(
            ValueError, f"method={method!r} makes one network of all cells.", f"groupby={groupby!r}.",
            "leave groupby out; a network per group is made from the cells of each: adata[adata.obs[...] == ...].",
        )  # fmt: skip
    keys, root, jobs = GrnKeys.for_method(method, key_added), as_root(rng), resolve_jobs(n_jobs)
    if copy:
        data = copy_of(data)
    given: Any
    if system.evidence:
        given = EvidenceInput(data, gather(data), root, jobs)
    else:
        kept = Checkpoint.resuming("build_grn", resume=resume)
        given = read_input(
            data, groupby=groupby, tfs=tfs, rna=rna, layer=layer, root=root, n_jobs=jobs, checkpoint=kept
        )
    with step(logger, f"build_grn: {method}") as facts:
        found = system.infer(given, chosen)
        facts.append(f"{len(found.edges)} edges, {found.edges['tf'].nunique()} regulators")
    network = network_of_links(found.edges, list(given.groups.cat.categories), found.holds)
    evidence = str(found.edges["evidence"].iloc[0])
    params = {
        "method": method, "groupby": groupby, "rng_root": f"{root:032x}", "evidence": evidence,
        "options": _recorded(chosen),
    }  # fmt: skip
    record = recipe("build_grn", params, inputs={"rna": layer or "X", "atac": ""}, dropped=found.dropped)
    out = link_results(network, keys, given.rna, given.groups, record, found.stored)
    out.obsm |= {f"{keys.uns}_{name}": values for name, values in found.of_cells.items()}
    out.write(given.rna)
    return data if copy else None


def _recorded(chosen: Any) -> dict[str, Any]:
    """Options as the recipe keeps them: numbers and names, of a table or an object its kind and size."""
    plain = (str, int, float, bool, type(None))
    return {
        field.name: value if isinstance(value := getattr(chosen, field.name), plain)
        else str(value) if isinstance(value, Path)
        else f"{type(value).__name__} {getattr(value, 'shape', '')}".strip()
        for field in fields(chosen)
    }  # fmt: skip


def not_read(method: str, given: dict[str, Any]) -> dict[str, Any]:
    """Those of some arguments of `build_grn` that the system does not read."""
    system = SYSTEMS[method]
    known = EVIDENCE if system.evidence else ("prior",) if system.prior else ()
    return {
        name: value for name, value in given.items() if name not in known and (name != "resume" or not system.resumes)
    }


def with_prior(options: Mapping[str, Any] | None, prior: Any) -> Mapping[str, Any] | None:
    """Options of a system whose prior may also stand among them."""
    if prior is None:
        return options
    if "prior" in (options or {}):
        raise fail(ValueError, "give prior= or options={'prior': ...}, not both.", "both.", "leave one of them out.")
    return {**(options or {}), "prior": prior}


def options_of(method: str, given: Mapping[str, Any] | None) -> Any:
    """Options of a system as its class, with the names that it knows."""
    kind: Any = SYSTEMS[method].options
    if given is not None and not isinstance(given, Mapping):
        raise fail(
            TypeError, f"options must be a dictionary, of {listing(SYSTEMS[method].names)}.", f"{given!r}.",
            "pass options={name: value}.",
        )  # fmt: skip
    given = dict(given or {})
    known = {field.name: field for field in fields(kind)}
    unknown = [name for name in given if name not in known]
    if unknown:
        near = [hit for name in unknown for hit in get_close_matches(name, known, n=1)]
        raise fail(
            ValueError, f"options of method={method!r} are {listing(known, 30)}.", f"unknown {listing(unknown)}.",
            f"did you mean {listing(near)}?" if near else "use these names.",
        )  # fmt: skip
    missing = [name for name, each in known.items() if each.default is MISSING and name not in given]
    if missing:
        raise fail(
            ValueError, f"method={method!r} must be told {listing(missing)}.", f"options {listing(given)}.",
            f"pass options={{{missing[0]!r}: ...}}.",
        )  # fmt: skip
    return kind(**given)
