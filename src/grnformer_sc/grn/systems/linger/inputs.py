"""Metacells, and what goes into the networks of a block of genes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from jaxtyping import Float, Float32, Int

from ...._core.rng import generator
from ...embedding import log_normalise
from ...pooling import neighbour_pools
from ...score import CellInput
from .model import FIRST, Inputs
from .options import LingerOptions
from .training import Graph, Task

BLOCK_BYTES = 12e6  # of a block of genes; small enough for the caches of a core
MOST_GENES = 64  # of a block


@dataclass(frozen=True, slots=True)
class Samples:
    """Standardised log expression and accessibility of the metacells."""

    expression: Float32[np.ndarray, "genes samples"]
    accessibility: Float32[np.ndarray, "regions samples"] | None = None


@dataclass(frozen=True, slots=True)
class Wiring:
    """What can act on a gene.

    Attributes
    ----------
    genes, tfs, regions
        Names.
    pairs
        Candidate regions of the genes: `gene`, `region` (numbers, sorted), `distance`; empty without accessibility.
    hits
        Regions x TFs, ranks of motif hits (0 to 1).
    allowed
        TFs x genes, the pairs of a prior; `None` allows every TF.
    """

    genes: pd.Index
    tfs: pd.Index
    regions: pd.Index
    pairs: pd.DataFrame
    hits: sp.csr_matrix | None = None
    allowed: sp.csr_matrix | None = None

    @property
    def first_pair(self) -> Int[np.ndarray, " genes_and_end"]:
        """Row of the first pair of every gene, and the number of pairs."""
        return np.searchsorted(self.pairs["gene"].to_numpy(), np.arange(self.genes.size + 1))

    def targets(self, samples: Samples) -> Int[np.ndarray, " targets"]:
        """Genes that vary and have an input: a candidate region with ATAC, a TF of the prior with a prior."""
        used = np.ptp(samples.expression, axis=1) > 0
        if samples.accessibility is not None:
            used &= np.diff(self.first_pair) > 0
        if self.allowed is not None:
            used &= np.diff(self.allowed.tocsc().indptr) > 0
        return np.flatnonzero(used)


@dataclass(frozen=True, slots=True)
class Block:
    """Genes whose networks are trained together, and the pair in every place of their regions (-1: none)."""

    genes: Int[np.ndarray, " genes"]
    pair: Int[np.ndarray, "genes width"]


def pools_of(
    cells: CellInput,
    embedding: Float[np.ndarray, "cells comps"],
    names: Sequence[str],
    options: LingerOptions,
    root: int,
) -> sp.csr_matrix:
    """Metacells x cells: random cells of every group, each with its nearest neighbours of the group."""
    centres = []
    for code, name in enumerate(names):
        own = np.flatnonzero(cells.codes == code)
        wanted = int(own.size**0.5) + 1 if options.n_metacells is None else options.n_metacells
        centres.append(np.sort(generator(root, "metacells", name).permutation(own)[:wanted]))
    return neighbour_pools(embedding, cells.codes, np.concatenate(centres), options.n_neighbors)


def samples_of(cells: CellInput, pools: sp.csr_matrix) -> Samples:
    """Counts of the metacells, per 10,000, as logarithms, standardised; what does not vary is 0."""
    access = cells.accessibility
    return Samples(
        _standardised(log_normalise(cells.counts.weighted(pools))),
        None if access is None else _standardised(log_normalise(access.weighted(pools))),
    )


def _standardised(x: sp.csr_matrix) -> Float32[np.ndarray, "variables samples"]:
    out = np.ascontiguousarray(x.toarray().T, dtype=np.float32)
    out -= out.mean(axis=1, keepdims=True)
    spread = out.std(axis=1, keepdims=True)
    return np.divide(out, spread, out=np.zeros_like(out), where=spread > 1e-6)


def blocks_of(wiring: Wiring, targets: Int[np.ndarray, " targets"], n_samples: int) -> Iterator[Block]:
    """Genes with about as many regions, as many as fit into a block."""
    first = wiring.first_pair
    size = np.diff(first)[targets]
    order = targets[np.argsort(size, kind="stable")]
    end = order.size
    while end:
        width = int(first[order[end - 1] + 1] - first[order[end - 1]])
        start = max(0, end - block_size(wiring.tfs.size, width, n_samples))
        genes = order[start:end]
        place = first[genes][:, None] + np.arange(width)
        yield Block(genes, np.where(place < first[genes + 1][:, None], place, -1))
        end = start


def block_size(n_tfs: int, width: int, n_samples: int) -> int:
    """Genes of a block."""
    return int(np.clip(BLOCK_BYTES // gene_bytes(n_tfs, width, n_samples), 1, MOST_GENES))


def gene_bytes(n_tfs: int, width: int, n_samples: int) -> float:
    """Memory that the network of a gene needs in training: weights, gradient, moments, units, inputs, motif graph."""
    return 4.0 * (5 * FIRST * (n_tfs + width) + 5 * FIRST * n_samples + width * (n_samples + 2 * n_tfs))


def task_of(block: Block, wiring: Wiring, samples: Samples, device: str) -> Task:
    """Tensors of a block of genes."""
    there = block.pair >= 0
    region = np.zeros((*block.pair.shape, samples.expression.shape[1]), dtype=np.float32)
    number = wiring.pairs["region"].to_numpy()[block.pair[there]]
    if samples.accessibility is not None:
        region[there] = samples.accessibility[number]
    place = wiring.genes.get_indexer(wiring.tfs)
    closed = place[None] == block.genes[:, None]
    if wiring.allowed is not None:
        closed |= wiring.allowed[:, block.genes].toarray().T == 0
    graph = None
    if wiring.hits is not None:
        hits = np.zeros((*block.pair.shape, place.size), dtype=np.float32)
        hits[there] = (wiring.hits[number] != 0).toarray()
        hits *= ~closed[:, None]
        graph = Graph.of(torch.from_numpy(hits).to(device).mT.contiguous())
    x, y, on_device = samples.expression[place], samples.expression[block.genes], np.nonzero(closed)
    own = tuple(torch.from_numpy(part).to(device) for part in on_device)
    return Task(
        Inputs(torch.from_numpy(x).to(device), torch.from_numpy(region).to(device)), torch.from_numpy(y).to(device),
        (own[0], own[1]), graph,
    )  # fmt: skip
