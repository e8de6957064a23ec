"""Geneformer: its published files, cells as sequences of genes, and what its encoder makes of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from jaxtyping import Float32

from .._core.checks import fail, listing, need_between, need_one_of
from .._core.compute import device_of
from .._core.files import sha256_of
from .._core.logging import progress
from .._core.rng import RngLike, as_root, seed_for
from .._core.rows import Rows
from .._core.settings import settings
from ..nn.backbones.geneformer import GeneformerConfig, GeneformerNet, net_of
from ..nn.backbones.geneformer_file import (
    CLS,
    EOS,
    MASK,
    PAD,
    RankVocabulary,
    find_dictionaries,
    read_vocabulary,
    read_weights,
    vocabulary_of,
)
from ..nn.backbones.geneformer_read import GeneSums, Pool, Precision, Reading, delete, embed
from ..nn.backbones.geneformer_tokens import RankTokens, rank_tokens
from ..priors._genes import match_names, read_synonyms

logger = logging.getLogger(__name__)

LARGEST_BATCH = 2**20
INITIAL_SD = 0.02  # of weights before training, as in BERT
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
        One row per gene of the data: `before`, `after` (Ensembl id, "" without one), `way`.
    """

    counts: Rows
    place: np.ndarray
    matches: pd.DataFrame

    @property
    def n_lost(self) -> int:
        """Genes of the data that the vocabulary does not hold."""
        return int((self.place < 0).sum())


