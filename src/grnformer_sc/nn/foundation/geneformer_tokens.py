"""Rank-value encoding: a cell as the sequence of its genes, the one furthest above its usual expression first."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from .base import CellTokens
from .geneformer_file import CLS, EOS, RankVocabulary
from .tokens import framed, ranked


def rank_tokens(counts: sp.csr_matrix, vocabulary: RankVocabulary, *, n_places: int) -> CellTokens:
    """Encode cells, given as counts of all genes of the vocabulary in its order, at most `n_places` tokens each.

    A gene's rank is that of its count over its median. The original divides by the total of the cell first, which moves
    no gene past another. Ties are in the order of the tokens (the original leaves them to an unstable sort).
    """
    front, back = ([vocabulary.special[CLS]], [vocabulary.special[EOS]]) if vocabulary.framed else ([], [])
    score = counts.data.astype(np.float64) / vocabulary.median[counts.indices]
    taken, length = ranked(score, counts.indptr, n_places - len(front) - len(back))
    return CellTokens(*framed(vocabulary.token[counts.indices[taken]], length, front, back))
