"""Dictys from the cells of a group or window to links, levels and variances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from ...._core.compute import device_of
from ...._core.rng import generator, torch_generator
from .model import Data, Parts
from .options import DictysOptions
from .start import start
from .training import Trained, Training, train

ARRAYS = 14  # cells x genes of float32 that a step holds
SQUARES = 8  # genes x genes


@dataclass(frozen=True, slots=True)
class Fit:
    """Links of one set of cells, what its genes do, and terms of the loss at some steps.

    `genes` are places among all genes, the TFs with links first; `tf` and `gene` are places among these.
    """

    genes: Int[np.ndarray, " genes"]
    tf: Int[np.ndarray, " links"]
    gene: Int[np.ndarray, " links"]
    weight: Float[np.ndarray, " links"]
    level: Float[np.ndarray, " genes"]
    sd: Float[np.ndarray, " genes"]
    steps: list[int]
    losses: Float[np.ndarray, "records 3"]

    def matrix(self, n_genes: int) -> sp.csr_matrix:
        """Weights between all genes."""
        keep = self.weight != 0
        ends = self.genes[self.tf[keep]], self.genes[self.gene[keep]]
        return sp.csr_matrix((self.weight[keep].astype(np.float64), ends), (n_genes, n_genes))

    def spread_out(self, value: Float[np.ndarray, " genes"], n_genes: int) -> Float[np.ndarray, " all"]:
        """Values of the genes of the model among all genes, NaN elsewhere."""
        out = np.full(n_genes, np.nan)
        out[self.genes] = value
        return out


def fit_cells(
    counts: sp.csr_matrix,
    total: Float[np.ndarray, " cells"],
    genes: Int[np.ndarray, " genes"],
    links: Int[np.ndarray, "2 links"],
    options: DictysOptions,
    *,
    root: int,
    name: tuple[str, ...],
) -> Fit:
    """Fit the model to cells (cells x all genes), for the genes and links of `measured`; `name` seeds the noise."""
    n_tfs = np.unique(links[0]).size
    x = counts.tocsc()[:, genes].toarray().astype(np.float64)
    factors = min(n_tfs, genes.size - 1, len(x) - 1)
    begin = start(x, total, factors, links.shape[1], generator(root, "dictys start", *name))
    device = device_of(options.device)
    data = Data.of(x, total, links, n_tfs, device)
    settings = Training(
        steps=options.steps, lr=options.lr, lr_decay=options.lr_decay, warmup=options.warmup, scale=options.scale,
        device=device,
    )  # fmt: skip
    trained = train(data, begin, settings, torch_generator(root, "dictys noise", *name, device=device))
    return summary(trained, genes, links)


def summary(trained: Trained, genes: Int[np.ndarray, " genes"], links: Int[np.ndarray, "2 links"]) -> Fit:
    """Weights B / reg, log shares of the genes (which sum to 1), standard deviations."""
    p: Parts = trained.parts
    level, factor = p.level.double().numpy(), p.factor.double().numpy()
    return Fit(
        genes, links[0], links[1], (p.link / p.rate).double().numpy(), level - np.logaddexp.reduce(level),
        np.sqrt(p.residual.double().numpy() + (factor**2).sum(axis=1)), trained.steps, trained.losses,
    )  # fmt: skip


def measured(
    counts: sp.csr_matrix, candidates: sp.csr_matrix, tfs: Int[np.ndarray, " tfs"], options: DictysOptions
) -> tuple[Int[np.ndarray, " genes"], Int[np.ndarray, "2 links"]]:
    """Genes that are measured in these cells and have candidate links to such genes, TFs first, and these links.

    Genes are places among all genes, ends of links places among the genes of the model.
    """
    n_counts = np.asarray(counts.sum(axis=0), dtype=np.float64).ravel()
    n_cells = np.bincount(counts.indices, minlength=counts.shape[1])
    seen = (n_counts >= options.min_counts) & (n_cells >= options.min_cells)
    coo = sp.coo_matrix(candidates)
    keep = seen[tfs[coo.row]] & seen[coo.col]
    tf, gene = tfs[coo.row[keep]], coo.col[keep].astype(np.int64)
    sources = np.unique(tf)
    genes = np.r_[sources, np.setdiff1d(gene, sources)]
    place = np.full(counts.shape[1], -1)
    place[genes] = np.arange(genes.size)
    order = np.lexsort((gene, tf))
    return genes, np.stack([place[tf], place[gene]])[:, order]


def needed_bytes(n_cells: int, n_genes: int) -> float:
    """Memory of one training."""
    return 4.0 * (ARRAYS * n_cells * n_genes + SQUARES * n_genes**2) + 16.0 * n_cells * n_genes
