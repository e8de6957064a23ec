"""The links of a network as arrays: who acts on whom in which group, and how far a change can travel."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Bool, Int, Int8

from .._core.tables import places_in
from .network import Network


@dataclass(frozen=True, slots=True)
class Wiring:
    """Distinct links TF -> gene between measured genes, sorted by gene, then TF; none from a gene to itself.

    Attributes
    ----------
    tf, gene
        Places of both ends.
    holds
        Whether the link holds in a group.
    sign
        +1 or -1 as the network says; 0 where its eRegulons disagree.
    n_genes
        Number of genes that `tf` and `gene` count among.
    """

    tf: Int[np.ndarray, " links"]
    gene: Int[np.ndarray, " links"]
    holds: Bool[np.ndarray, "links groups"]
    sign: Int8[np.ndarray, " links"]
    n_genes: int

    @property
    def start(self) -> Int[np.ndarray, " genes_and_1"]:
        """First link of every gene, and the number of links."""
        return np.searchsorted(self.gene, np.arange(self.n_genes + 1)).astype(np.int64)

    def into(self, targets: Bool[np.ndarray, " genes"]) -> Wiring:
        """Links that end in some of the genes."""
        keep = targets[self.gene]
        return replace(self, tf=self.tf[keep], gene=self.gene[keep], holds=self.holds[keep], sign=self.sign[keep])

    def among(self, genes: Int[np.ndarray, " chosen"]) -> Wiring:
        """The same links counted among some of the genes (ascending, both ends of every link in it)."""
        tf, gene = np.searchsorted(genes, self.tf), np.searchsorted(genes, self.gene)
        return replace(self, tf=tf, gene=gene, n_genes=genes.size)


def wiring_of(network: Network, genes: pd.Index) -> Wiring:
    """Links of a network among the genes of the data that hold in at least one group."""
    tf, gene = places_in(genes, network.edges["tf"]), places_in(genes, network.edges["gene"])
    row = np.flatnonzero((tf >= 0) & (gene >= 0) & (tf != gene))
    pair, link = np.unique(gene[row] * genes.size + tf[row], return_inverse=True)
    ones = np.ones(row.size, dtype=np.int64)
    of_link = sp.csr_matrix((ones, (link, row)), shape=(pair.size, len(network.edges)))
    holds = (of_link @ network.edge_groups.astype(np.int64)).toarray() > 0
    sign = network.edges["sign"].to_numpy()[row]
    up, down = (np.bincount(link[sign == s], minlength=pair.size) > 0 for s in (1, -1))
    keep = holds.any(axis=1)
    return Wiring(
        tf=(pair % genes.size)[keep], gene=(pair // genes.size)[keep], holds=holds[keep],
        sign=(up.astype(np.int8) - down.astype(np.int8))[keep], n_genes=genes.size,
    )  # fmt: skip


def steps_from(wiring: Wiring, sources: Int[np.ndarray, " sources"], n_steps: int) -> Int8[np.ndarray, "genes groups"]:
    """Number of links on the shortest way from any source to every gene, in every group; -1 beyond `n_steps`."""
    out = np.full((wiring.n_genes, wiring.holds.shape[1]), -1, dtype=np.int8)
    out[sources] = 0
    targets, first = np.unique(wiring.gene, return_index=True)
    for step in range(1, n_steps + 1):
        lit = wiring.holds & (out[wiring.tf] == step - 1)
        arrived = np.zeros(out.shape, dtype=bool)
        arrived[targets] = np.logical_or.reduceat(lit, first, axis=0) if first.size else False
        out[arrived & (out < 0)] = step
    return out
