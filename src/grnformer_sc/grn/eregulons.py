"""eRegulons: binarised region -> gene links, joined with motif hits, cut at the leading edge of TF -> gene scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int

from ._kernels.basc import basc_masks
from ._kernels.leading_edge import leading_edges

Basc = bool | Literal["scenicplus"]
LOWEST_OF_SCENICPLUS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class EregulonSettings:
    """Thresholds of the eRegulon step.

    `quantiles` and `top` binarise the region -> gene links of each gene (of the TF -> gene links, where regions play no
    part); `min_support` is the number of binarisations that must agree on a link. `closed` keeps regions whose opening
    goes with less expression as well. `basc` adds BASC A (Hopfensitz et al. 2012) as one more rule; `"scenicplus"` looks
    at the 100 weakest links of a gene only, as that program does.
    """

    quantiles: tuple[float, ...] = (0.85, 0.90, 0.95)
    top: tuple[int, ...] = (5, 10, 15)
    rho: float = 0.05
    min_targets: int = 10
    min_support: int = 2
    closed: bool = False
    basc: Basc = False

    @property
    def region_signs(self) -> tuple[int, ...]:
        """Signs of the region -> gene links that are used."""
        return (1, -1) if self.closed else (1,)


@dataclass(frozen=True, slots=True)
class Links:
    """Sorted (target, source) links of one kind with their score; `target` ascending."""

    source: Int[np.ndarray, " links"]
    target: Int[np.ndarray, " links"]
    score: Float[np.ndarray, " links"]


def binarise(links: Links, settings: EregulonSettings) -> Iterator[Bool[np.ndarray, " links"]]:
    """Yield one mask of links per threshold rule, each applied to the links of every target on its own."""
    start = (
        np.flatnonzero(np.r_[True, links.target[1:] != links.target[:-1]]) if links.target.size else np.empty(0, int)
    )
    count = np.diff(np.r_[start, links.target.size])
    order = np.lexsort((-links.score, links.target))
    rank = np.empty(links.target.size, dtype=np.int64)
    rank[order] = np.arange(links.target.size) - np.repeat(start, count)
    descending, last = links.score[order], np.cumsum(count) - 1
    for q in settings.quantiles:
        position = (count - 1) * q
        low = np.floor(position).astype(int)
        below, above = descending[last - low], descending[last - np.minimum(low + 1, count - 1)]
        cut = below + (above - below) * (position - low)
        yield links.score > np.repeat(cut, count)
    for n in settings.top:
        yield rank < n
    if settings.basc:
        keep = np.zeros(links.target.size, dtype=bool)
        lowest = LOWEST_OF_SCENICPLUS if settings.basc == "scenicplus" else 0
        basc_masks(np.r_[start, links.target.size], links.score, lowest, keep)
        yield keep


def supported_links(links: Links, settings: EregulonSettings) -> Bool[np.ndarray, " links"]:
    """Links that at least `min_support` threshold rules keep."""
    votes = np.zeros(links.target.size, dtype=np.int64)
    for mask in binarise(links, settings):
        votes += mask
    return votes >= settings.min_support


@dataclass(frozen=True, slots=True)
class Modules:
    """TF-region-gene (or TF-gene, region -1) triplets with their signs and the number of supporting thresholds."""

    tf: Int[np.ndarray, " triplets"]
    region: Int[np.ndarray, " triplets"]
    gene: Int[np.ndarray, " triplets"]
    sign: Int[np.ndarray, " triplets"]
    region_sign: Int[np.ndarray, " triplets"]
    support: Int[np.ndarray, " triplets"]

    def table(self) -> pd.DataFrame:
        """One row per triplet."""
        return pd.DataFrame({name: getattr(self, name) for name in self.__dataclass_fields__})


def motif_eregulons(
    region_gene: Links,
    region_gene_rho: Float[np.ndarray, " links"],
    motifs: Bool[np.ndarray, ...] | sp.csr_matrix,
    importance: Float[np.ndarray, "tfs genes"],
    rho: Float[np.ndarray, "tfs genes"],
    settings: EregulonSettings,
) -> Modules:
    """Join region -> gene links with motif hits and keep each TF's leading edge.

    Per threshold rule and sign of the region -> gene correlation, a TF's module holds the genes with a kept region that
    carries its motif (one sparse product for all TFs). The genes are ranked by TF -> gene importance among those with a
    correlation of one sign; the leading edge of the running sum is kept (Subramanian et al. 2005; SCENIC+ with its
    permutation filter off). Triplets of the union over rules carry the number of rules that agree.
    """
    n_tfs, n_genes = importance.shape
    hits = sp.csr_matrix(motifs, dtype=bool)
    found = []
    for region_sign in settings.region_signs:
        own = region_gene_rho * region_sign > settings.rho
        part = Links(region_gene.source[own], region_gene.target[own], region_gene.score[own])
        for mask in binarise(part, settings):
            kept = sp.csr_matrix(
                (np.ones(mask.sum(), dtype=np.float32), (part.target[mask], part.source[mask])),
                (n_genes, hits.shape[0]),
            )
            members = ((kept @ hits.astype(np.float32)).T > 0).tocsr()
            edge_of = {
                s: leading_edge_members(members, importance, rho * s > settings.rho, settings.min_targets)
                for s in (1, -1)
            }
            for sign, edge in edge_of.items():
                found.append(_triplets(edge, kept, hits, sign, region_sign))
    return _count_support(found, settings, (n_tfs, hits.shape[0] + 1, n_genes))


def correlation_regulons(
    importance: Float[np.ndarray, "tfs genes"], rho: Float[np.ndarray, "tfs genes"], settings: EregulonSettings
) -> Modules:
    """TF -> gene regulons where no motif evidence exists: the same threshold rules on each gene's TFs."""
    found = []
    for sign in (1, -1):
        gene, tf = np.nonzero(((rho * sign > settings.rho) & (importance > 0)).T)
        links = Links(tf, gene, importance[tf, gene])
        for mask in binarise(links, settings):
            size = mask.sum()
            one = np.ones(size, dtype=np.int64)
            found.append(Modules(tf[mask], -one, gene[mask], sign * one, 0 * one, one))
    modules = _count_support(found, settings, (importance.shape[0], 1, importance.shape[1]))
    table = modules.table()
    size = table.groupby(["tf", "sign"])["gene"].transform("size")
    return _modules(table[size >= settings.min_targets])


