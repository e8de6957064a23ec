"""Options of `build_grn(method="embedding")`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...._core.checks import need_between
from ...._core.typing import Number


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingOptions:
    """The embedding, and which of its pairs become links.

    Attributes
    ----------
    embedding
        A table genes x dims, a key of `varm`, or a file: `.csv`, `.tsv` (also .gz; names in the first column) or
        `.parquet`.
    top
        Targets of a regulator: the genes with the largest cosine above 0.
    center
        Take the mean of each gene and of each regulator out of the cosines, which leaves what the pair adds. In many
        embeddings all genes point in one direction, and a few are near to every regulator.
    min_matched
        Share of the genes that the embedding must hold.
    max_cells
        Cells, drawn at random where there are more, from which the sign of a link is read.
    """

    embedding: Any
    top: int = 50
    center: bool = False
    min_matched: Number = 0.5
    max_cells: int = 10_000

    def __post_init__(self) -> None:
        need_between(self.top, 1, 10**9, name="top")
        need_between(self.min_matched, 0, 1, name="min_matched")
        need_between(self.max_cells, 2, 10**9, name="max_cells")
