"""A gene embedding in `build_grn`: cosines, the best links of every regulator, their signs in the cells."""

from __future__ import annotations

import logging

import numpy as np

from .._core.checks import fail
from .._core.rng import generator
from ..grn.embedding import log_normalise
from ..grn.systems.embedding.network import cosines
from ..grn.systems.embedding.options import EmbeddingOptions
from ..grn.systems.foundation.links import best_links, gene_level, signed_by_correlation
from ..grn.systems.groups import GroupNetworks
from ._systems import SystemInput, SystemNetwork, need_memory, regulators_in

logger = logging.getLogger(__name__)


def infer_embedding(given: SystemInput, options: EmbeddingOptions) -> SystemNetwork:
    """Link every regulator to the genes whose embeddings lie nearest to its own."""
    from ..model.gene_embedding import read_gene_embedding
    from ..model.pretrained import matched

    genes = given.cells.genes
    table = read_gene_embedding(options.embedding, given.rna)
    matches = matched(genes, table.index, min_matched=float(options.min_matched), source="gene embedding")
    embedding = table.reindex(matches["after"].replace("", None)).to_numpy()
    found = (matches["after"] != "").to_numpy()
    fix = "name the rows of the embedding as the genes are"
    tfs, n_without = regulators_in(given, found, where="the embedding", fix=fix)
    need_memory("embedding", 8.0 * genes.size * (3 * tfs.size + 2 * table.shape[1]), genes.size)
    score = cosines(embedding, tfs)
    score[tfs, np.arange(tfs.size)] = np.nan  # a regulator is its own nearest gene
    share, left = gene_level(score)
    logger.info("embedding: one mean per gene and per regulator explains %.0f%% of the cosines", 100 * share)
    links = best_links(left if options.center else score, tfs, options.top)
    n_cells = given.cells.counts.shape[0]
    rows = np.sort(generator(given.root, "embedding").permutation(n_cells)[: options.max_cells])
    signed = signed_by_correlation(links, log_normalise(given.cells.counts.take(rows)))
    edges, holds = GroupNetworks(genes, tuple(given.groups.cat.categories), [signed]).edges(tfs)
    if not len(edges):
        raise fail(
            ValueError, "a network needs at least one link.", f"no cosine above 0 of {tfs.size} regulators.",
            "name other regulators with tfs=, or pass options={'center': True}.",
        )  # fmt: skip
    dropped = {"genes_without_embedding": int((~found).sum()), "regulators_without_embedding": n_without}
    return SystemNetwork(edges, holds, {"gene_level": np.asarray([share]), "width": table.shape[1]}, dropped)