@dataclass(frozen=True, slots=True)
class Geneformer:
    """A Geneformer (Theodoris et al. 2023): ranks the genes of a cell by count over usual count, and reads them by a BERT.

    Made by `load_published` from the published files (versions 1 and 2, and models fine-tuned from them), or by `untrained`.

    Attributes
    ----------
    net
        The encoder, in evaluation mode.
    vocabulary
        Ensembl ids, tokens, medians, other names.
    report
        What became of every key of the file, as in `grs.nn.Published`.
    sha256
        Checksums of the files that were read, by name.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> model = grs.model.Geneformer.untrained({"ENSG00000000003": 2.0, "ENSG00000000005": 3.2}, dim=8, heads=2)
    >>> model
    Geneformer of 2 genes: 3 layers, dim 8, up to 2048 tokens
    """

    net: GeneformerNet
    vocabulary: RankVocabulary
    report: pd.DataFrame
    sha256: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load_published(
        cls,
        path: str | Path,
        *,
        tokens: str | Path | None = None,
        medians: str | Path | None = None,
        names: str | Path | None = None,
        strict: bool = True,
    ) -> Geneformer:
        """Read a folder of Hugging Face (`config.json`, `model.safetensors` or `pytorch_model.bin`) and its dictionaries.

        Nothing in the files is run: weights are read as tensors, and pickles by a reader that knows dictionaries, text
        and numbers only.

        Parameters
        ----------
        path
            Folder of one model.
        tokens, medians, names
            Dictionaries of tokens, medians and gene names: pickle (as published), JSON, or CSV (Ensembl ids in the first
            column, then `token`, `median`, `symbol`; one table may hold them all). By default the only files named
            `token_dictionary*`, `gene_median_dictionary*` and `gene_name_id_dict*` in the folder or in the one above it.
            Without names only Ensembl ids are known.
        strict
            A missing or unexpected key, or another shape, is an error that names the first ones; False logs them.

        Raises
        ------
        FileNotFoundError
            A file is missing, or several could be meant.
        ValueError
            A file is cut off, asks for code, or belongs to another architecture or another vocabulary.
        """
        folder = Path(path)
        config, state, files = read_weights(folder)
        dictionaries = find_dictionaries(folder, {"tokens": tokens, "medians": medians, "names": names})
        vocabulary = read_vocabulary(dictionaries)
        if vocabulary.n_tokens != config.n_tokens:
            raise fail(
                ValueError,
                f"{dictionaries['tokens'].name} must have a token for each of the {config.n_tokens} rows of the model.",
                f"{vocabulary.n_tokens} tokens, the first gene {vocabulary.genes[0]}.",
                "give the dictionary that was published with these weights: pass tokens=, medians= and names=.",
            )  # fmt: skip
        net, report = net_of(config, state, files[1], strict=strict)
        unique = list(dict.fromkeys([*files, *dictionaries.values()]))
        return cls(net, vocabulary, report, {path.name: sha256_of(path) for path in unique})

    @classmethod
    def untrained(
        cls,
        medians: Mapping[str, float],
        *,
        names: Mapping[str, str] | None = None,
        framed: bool = False,
        rng: RngLike = 0,
        **sizes: Any,
    ) -> Geneformer:
        """Make one with random weights: the control that says what pre-training is worth.

        Parameters
        ----------
        medians
            Usual expression of every gene.
        names
            Other names of the genes, each with the name in `medians`.
        framed
            Whether sequences have <cls> and <eos>, as in version 2.
        rng
            Seed or generator of the weights.
        sizes
            `dim`, `layers`, `heads`, `hidden`, `n_places` of the encoder.
        """
        known = {"dim", "layers", "heads", "hidden", "n_places"}
        if other := sorted(set(sizes) - known):
            raise fail(TypeError, f"sizes are {listing(sorted(known))}.", f"{listing(other)}.", "leave the others out.")
        order = [PAD, MASK, *((CLS, EOS) if framed else ()), *medians]
        vocabulary = vocabulary_of({name: i for i, name in enumerate(order)}, medians, names or {}, source="medians")
        config = GeneformerConfig(n_tokens=len(order), **sizes)
        net = GeneformerNet(config).eval().requires_grad_(requires_grad=False)
        seed = torch.Generator().manual_seed(seed_for(as_root(rng), "geneformer") % 2**63)
        for name, value in net.named_parameters():
            if "norm" in name:
                continue
            value.zero_() if name.endswith("bias") else value.normal_(std=INITIAL_SD, generator=seed)
        return cls(net, vocabulary, pd.DataFrame(columns=["key", "parameter", "in_file", "wanted", "status"]))

    def counts_of(self, counts: Rows, genes: pd.Index, *, min_matched: float = 0.2) -> CountsByToken:
        """Find the genes of some counts in the vocabulary: by Ensembl id (versions aside) or by another name it knows."""
        need_between(min_matched, 0, 1, name="min_matched")
        synonyms = read_synonyms(self.vocabulary.names) if self.vocabulary.names else None
        matches = match_names(genes, self.vocabulary.genes, synonyms=synonyms, case=False)
        place = self.vocabulary.genes.get_indexer(matches["after"])
        found = place >= 0
        ways = ", ".join(f"{n} {way}" for way, n in matches["way"].value_counts().items())
        if found.mean() < min_matched or not found.any():
            raise fail(
                ValueError, f"at least {min_matched:.0%} of the genes must be in the vocabulary of the model.",
                f"{int(found.sum())} of {genes.size} ({ways}); not found {listing(genes[~found], SHOWN)}; vocabulary "
                f"{listing(self.vocabulary.genes, SHOWN)}.",
                "name genes by Ensembl ids of its species, pass a dictionary of names, or lower min_matched.",
            )  # fmt: skip
        logger.info("vocabulary of Geneformer: %d of %d genes found (%s)", found.sum(), genes.size, ways)
        return CountsByToken(counts, place, matches)

    def encode(self, counts: CountsByToken) -> Iterator[tuple[int, RankTokens]]:
        """Cells as sequences of tokens, in blocks of `grs.settings.chunk_cells`: number of the first cell, and the block.

        Counts of several genes of the data with one token are added up.
        """
        found = np.flatnonzero(counts.place >= 0)
        shape = (counts.place.size, self.vocabulary.genes.size)
        to_token = sp.csr_matrix((np.ones(found.size, dtype=np.float32), (found, counts.place[found])), shape)
        for first, block in counts.counts.blocks():
            part = sp.csr_matrix(block @ to_token)
            part.sort_indices()
            empty = np.flatnonzero(np.diff(part.indptr) == 0)
            if empty.size:
                raise fail(
                    ValueError, "every cell needs a gene of the vocabulary.",
                    f"{empty.size} cells without one among rows {first} to {first + part.shape[0] - 1}, the first is row "
                    f"{first + empty[0]}.",
                    "filter them first, for example with sc.pp.filter_cells(adata, min_counts=1).",
                )  # fmt: skip
            yield first, rank_tokens(part, self.vocabulary, n_places=self.net.config.n_places)

    def reading(
        self, *, emb_layer: int = -1, pool: Pool = "mean", batch_size: int = 32, device: str = "auto",
        precision: Precision = "float32",
    ) -> Reading:  # fmt: skip
        """Check how embeddings are to be read, and move the encoder to its device."""
        need_one_of(pool, ("mean", "cls"), name="pool")
        need_one_of(precision, ("float32", "bfloat16", "float16"), name="precision")
        need_between(batch_size, 1, LARGEST_BATCH, name="batch_size")
        depth = self.net.depth(emb_layer)
        if pool == "cls" and not self.vocabulary.framed:
            raise fail(
                ValueError, "pool='cls' needs a model with the token <cls>.", "a vocabulary without it (version 1).",
                "pass pool='mean'.",
            )  # fmt: skip
        where = device_of(device)
        self.net.to(torch.device(where))
        return Reading(depth, self.vocabulary.framed, pool, batch_size, where, precision)

    def embed(
        self, counts: CountsByToken, how: Reading, *, genes: bool = True
    ) -> tuple[Float32[np.ndarray, "cells dim"], Float32[np.ndarray, "genes dim"] | None]:
        """Embeddings of cells, and the mean of each gene of the data over the cells that hold it as a token (else NaN)."""
        sums = (
            GeneSums.zeros(self.net.config.n_tokens, self.net.config.dim, counts=1, device=how.device)
            if genes
            else None
        )
        parts = [embed(self.net, cells, how, sums) for _, cells in self._blocks(counts)]
        return np.concatenate(parts), None if sums is None else self._by_gene(sums, counts)

    def delete(
        self, counts: CountsByToken, deleted: np.ndarray, how: Reading
    ) -> tuple[Float32[np.ndarray, "cells deleted"], Float32[np.ndarray, "genes deleted"]]:
        """Cosine shifts of cells, and mean shifts of the data's genes, when genes (places in the data) are deleted."""
        tokens = self.vocabulary.token[counts.place[deleted]]
        sums = GeneSums.zeros(self.net.config.n_tokens, deleted.size, counts=deleted.size, device=how.device)
        parts = [delete(self.net, cells, tokens, how, sums) for _, cells in self._blocks(counts)]
        return np.concatenate(parts), self._by_gene(sums, counts)

    def _blocks(self, counts: CountsByToken) -> Iterator[tuple[int, RankTokens]]:
        n_blocks = -(-counts.counts.shape[0] // settings.chunk_cells)
        return iter(progress(self.encode(counts), title="Geneformer", total=n_blocks))

    def _by_gene(self, sums: GeneSums, counts: CountsByToken) -> np.ndarray:
        out = np.full((counts.place.size, sums.total.shape[1]), np.nan, dtype=np.float32)
        found = counts.place >= 0
        out[found] = sums.mean()[self.vocabulary.token[counts.place[found]]]
        return out

    def __repr__(self) -> str:
        sizes = self.net.config
        return (
            f"Geneformer of {self.vocabulary.genes.size} genes: {sizes.layers} layers, dim {sizes.dim}, "
            f"up to {sizes.n_places} tokens"
        )
