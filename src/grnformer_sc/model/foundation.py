"""Published foundation models as they are read: the user's counts by their tokens, and what the encoder makes of them."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from jaxtyping import Float32, Float64, Int64

from .._core.checks import fail, listing, need_between, need_one_of
from .._core.compute import device_of
from .._core.logging import progress
from .._core.rows import Rows
from .._core.settings import settings
from ..nn.backbones import Backbone, Published
from ..nn.foundation.base import CellTokens, FoundationNet, Pool, Precision, Reading
from ..nn.foundation.options import MEASURES, PERTURBATIONS, Measure, Perturbation
from ..nn.foundation.read import GeneSums, embed, perturb
from ..nn.foundation.tokens import with_zeros
from ..priors._genes import match_names, read_synonyms

logger = logging.getLogger(__name__)

LARGEST_BATCH = 2**20
SHOWN = 5


@dataclass(frozen=True, slots=True)
class CountsByToken:
    """Counts of cells for the genes of a vocabulary.

    Attributes
    ----------
    counts
        Counts of the data, read in blocks.
    place
        Place in the vocabulary of every gene of the data, -1 without one.
    matches
        One row per gene of the data: `before`, `after` (name in the vocabulary, "" without one), `way`.
    """

    counts: Rows
    place: Int64[np.ndarray, " genes"]
    matches: pd.DataFrame

    @property
    def n_lost(self) -> int:
        """Genes of the data that the vocabulary does not hold."""
        return int((self.place < 0).sum())


class Foundation(ABC):
    """A published model that reads a cell as a sequence of its genes; base of `grs.model.Geneformer` and its like.

    Attributes
    ----------
    title
        What the model is called.
    attention
        How its authors read networks out of attention, of `grs.tl.build_grn`'s ways.
    files
        Files by which a published one is known.
    net
        The encoder, in evaluation mode.
    report
        What became of every key of the file, as in `grs.nn.Published`.
    sha256
        Checksums of the files that were read, by name.
    """

    title: ClassVar[str]
    attention: ClassVar[str] = "softmax"
    files: ClassVar[tuple[str, ...]]
    net: FoundationNet
    report: pd.DataFrame
    sha256: dict[str, str]

    @classmethod
    @abstractmethod
    def load_published(cls, path: str | Path, *, strict: bool = True) -> Foundation:
        """Read the published files."""

    @classmethod
    def is_at(cls, path: Path) -> bool:
        """Whether the files of a published model are there."""
        return path.is_dir() and all((path / name).is_file() for name in cls.files)

    @abstractmethod
    def as_backbone(self) -> Published[Backbone]:
        """Make a backbone of GRNFormer with these weights, for `checkpoint` of `grs.tl.fit`."""

    @property
    def key(self) -> str:
        """Base name of the slots that it fills."""
        return self.title.lower()

    @property
    def front(self) -> int:
        """Tokens before the genes of a sequence."""
        return 0

    @property
    def back(self) -> int:
        """Tokens behind the genes of a sequence."""
        return 0

    @property
    def flag(self) -> int:
        """Added to the token of a gene that is perturbed, by models that are told which ones are."""
        return 0

    @property
    def reads_zeros(self) -> bool:
        """Whether genes of the data that a cell does not express are among its tokens."""
        return False

    @property
    @abstractmethod
    def genes(self) -> pd.Index:
        """Genes of the vocabulary."""

    @property
    @abstractmethod
    def tokens(self) -> Int64[np.ndarray, " genes"]:
        """Token of every gene of the vocabulary."""

    @property
    def other_names(self) -> Mapping[str, str]:
        """Genes of the vocabulary by other names."""
        return {}

    @abstractmethod
    def tokenise(self, counts: sp.csr_matrix, totals: Float64[np.ndarray, " cells"]) -> CellTokens:
        """Cells as sequences: counts of the genes of the vocabulary in its order, none of them empty, and their totals.

        Totals are those of all genes of the data. With `reads_zeros` counts of 0 are stored too.
        """

    @abstractmethod
    def settings(self) -> list[Any]:
        """What decides tokens, values and layers beside the vocabulary and the weights."""

    def decisive(self) -> list[Any]:
        """All that a stored part of a long run depends on: kind, settings, vocabulary, weights."""
        kind = [self.title, self.front, self.back, self.flag, self.reads_zeros, self.net.n_places, *self.settings()]
        weights = [x.cpu().float().numpy() for x in self.net.state_dict().values()]
        return [*kind, self.genes.to_numpy(dtype=str), self.tokens, *weights]

    def counts_of(self, counts: Rows, genes: pd.Index, *, min_matched: float = 0.2) -> CountsByToken:
        """Find the genes of some counts in the vocabulary: by its names (versions aside) or by another name it knows."""
        need_between(min_matched, 0, 1, name="min_matched")
        synonyms = read_synonyms(self.other_names) if self.other_names else None
        matches = match_names(genes, self.genes, synonyms=synonyms, case=False)
        place = self.genes.get_indexer(matches["after"]).astype(np.int64)
        found = place >= 0
        ways = ", ".join(f"{n} {way}" for way, n in matches["way"].value_counts().items())
        if found.mean() < min_matched or not found.any():
            raise fail(
                ValueError, f"at least {min_matched:.0%} of the genes must be in the vocabulary of the model.",
                f"{int(found.sum())} of {genes.size} ({ways}); not found {listing(genes[~found], SHOWN)}; vocabulary "
                f"{listing(self.genes, SHOWN)}.",
                "name genes as its vocabulary does (grs.pp.harmonize_genes), pass other names, or lower min_matched.",
            )  # fmt: skip
        logger.info("vocabulary of %s: %d of %d genes found (%s)", self.title, found.sum(), genes.size, ways)
        return CountsByToken(counts, place, matches)

    def encode(self, counts: CountsByToken) -> Iterator[tuple[int, CellTokens]]:
        """Cells as sequences of tokens, in blocks of `grs.settings.chunk_cells`: number of the first cell, and the block.

        Counts of several genes of the data with one token are added up.
        """
        for first, block in counts.counts.blocks():
            yield first, self.tokens_of(block, counts.place, first=first)

    def value_of(
        self, counts: Float32[np.ndarray, "*genes"], totals: Float64[np.ndarray, "*cells"]
    ) -> Float32[np.ndarray, "*genes"]:
        """Value that a model which is told flags reads of counts in cells with these totals, one each or by broadcasting."""
        raise fail(
            ValueError, "values of single genes are those of a model that is told flags.", f"a {self.title}.",
            "use kind='deletion' or 'overexpression'.",
        )  # fmt: skip

    def own_values(
        self, block: sp.csr_matrix, place: np.ndarray, perturbed: np.ndarray
    ) -> Float32[np.ndarray, "cells perturbed"]:
        """Values of some genes (places in the vocabulary) in some cells."""
        counts = self._by_gene(block, place)[:, perturbed].toarray()
        return self.value_of(counts, np.asarray(block.sum(axis=1), dtype=np.float64).reshape(-1, 1))

    def _by_gene(self, block: sp.csr_matrix, place: np.ndarray) -> sp.csr_matrix:
        """Counts by the genes of the vocabulary."""
        found = np.flatnonzero(place >= 0)
        shape = (place.size, self.genes.size)
        to_token = sp.csr_matrix((np.ones(found.size, dtype=np.float32), (found, place[found])), shape)
        return sp.csr_matrix(block @ to_token)

    def tokens_of(self, block: sp.csr_matrix, place: np.ndarray, *, first: int = 0) -> CellTokens:
        """Tokens of some cells; `first` is what an error calls the first of them."""
        part = self._by_gene(block, place)
        part.sort_indices()
        empty = np.flatnonzero(np.diff(part.indptr) == 0)
        if empty.size:
            raise fail(
                ValueError, "every cell needs a gene of the vocabulary.",
                f"{empty.size} cells without one among rows {first} to {first + part.shape[0] - 1}, the first is row "
                f"{first + empty[0]}.",
                "filter them first, for example with sc.pp.filter_cells(adata, min_counts=1).",
            )  # fmt: skip
        if self.reads_zeros:
            part = with_zeros(part, np.unique(place[place >= 0]))
        return self.tokenise(part, np.asarray(block.sum(axis=1), dtype=np.float64).ravel())

    def reading(
        self, *, emb_layer: int = -1, pool: Pool = "mean", batch_size: int = 32, device: str = "auto",
        precision: Precision = "float32",
    ) -> Reading:  # fmt: skip
        """Check how embeddings are to be read, and move the encoder to its device."""
        need_one_of(pool, ("mean", "cls"), name="pool")
        need_one_of(precision, ("float32", "bfloat16", "float16"), name="precision")
        need_between(batch_size, 1, LARGEST_BATCH, name="batch_size")
        depth = self.net.depth(emb_layer)
        if pool == "cls" and not self.front:
            raise fail(
                ValueError, "pool='cls' needs a model with the token <cls> or the like.", f"a {self.title} without it.",
                "pass pool='mean'.",
            )  # fmt: skip
        where = device_of(device)
        self.net.to(torch.device(where))
        return Reading(depth, self.front, self.back, pool, batch_size, where, precision, self.flag)

    def need_perturbation(self, kind: str, measure: str) -> None:
        """Raise `ValueError` for a perturbation that the model cannot be told, or a measure that it lacks the head for."""
        need_one_of(kind, PERTURBATIONS, name="kind")
        need_one_of(measure, MEASURES, name="measure")
        if kind == "flag" and not self.flag:
            raise fail(
                ValueError, "'flag' needs a model that is told which genes are perturbed, as an scGenePT is.",
                f"a {self.title}.", "use 'deletion' or 'overexpression'.",
            )  # fmt: skip
        if measure == "expression" and not self.net.decodes:
            raise fail(
                ValueError, "measure='expression' needs a model with a head that predicts expression.",
                f"a {self.title} without it.", "use measure='embedding', or an scGPT or scGenePT with its decoder.",
            )  # fmt: skip

    def embed(
        self, counts: CountsByToken, how: Reading, *, genes: bool = True
    ) -> tuple[Float32[np.ndarray, "cells dim"], Float32[np.ndarray, "genes dim"] | None]:
        """Embeddings of cells, and the mean of each gene of the data over the cells that hold it as a token (else NaN)."""
        sums = GeneSums.zeros(self.net.n_tokens, self.net.dim, counts=1, device=how.device) if genes else None
        parts = [
            embed(self.net, self.tokens_of(block, counts.place, first=first), how, sums)
            for first, block in self._blocks(counts)
        ]
        return np.concatenate(parts), None if sums is None else self.by_gene(sums.mean(), counts)

    def perturb(
        self, counts: CountsByToken, perturbed: np.ndarray, how: Reading, *, kind: Perturbation = "deletion",
        measure: Measure = "embedding",
    ) -> tuple[Float32[np.ndarray, "cells perturbed"], Float32[np.ndarray, "genes perturbed"]]:  # fmt: skip
        """Cosine shifts of cells, and mean shifts of the data's genes, when genes (places in the data) are perturbed.

        With `measure="expression"` the mean change of what the model's head predicts of a gene takes the place of its shift.
        """
        sums = GeneSums.zeros(self.net.n_tokens, perturbed.size, counts=perturbed.size, device=how.device)
        genes = counts.place[perturbed]
        parts = [
            self.perturb_block(block, counts.place, genes, how, sums, first=first, kind=kind, measure=measure)
            for first, block in self._blocks(counts)
        ]
        return np.concatenate(parts), self.by_gene(sums.mean(), counts)

    def perturb_block(
        self, block: sp.csr_matrix, place: np.ndarray, genes: np.ndarray, how: Reading, sums: GeneSums, *, first: int,
        kind: Perturbation, measure: Measure,
    ) -> Float32[np.ndarray, "cells perturbed"]:  # fmt: skip
        """Cosine shifts of some cells when genes (places in the vocabulary) are perturbed; those of genes go to the sums."""
        cells = self.tokens_of(block, place, first=first)
        own = self.own_values(block, place, genes) if kind == "flag" else None
        return perturb(self.net, cells, self.tokens[genes], how, sums, kind=kind, measure=measure, own=own)

    def by_gene(
        self, by_token: Float32[np.ndarray, "tokens width"], counts: CountsByToken
    ) -> Float32[np.ndarray, "genes width"]:
        """Rows of the genes of the data among those of all tokens, NaN without a token."""
        out = np.full((counts.place.size, by_token.shape[1]), np.nan, dtype=np.float32)
        found = counts.place >= 0
        out[found] = by_token[self.tokens[counts.place[found]]]
        return out

    def _blocks(self, counts: CountsByToken) -> Iterator[tuple[int, sp.csr_matrix]]:
        n_blocks = -(-counts.counts.shape[0] // settings.chunk_cells)
        return iter(progress(counts.counts.blocks(), title=self.title, total=n_blocks))

    def __repr__(self) -> str:
        net = self.net
        return f"{self.title} of {self.genes.size} genes: {net.n_layers} layers, dim {net.dim}, up to {net.n_places} tokens"
