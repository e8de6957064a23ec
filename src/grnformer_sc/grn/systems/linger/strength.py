"""Strength of links in a group or a cell: what the networks learned of all cells times what the group or cell shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float, Float32, Int

from ...._core.typing import Number
from .cells import PSEUDO
from .inputs import Wiring
from .network import Strengths

BLOCK_GENES = 500  # targets whose links are held at a time
BLOCK = 1_000_000  # candidate triplets held at a time


@dataclass(frozen=True, slots=True)
class Shared:
    """What is the same in all groups and cells.

    Attributes
    ----------
    tf
        Genes x TFs: strength of the TF + .1, or 1; 0 where the TF is no input.
    binding
        Regions x TFs: similarity of the weights + rank of the motif hit; `None` without regions.
    cis
        Genes x regions: (strength of the region + .1) exp(-distance / scale); `None` without regions.
    """

    tf: Float32[np.ndarray, "genes tfs"]
    binding: sp.csr_matrix | None = None
    cis: sp.csr_matrix | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """Expression of all genes and accessibility of all regions, in units of their mean in the group or cell."""

    genes: Float[np.ndarray, " genes"]
    regions: Float[np.ndarray, " regions"] | None


def shared(found: Strengths, wiring: Wiring, *, distance: Number, tf_factor: bool) -> Shared:
    """Bring the strengths to a mean of 1 and join them with motifs and distances."""
    n_genes, tfs = wiring.genes.size, wiring.genes.get_indexer(wiring.tfs)
    tf = np.zeros((n_genes, tfs.size), dtype=np.float32)
    tf[found.targets] = _by_mean(found.tf_gene) + PSEUDO if tf_factor else 1
    tf[tfs, np.arange(tfs.size)] = 0
    if wiring.allowed is not None:
        tf *= wiring.allowed.T.toarray() != 0
    if wiring.hits is None or found.similarity is None:
        return Shared(tf)
    hits, pairs = wiring.hits, wiring.pairs
    binding = np.maximum(found.similarity.data, 0) + hits.data, hits.indices, hits.indptr
    near = np.exp(-np.abs(pairs["distance"].to_numpy()) / float(distance))
    cis = (_by_mean(found.region_gene) + PSEUDO) * near, (pairs["gene"].to_numpy(), pairs["region"].to_numpy())
    return Shared(tf, sp.csr_matrix(binding, hits.shape), sp.csr_matrix(cis, (n_genes, hits.shape[0])))


def _by_mean(strength: Float32[np.ndarray, "..."]) -> Float32[np.ndarray, "..."]:
    mean = strength.mean(dtype=np.float64)
    return strength if mean == 0 else (strength / mean).astype(np.float32)


def strongest(
    common: Shared, seen: Seen, tfs: Int[np.ndarray, " tfs"], top: int
) -> tuple[Int[np.ndarray, " links"], Int[np.ndarray, " links"], Float[np.ndarray, " links"]]:
    """The strongest links of a group: numbers of the TF and the gene, and strengths."""
    tf, gene, value = (np.empty(0, dtype=kind) for kind in (np.int64, np.int64, np.float64))
    for first, block in trans(common, seen, tfs):
        part = block.tocoo()
        more = part.col.astype(np.int64), part.row.astype(np.int64) + first, part.data
        keep = part.data > 0
        tf, gene, value = (np.concatenate([old, new[keep]]) for old, new in zip((tf, gene, value), more, strict=True))
        if value.size > top:
            best = np.sort(np.argpartition(-value, top - 1)[:top])
            tf, gene, value = tf[best], gene[best], value[best]
    return tf, gene, value


def trans(common: Shared, seen: Seen, tfs: Int[np.ndarray, " tfs"]) -> Iterator[tuple[int, sp.csr_matrix]]:
    """Strengths of all links of a group, genes x TFs: number of the first gene, and the next genes (rows)."""
    of_tf = sp.diags_array(seen.genes[tfs] + PSEUDO)
    bound = None
    if common.binding is not None and seen.regions is not None:
        bound = sp.diags_array((seen.regions + PSEUDO) ** 2) @ common.binding @ of_tf
    for first in range(0, seen.genes.size, BLOCK_GENES):
        own = slice(first, first + BLOCK_GENES)
        of_gene = sp.diags_array(seen.genes[own] + PSEUDO)
        strength = sp.csr_matrix(common.tf[own].astype(np.float64))
        if bound is not None and common.cis is not None:
            yield first, sp.csr_matrix((of_gene @ common.cis[own] @ bound).multiply(strength))
        else:
            yield first, sp.csr_matrix(of_gene @ strength @ of_tf)


def triplets(
    common: Shared, seen: Seen, tf: Int[np.ndarray, " links"], gene: Int[np.ndarray, " links"], top: int
) -> pd.DataFrame:
    """The strongest regions of every link in a group: `link`, `region` (-1 without regions), `shared`, `triplet`.

    `shared` is what of the strength is the same in all groups and cells, `triplet` that times the say of the region.
    """
    strength = common.tf[gene, tf].astype(np.float64)
    if common.binding is None or common.cis is None or seen.regions is None:
        return pd.DataFrame({"link": np.arange(tf.size), "region": -1, "shared": strength, "triplet": strength})
    cis, parts = common.cis, []
    n = np.diff(cis.indptr)[gene]
    start = np.unique(np.r_[0, np.searchsorted(np.cumsum(n), np.arange(BLOCK, n.sum(), BLOCK)), tf.size])
    for a, b in pairwise(start.tolist()):
        link = np.repeat(np.arange(a, b), n[a:b])
        place = np.repeat(cis.indptr[gene[a:b]] - np.cumsum(n[a:b]) + n[a:b], n[a:b]) + np.arange(link.size)
        region = cis.indices[place].astype(np.int64)
        value = np.asarray(common.binding[region, tf[link]]).ravel() * cis.data[place] * strength[link]
        keep = value > 0
        part = pd.DataFrame({"link": link[keep], "region": region[keep], "shared": value[keep]})
        part["triplet"] = part["shared"] * (seen.regions[part["region"]] + PSEUDO) ** 2
        part = part.iloc[np.lexsort((part["region"], -part["triplet"], part["link"]))]
        parts.append(part[part.groupby("link").cumcount() < top])
    return pd.concat(parts, ignore_index=True)
