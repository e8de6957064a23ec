"""From metacells to strengths of links: the networks of all genes, block by block."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float, Float32, Int
from joblib import Parallel, delayed
from torch import Tensor

from ...._core.compute import device_of, one_thread
from ...._core.logging import progress
from ...._core.rng import generator, torch_generator
from .bulk import Matched, Pretrained
from .inputs import Block, Samples, Wiring, block_size, blocks_of, gene_bytes, task_of
from .model import FIRST, Nets, drawn, fisher, stacked
from .options import LingerOptions
from .shapley import mean_contributions
from .training import Anchor, loss_terms, train


@dataclass(frozen=True, slots=True)
class Strengths:
    """What the networks say of links, of all metacells.

    Attributes
    ----------
    targets
        Genes with a network.
    tf_gene
        Mean size of the contribution of every TF to every target.
    region_gene
        The same of the region of every pair.
    similarity
        Regions x TFs: correlation of the first-layer weights of a region and a TF with a motif in it, mean over the genes.
    losses
        Mean over the genes of every term of the loss after training, and of the squared error.
    """

    targets: Int[np.ndarray, " targets"]
    tf_gene: Float32[np.ndarray, "targets tfs"]
    region_gene: Float32[np.ndarray, " pairs"]
    similarity: sp.csr_matrix | None
    losses: dict[str, float]


@dataclass(frozen=True, slots=True)
class _Found:
    """What a block hands back."""

    block: Block
    tf: np.ndarray
    region: np.ndarray
    place: np.ndarray  # of a motif hit among all
    similarity: np.ndarray
    losses: dict[str, float]
    nets: tuple[Nets, Nets] | None


def fit(
    samples: Samples,
    wiring: Wiring,
    options: LingerOptions,
    *,
    root: int,
    n_jobs: int,
    matched: Matched | None = None,
    kept: Pretrained | None = None,
) -> Strengths:
    """Train the networks of all targets and read the strengths of links off them; fill `kept` with the networks."""
    targets = wiring.targets(samples)
    n_samples = samples.expression.shape[1]
    drawn_samples = np.sort(generator(root, "background").permutation(n_samples)[: options.n_background])
    one = _Fit(samples, wiring, options, torch.from_numpy(drawn_samples), root, matched, kept is not None)
    blocks = list(blocks_of(wiring, targets, n_samples))
    tf_gene = np.zeros((targets.size, wiring.tfs.size), dtype=np.float32)
    region_gene = np.zeros(len(wiring.pairs), dtype=np.float32)
    n_hits = 0 if wiring.hits is None else wiring.hits.nnz
    total, number = np.zeros(n_hits), np.zeros(n_hits)
    losses: dict[str, float] = {}
    with one_thread():
        work = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator")
        found = work(delayed(one)(block) for block in blocks)
        for part in progress(found, title="linger: genes", total=len(blocks)):
            rows, there = np.searchsorted(targets, part.block.genes), part.block.pair >= 0
            tf_gene[rows] = part.tf
            region_gene[part.block.pair[there]] = part.region[there]
            np.add.at(total, part.place, part.similarity)
            np.add.at(number, part.place, 1)
            for name, value in part.losses.items():
                losses[name] = losses.get(name, 0.0) + value / targets.size
            if kept is not None and part.nets is not None:
                kept.put(rows, "weight", part.nets[0])
                kept.put(rows, "fisher", part.nets[1])
    similarity = None
    if wiring.hits is not None:
        mean = total / np.maximum(number, 1)
        similarity = sp.csr_matrix((mean, wiring.hits.indices, wiring.hits.indptr), wiring.hits.shape)
    return Strengths(targets, tf_gene, region_gene, similarity, losses)


@dataclass(frozen=True, slots=True)
class _Fit:
    """What is the same for all blocks."""

    samples: Samples
    wiring: Wiring
    options: LingerOptions
    background: Tensor
    root: int
    matched: Matched | None
    keep: bool

    def __call__(self, block: Block) -> _Found:
        device, options = device_of(self.options.device), self.options
        task, start = task_of(block, self.wiring, self.samples, device), _start(block, self.wiring, self.root)
        if self.matched is not None:
            start, anchor = self.matched.start(block, start), self.matched.anchor(block)
            task = replace(task, anchor=Anchor(_to(anchor.nets, device), _to(anchor.fisher, device)))
        with torch.no_grad():
            nets = train(_to(start, device), task, options)
            tf, region = mean_contributions(nets, task.x, self.background.to(device))
            losses = {name: float(value.sum()) for name, value in loss_terms(nets, task, options).items()}
            place, similarity = _similarity(nets, block, self.wiring)
            stored = (_to(nets, "cpu"), _to(fisher(nets, task.x), "cpu")) if self.keep else None
        return _Found(block, tf.cpu().numpy(), region.cpu().numpy(), place, similarity, losses, stored)


def _start(block: Block, wiring: Wiring, root: int) -> Nets:
    width, n_tfs = block.pair.shape[1], wiring.tfs.size
    return stacked([
        drawn(n_tfs, int((pair >= 0).sum()), width, torch_generator(root, "weights", wiring.genes[gene]))
        for gene, pair in zip(block.genes, block.pair, strict=True)
    ])  # fmt: skip


def _to(nets: Nets, device: str) -> Nets:
    return nets.map(lambda part: part.to(device))


def _similarity(nets: Nets, block: Block, wiring: Wiring) -> tuple[np.ndarray, np.ndarray]:
    """Correlations over the hidden units between a region and the TFs with a motif in it, and which hit each is of."""
    if wiring.hits is None:
        return np.empty(0, dtype=np.int64), np.empty(0)
    gene, column = np.nonzero(block.pair >= 0)
    region = wiring.pairs["region"].to_numpy()[block.pair[gene, column]]
    first, n = wiring.hits.indptr[region], np.diff(wiring.hits.indptr)[region]
    place = np.repeat(first - np.cumsum(n) + n, n) + np.arange(n.sum())
    table = torch.bmm(_unit(nets.tf).mT, _unit(nets.region)).cpu().numpy()
    value = table[np.repeat(gene, n), wiring.hits.indices[place], np.repeat(column, n)]
    return place, value.astype(np.float64)


def _unit(weights: Float[Tensor, "genes first inputs"]) -> Float[Tensor, "genes first inputs"]:
    centred = weights - weights.mean(dim=1, keepdim=True)
    return centred / centred.norm(dim=1, keepdim=True).clamp(min=1e-12)


def needed_bytes(wiring: Wiring, n_samples: int, n_regions: int, n_jobs: int, *, n_kept: int) -> float:
    """Memory of metacells, strengths and blocks, and of the networks that are kept (`n_kept` times all of them)."""
    n_genes, n_tfs = wiring.genes.size, wiring.tfs.size
    width = int(np.diff(wiring.first_pair).max(initial=0))
    block = block_size(n_tfs, width, n_samples) * gene_bytes(n_tfs, width, n_samples)
    nets = 8.0 * FIRST * (n_genes * n_tfs + len(wiring.pairs))
    hits = 0 if wiring.hits is None else wiring.hits.nnz
    return (
        4.0 * (n_genes + n_regions) * n_samples + 4.0 * n_genes * n_tfs + 32.0 * hits + n_jobs * block + n_kept * nets
    )
