"""GeneCompass as it is read: its published files, cells as ranked genes with values and knowledge, human or mouse."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from jaxtyping import Float64, Int64

from .._core.checks import fail, need_one_of
from .._core.files import sha256_of
from .._core.rng import RngLike, as_root, seed_for
from ..nn.backbones import Backbone, Published
from ..nn.backbones.published import names_hold, no_report
from ..nn.foundation.base import CellTokens
from ..nn.foundation.genecompass import JOINED, KNOWLEDGE, SPECIES, GeneCompassNet, net_of
from ..nn.foundation.genecompass_file import find_tokens, read_vocabulary, vocabulary_of
from ..nn.foundation.geneformer import GeneformerConfig, need_sizes
from ..nn.foundation.geneformer_file import WEIGHTS, RankVocabulary, read_weights
from ..nn.foundation.tokens import framed, ranked
from ..nn.foundation.trainable import GeneCompassBackbone, GeneCompassBackboneConfig
from ..nn.values import PER
from .foundation import Foundation

logger = logging.getLogger(__name__)

Species = Literal["human", "mouse"]


@dataclass(frozen=True, repr=False)
class GeneCompass(Foundation):
    """A GeneCompass (Yang et al. 2024): ranks the genes of a human or mouse cell, and reads their values and what is known.

    Made by `load_published` from the published files, or by `untrained`.

    Attributes
    ----------
    net
        The encoder, in evaluation mode.
    vocabulary
        Ensembl ids of the species, tokens, medians (1 without), other names.
    species
        Whose cells it reads.
    report
        What became of every key of the file, as in `grs.nn.Published`.
    sha256
        Checksums of the files that were read, by name.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> grs.model.GeneCompass.untrained(["ENSG00000102145", "ENSG00000066336"], dim=8, heads=2)
    GeneCompass of 2 genes: 3 layers, dim 8, up to 2049 tokens
    """

    title: ClassVar[str] = "GeneCompass"
    files: ClassVar[tuple[str, ...]] = ("config.json", "human_mouse_tokens.pickle")
    net: GeneCompassNet
    vocabulary: RankVocabulary
    species: Species
    report: pd.DataFrame
    sha256: dict[str, str] = field(default_factory=dict)

    @classmethod
    def is_at(cls, path: Path) -> bool:
        """Whether a BERT with knowledge of genes is there."""
        return (path / "config.json").is_file() and any(names_hold(path / name, JOINED) for name in WEIGHTS)

    @classmethod
    def load_published(
        cls,
        path: str | Path,
        *,
        species: Species = "human",
        tokens: str | Path | None = None,
        medians: str | Path | None = None,
        names: str | Path | None = None,
        strict: bool = True,
    ) -> GeneCompass:
        """Read a folder with `config.json` and the weights, and the dictionary of tokens; nothing in them is run.

        What is known of genes (promoters, families, co-expression, regulation) is in the weights.

        Parameters
        ----------
        path
            Folder of one model.
        species
            `"human"` or `"mouse"`: whose genes are read, and what the token of the species says.
        tokens
            Dictionary of the tokens of both species: pickle (as published), JSON or CSV; by default the only file named
            `human_mouse_tokens*` in the folder or in the one above it.
        medians
            Dictionary of the usual expression of the genes of the species, by which counts are divided; without it they are
            ranked as they are, which is logged.
        names
            Dictionary of other names of the genes; without it only Ensembl ids are known.
        strict
            A missing or unexpected key, or another shape, is an error that names the first ones; False logs them.

        Raises
        ------
        FileNotFoundError
            A file is missing, or several could be meant.
        ValueError
            A file is cut off, asks for code, or belongs to another architecture or another vocabulary.
        """
        need_one_of(species, SPECIES, name="species")
        folder = Path(path)
        usual, known = (None if name is None else Path(name) for name in (medians, names))
        config, state, files = read_weights(folder, title=cls.title)
        dictionary = find_tokens(folder, tokens)
        vocabulary, n_tokens = read_vocabulary(dictionary, usual, known, species)
        if n_tokens != config.n_tokens:
            raise fail(
                ValueError, f"{dictionary.name} must have a token for each of the {config.n_tokens} rows of the model.",
                f"{n_tokens} tokens, the first gene {vocabulary.genes[0]}.",
                "give the dictionary that was published with these weights: pass tokens=.",
            )  # fmt: skip
        net, report = net_of(config, state, files[1], strict=strict)
        if medians is None:
            logger.info("%s: no medians, genes are ranked by their counts", cls.title)
        unique = dict.fromkeys([*files, dictionary, *(name for name in (usual, known) if name is not None)])
        return cls(net, vocabulary, species, report, {path.name: sha256_of(path) for path in unique})

    @classmethod
    def untrained(
        cls,
        genes: Sequence[str],
        *,
        species: Species = "human",
        medians: Mapping[str, float] | None = None,
        names: Mapping[str, str] | None = None,
        knowledge: Sequence[str] = KNOWLEDGE,
        width: int = 16,
        species_token: bool = True,
        rng: RngLike = 0,
        **sizes: Any,
    ) -> GeneCompass:
        """Make one with random weights and random knowledge: the control that says what both are worth.

        Parameters
        ----------
        genes
            Ensembl ids.
        species
            Whose they are.
        medians, names
            Usual expression of the genes; other names, each with the id.
        knowledge
            Which of `"promoter"`, `"co_exp"`, `"gene_family"`, `"peca_grn"` it has.
        width
            Width of what is known.
        species_token
            Whether sequences begin with a token of the species.
        rng
            Seed or generator of weights and knowledge.
        sizes
            `dim`, `layers`, `heads`, `hidden`, `n_places` of the encoder.
        """
        need_one_of(species, SPECIES, name="species")
        need_sizes(sizes)
        for name in knowledge:
            need_one_of(name, KNOWLEDGE, name="knowledge")
        numbered = {name: i for i, name in enumerate(["<pad>", "<mask>", *genes])}
        vocabulary = vocabulary_of(numbered, medians, names or {}, species, source="genes")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_for(as_root(rng), "genecompass") % 2**63)
            config = GeneformerConfig(n_tokens=len(numbered), **sizes)
            net = GeneCompassNet(config, dict.fromkeys(knowledge, width), species_token=species_token)
            for table in (value for name, value in net.named_buffers() if name.startswith("knowledge.")):
                table.normal_()
        net.eval().requires_grad_(requires_grad=False)
        return cls(net, vocabulary, species, no_report())

    @property
    def front(self) -> int:
        """One with the token of the species."""
        return self.net.front

    def as_backbone(self) -> Published[Backbone]:
        """Make a backbone of GRNFormer with these weights and this knowledge, for `checkpoint` of `grs.tl.fit`."""
        sizes = self.net.config
        own = GeneCompassBackbone(
            GeneCompassBackboneConfig(
                n_genes=self.genes.size, dim=sizes.dim, layers=sizes.layers, heads=sizes.heads, hidden=sizes.hidden,
                n_places=sizes.n_places, activation=sizes.activation, eps=sizes.eps, knowledge=self.net.knowledge_widths,
                species=self.species, species_token=bool(self.front), value_head=False,
            )
        )  # fmt: skip
        own.take(self.net, self.tokens)
        own.usual.copy_(torch.from_numpy(self.vocabulary.median))
        return Published("genecompass", own, self.genes, self.report, self.other_names)

    @property
    def genes(self) -> pd.Index:
        """Ensembl ids of the species."""
        return self.vocabulary.genes

    @property
    def tokens(self) -> Int64[np.ndarray, " genes"]:
        """Token of every gene of the species."""
        return self.vocabulary.token

    @property
    def other_names(self) -> Mapping[str, str]:
        """Ensembl ids by other names."""
        return self.vocabulary.names

    def settings(self) -> list[Any]:
        """Sizes of the encoder, species, and usual expression of the genes."""
        return [self.net.config, self.species, self.vocabulary.median]

    def tokenise(self, counts: sp.csr_matrix, totals: Float64[np.ndarray, " cells"]) -> CellTokens:
        """Token of the species, then genes by falling count over usual count, each with log2(1 + it per 10,000 counts).

        Ties are in the order of the tokens.
        """
        score = counts.data.astype(np.float64) / self.vocabulary.median[counts.indices]
        taken, length = ranked(score, counts.indptr, self.net.n_places - self.front)
        values = np.log2(1 + score[taken] * (PER / np.repeat(totals, length))).astype(np.float32)
        front = [self.net.config.n_tokens] * self.front
        tokens, starts = framed(self.vocabulary.token[counts.indices[taken]], length, front)
        which = np.full((length.size, 1), SPECIES.index(self.species), dtype=np.float32)
        return CellTokens(tokens, starts, framed(values, length, [0.0] * self.front)[0], which)