def leading_edge_members(
    members: sp.csr_matrix,
    importance: Float[np.ndarray, "tfs genes"],
    allowed: Bool[np.ndarray, "tfs genes"],
    min_targets: int,
) -> sp.csr_matrix:
    """Boolean TFs x genes: the members of each TF's module up to the maximum of its running sum."""
    order = np.argsort(-np.where(allowed, importance, -np.inf), axis=1, kind="stable")
    n_allowed = allowed.sum(axis=1)
    keep = np.zeros(members.nnz, dtype=bool)
    leading_edges(members.indptr, members.indices, order, n_allowed, importance, min_targets, keep)
    out = members.copy()
    out.data = keep
    out.eliminate_zeros()
    return out


def _triplets(edge: sp.csr_matrix, kept: sp.csr_matrix, hits: sp.csr_matrix, sign: int, region_sign: int) -> Modules:
    """All (TF, region, gene) with the gene in the TF's leading edge and the region kept for it and hit by the TF."""
    pairs = edge.tocoo()
    per_pair = np.diff(kept.indptr)[pairs.col]
    row = np.repeat(np.arange(pairs.row.size), per_pair)
    within = np.arange(row.size) - np.repeat(np.cumsum(per_pair) - per_pair, per_pair)
    region = kept.indices[kept.indptr[pairs.col][row] + within]
    tf, gene = pairs.row[row], pairs.col[row]
    hit = np.asarray(hits[region, tf]).ravel().astype(bool) if region.size else np.empty(0, bool)
    one = np.ones(int(hit.sum()), dtype=np.int64)
    return Modules(
        tf[hit].astype(np.int64),
        region[hit].astype(np.int64),
        gene[hit].astype(np.int64),
        sign * one,
        region_sign * one,
        one,
    )


def _count_support(found: list[Modules], settings: EregulonSettings, shape: tuple[int, int, int]) -> Modules:
    """Merge the triplets of all rules; keep those that enough rules support."""
    _, n_regions, n_genes = shape
    signs = {(1, 1): 0, (1, -1): 1, (-1, 1): 2, (-1, -1): 3, (1, 0): 0, (-1, 0): 2}
    keys = []
    for m in found:
        if m.tf.size:
            kind = signs[int(m.sign[0]), int(m.region_sign[0])]
            keys.append(((m.tf * 4 + kind) * n_genes + m.gene) * n_regions + (m.region if m.region_sign[0] else 0))
    key, support = np.unique(np.concatenate([np.empty(0, np.int64), *keys]), return_counts=True)
    keep = support >= settings.min_support
    key, support = key[keep], support[keep]
    has_regions = any(m.region_sign.size and m.region_sign[0] for m in found)
    rest, region = np.divmod(key, n_regions)
    rest, gene = np.divmod(rest, n_genes)
    tf, code = np.divmod(rest, 4)
    sign = np.where(code < 2, 1, -1)
    region_sign = np.where(code % 2 == 0, 1, -1) if has_regions else np.zeros(code.size, dtype=np.int64)
    return Modules(tf, region if has_regions else np.full(code.size, -1), gene, sign, region_sign, support)


def _modules(table: pd.DataFrame) -> Modules:
    return Modules(*(table[name].to_numpy() for name in Modules.__dataclass_fields__))
