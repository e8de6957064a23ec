"""Geneformer: its published files, cells as sequences of genes, and what its encoder makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from jaxtyping import Float64, Int64

from .._core.checks import fail
from .._core.files import sha256_of
from .._core.rng import RngLike, as_root, seed_for
from ..nn.backbones import Backbone, Published
from ..nn.backbones.published import no_report
from ..nn.foundation.base import CellTokens
from ..nn.foundation.geneformer import GeneformerConfig, GeneformerNet, need_sizes, net_of
from ..nn.foundation.geneformer_file import (
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
from ..nn.foundation.geneformer_tokens import rank_tokens
from ..nn.foundation.trainable import GeneformerBackbone, GeneformerBackboneConfig
from .foundation import Foundation

INITIAL_SD = 0.02  # of weights before training, as in BERT


@dataclass(frozen=True, repr=False)
class Geneformer(Foundation):
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

    title: ClassVar[str] = "Geneformer"
    files: ClassVar[tuple[str, ...]] = ("config.json",)
    net: GeneformerNet
    vocabulary: RankVocabulary
    report: pd.DataFrame
    sha256: dict[str, str] = field(default_factory=dict)

    @property
    def front(self) -> int:
        """One with <cls>, which version 2 has."""
        return int(self.vocabulary.framed)

    @property
    def back(self) -> int:
        """One with <eos>."""
        return int(self.vocabulary.framed)

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
        need_sizes(sizes)
        order = [PAD, MASK, *((CLS, EOS) if framed else ()), *medians]
        vocabulary = vocabulary_of({name: i for i, name in enumerate(order)}, medians, names or {}, source="medians")
        config = GeneformerConfig(n_tokens=len(order), **sizes)
        net = GeneformerNet(config).eval().requires_grad_(requires_grad=False)
        seed = torch.Generator().manual_seed(seed_for(as_root(rng), "geneformer") % 2**63)
        for name, value in net.named_parameters():
            if "norm" in name:
                continue
            value.zero_() if name.endswith("bias") else value.normal_(std=INITIAL_SD, generator=seed)
        return cls(net, vocabulary, no_report())

    def as_backbone(self) -> Published[Backbone]:
        """Make a backbone of GRNFormer with these weights, for `checkpoint` of `grs.tl.fit`."""
        sizes, known = self.net.config, self.vocabulary
        own = GeneformerBackbone(
            GeneformerBackboneConfig(
                n_genes=self.genes.size, dim=sizes.dim, layers=sizes.layers, heads=sizes.heads, hidden=sizes.hidden,
                n_places=sizes.n_places, activation=sizes.activation, eps=sizes.eps, framed=known.framed, value_head=False,
            )
        )  # fmt: skip
        own.take(self.net, self.tokens, [known.special[name] for name in (CLS, EOS)] if known.framed else [])
        own.note_usual(torch.from_numpy(known.median))
        return Published("geneformer", own, self.genes, self.report, self.other_names)

    @property
    def genes(self) -> pd.Index:
        """Ensembl ids of the vocabulary."""
        return self.vocabulary.genes

    @property
    def tokens(self) -> Int64[np.ndarray, " genes"]:
        """Token of every gene of the vocabulary."""
        return self.vocabulary.token

    @property
    def other_names(self) -> Mapping[str, str]:
        """Ensembl ids by other names."""
        return self.vocabulary.names

    def settings(self) -> list[Any]:
        """Sizes of the encoder, and usual expression of the genes."""
        return [self.net.config, self.vocabulary.median]

    def tokenise(self, counts: sp.csr_matrix, totals: Float64[np.ndarray, " cells"]) -> CellTokens:
        """Genes of every cell by falling count over usual count."""
        return rank_tokens(counts, self.vocabulary, n_places=self.net.n_places)
