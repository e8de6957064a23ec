"""Rank-value encoding: a cell as the sequence of its genes, the one furthest above its usual expression first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Int64

from .geneformer_file import CLS, EOS, RankVocabulary

RADIX = 2**16  # numpy sorts integers of 16 bits in linear time


@dataclass(frozen=True, slots=True)
class RankTokens:
    """Sequences of tokens, one after the other.

    Attributes
    ----------
    tokens
        All of them.
    starts
        Where each cell begins, and the end.
    """

    tokens: Int64[np.ndarray, " tokens"]
    starts: Int64[np.ndarray, " edges"]

    @property
    def length(self) -> Int64[np.ndarray, " cells"]:
        """Tokens of every cell."""
        return np.diff(self.starts)


def rank_tokens(counts: sp.csr_matrix, vocabulary: RankVocabulary, *, n_places: int) -> RankTokens:
    """Encode cells, given as counts of all genes of the vocabulary in its order, at most `n_places` tokens each.

    A gene's rank is that of its count over its median. The original divides by the total of the cell first, which moves
    no gene past another. Ties are in the order of the tokens (the original leaves them to an unstable sort).
    """
    n_cells, frame = counts.shape[0], 2 if vocabulary.framed else 0
    size = np.diff(counts.indptr).astype(np.int64)
    row = np.repeat(np.arange(n_cells, dtype=np.uint16 if n_cells <= RADIX else np.int64), size)
    order = np.argsort(-(counts.data.astype(np.float64) / vocabulary.median[counts.indices]), kind="stable")
    order = order[np.argsort(row[order], kind="stable")]
    rank = np.arange(order.size) - np.repeat(counts.indptr[:-1], size)
    kept = np.minimum(size, n_places - frame)
    genes = vocabulary.token[counts.indices[order[rank < np.repeat(kept, size)]]]
    starts = np.r_[0, np.cumsum(kept + frame)]
    if not frame:
        return RankTokens(genes, starts)
    tokens = np.empty(starts[-1], dtype=np.int64)
    tokens[starts[:-1]], tokens[starts[1:] - 1] = vocabulary.special[CLS], vocabulary.special[EOS]
    inside = np.ones(tokens.size, dtype=bool)
    inside[starts[:-1]] = inside[starts[1:] - 1] = False
    tokens[inside] = genes
    return RankTokens(tokens, starts)
