"""scGenePT as it is read: its published weights, cells as all genes with their values, and flags of perturbed genes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from jaxtyping import Float32, Float64, Int64

from .._core.checks import fail, listing, need_between, need_one_of
from .._core.files import read_text, sha256_of
from .._core.rng import RngLike, as_root, seed_for
from ..nn.backbones import Backbone, Published, ScGPT, ScGPTConfig
from ..nn.backbones.published import names_hold, need_state, no_report, read_tensors
from ..nn.backbones.scgpt import gene_tokens, read_vocabulary
from ..nn.foundation.base import CellTokens
from ..nn.foundation.scgenept import LANGUAGES, ScGenePTNet, net_of
from ..nn.foundation.tokens import framed, ranked
from ..nn.foundation.trainable import ScGenePTBackbone, ScGenePTBackboneConfig
from ..nn.values import PER
from .foundation import LARGEST_BATCH, Foundation

N_CONTEXT = 1536  # genes of a cell in the fine-tuning of scGPT for perturbations
HEADS = 8  # of the published models; their files do not hold it


@dataclass(frozen=True, repr=False)
class ScGenePT(Foundation):
    """An scGenePT (Istrate et al. 2024): an scGPT fine-tuned on perturbations that also reads what is written about genes.

    Made by `load_published` from published weights, or by `untrained`. It is told which genes are perturbed: a gene that is
    deleted stays in the sequence with the flag and the value 0, one that is over-expressed has the flag and the largest
    value of the cell.

    Attributes
    ----------
    net
        The encoder, in evaluation mode.
    vocabulary
        Name of every token.
    zero_genes
        Whether genes that a cell does not express are read too.
    report
        What became of every key of the file, as in `grs.nn.Published`.
    sha256
        Checksums of the files that were read, by name.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> grs.model.ScGenePT.untrained(["GATA1", "SPI1"], dim=8, heads=2)
    scGenePT of 2 genes: 3 layers, dim 8, up to 1536 tokens
    """

    title: ClassVar[str] = "scGenePT"
    attention: ClassVar[str] = "rank"
    files: ClassVar[tuple[str, ...]] = ("*.pt", "vocab.json")
    net: ScGenePTNet
    vocabulary: pd.Index
    report: pd.DataFrame
    zero_genes: bool = True
    sha256: dict[str, str] = field(default_factory=dict)

    @classmethod
    def is_at(cls, path: Path) -> bool:
        """Whether weights with embeddings of what is written about genes are there."""
        return len(_weights_in(path)) > 0

    @classmethod
    def load_published(
        cls,
        path: str | Path,
        *,
        vocabulary: str | Path | None = None,
        heads: int | None = None,
        n_context: int = N_CONTEXT,
        zero_genes: bool = True,
        strict: bool = True,
    ) -> ScGenePT:
        """Read published weights; nothing in them is run.

        The embeddings of what is written about genes are in the weights, so the tables that they were made from are not
        needed.

        Parameters
        ----------
        path
            The file of weights (`.pt`), or a folder with one.
        vocabulary
            `vocab.json` of the scGPT that the model was made from (also .gz); by default the one beside the weights or in
            the folder above.
        heads
            Attention heads; by default `nheads` of an `args.json` beside the weights, else the published 8.
        n_context
            Genes of a cell that are read, the most expressed first; the time grows with its square.
        zero_genes
            Also read genes of the data that the cell does not express, up to `n_context`, as the model was trained.
        strict
            A missing or unexpected key, or another shape, is an error that names the first ones; False logs them.

        Raises
        ------
        FileNotFoundError
            The weights or the vocabulary are missing, or several could be meant.
        ValueError
            A file is cut off, holds more than tensors, belongs to another architecture or another vocabulary.
        """
        need_between(n_context, 1, LARGEST_BATCH, name="n_context")
        file = _weights_at(Path(path))
        words = _vocabulary_at(file, vocabulary)
        names, args = read_vocabulary(words), file.with_name("args.json")
        state = need_state(read_tensors(file), file)
        if heads is None:
            heads = int(json.loads(read_text(args)).get("nheads", HEADS)) if args.is_file() else HEADS
        need_between(heads, 1, LARGEST_BATCH, name="heads")
        net, report = net_of(state, file, heads=heads, n_tokens=names.size, n_places=n_context, strict=strict)
        return cls(net, names, report, zero_genes, {path.name: sha256_of(path) for path in (file, words)})

    @classmethod
    def untrained(
        cls,
        genes: Sequence[str],
        *,
        languages: Sequence[str] = ("genept",),
        width: int = 16,
        n_context: int = N_CONTEXT,
        zero_genes: bool = True,
        rng: RngLike = 0,
        **sizes: Any,
    ) -> ScGenePT:
        """Make one with random weights: the control that says what training is worth.

        Parameters
        ----------
        genes
            Names of the genes.
        languages
            Which embeddings of what is written about genes it has: `"genept"` (summaries), `"component"`, `"function"`,
            `"process"` (parts of the Gene Ontology).
        width
            Their width.
        n_context, zero_genes
            As in `load_published`.
        rng
            Seed or generator of the weights.
        sizes
            Settings of `grs.nn.ScGPTConfig`, such as `dim`, `layers`, `heads`, `hidden`.
        """
        for language in languages:
            need_one_of(language, LANGUAGES, name="languages")
        vocabulary = pd.Index([*genes, "<cls>"], dtype=object)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_for(as_root(rng), "scgenept") % 2**63)
            backbone = ScGPT(ScGPTConfig(n_genes=vocabulary.size, cls=vocabulary.size - 1, **sizes))
            net = ScGenePTNet(backbone, dict.fromkeys(languages, width), n_places=n_context)
        net.eval().requires_grad_(requires_grad=False)
        return cls(net, vocabulary, no_report(), zero_genes)

    def as_backbone(self) -> Published[Backbone]:
        """Make a backbone of GRNFormer with these weights, for `checkpoint` of `grs.tl.fit`."""
        sizes = self.net.backbone.config
        own = ScGenePTBackbone(
            ScGenePTBackboneConfig(
                n_genes=self.genes.size, dim=sizes.dim, layers=sizes.layers, heads=sizes.heads,
                hidden=2 * sizes.dim if sizes.hidden is None else sizes.hidden, languages=self.net.language_widths,
                value_head=sizes.value_head,
            )
        )  # fmt: skip
        return Published("scgenept", own.take(self.net, self.tokens), self.genes, self.report)

    @property
    def genes(self) -> pd.Index:
        """Names of the vocabulary that are not in angle brackets."""
        return self.vocabulary[self.tokens]

    @property
    def tokens(self) -> Int64[np.ndarray, " genes"]:
        """Token of every gene of the vocabulary."""
        return gene_tokens(self.vocabulary)

    @property
    def flag(self) -> int:
        """Tokens of perturbed genes come behind all others."""
        return self.net.n_tokens

    @property
    def reads_zeros(self) -> bool:
        """As `zero_genes` says."""
        return self.zero_genes

    def settings(self) -> list[Any]:
        """Sizes of the encoder."""
        return [self.net.backbone.config]

    def value_of(
        self, counts: Float32[np.ndarray, "*genes"], totals: Float64[np.ndarray, "*cells"]
    ) -> Float32[np.ndarray, "*genes"]:
        """log(1 + count per 10,000)."""
        return np.log1p(counts / totals * PER).astype(np.float32)

    def tokenise(self, counts: sp.csr_matrix, totals: Float64[np.ndarray, " cells"]) -> CellTokens:
        """Genes by falling count, each with log(1 + count per 10,000), at most as many as the model reads.

        Of a cell with more genes those with the largest counts are read, then others in the order of the vocabulary; the
        original draws them at random.
        """
        taken, length = ranked(counts.data, counts.indptr, self.net.n_places)
        tokens, starts = framed(self.tokens[counts.indices[taken]], length, ())
        return CellTokens(tokens, starts, self.value_of(counts.data[taken], np.repeat(totals, length)))


def _weights_in(path: Path) -> list[Path]:
    """Files with embeddings of what is written about genes: the path itself, or those of the folder."""
    files = sorted(path.glob("*.pt")) if path.is_dir() else [path]
    return [file for file in files if file.is_file() and names_hold(file, *LANGUAGES.values())]


def _weights_at(path: Path) -> Path:
    """The file of weights."""
    found = _weights_in(path) or ([path] if path.is_file() else sorted(path.glob("*.pt")))
    if len(found) != 1:
        raise fail(
            FileNotFoundError, "an scGenePT is one file of weights .pt, or a folder with one of them.",
            f"{listing(p.name for p in found) if path.is_dir() else 'no file'} at {path}.", "name the file.",
        )  # fmt: skip
    return found[0]


def _vocabulary_at(file: Path, given: str | Path | None) -> Path:
    """The vocabulary: the one given, or the one beside the weights or above them."""
    places = [Path(given)] if given is not None else [at / "vocab.json" for at in (file.parent, file.parent.parent)]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        raise fail(
            FileNotFoundError, "an scGenePT needs vocab.json, the vocabulary of the scGPT that it was made from.",
            f"none at {listing(places)}.",
            "pass vocabulary=<file>; that of the published models lies in models/pretrained/scgpt of "
            "github.com/czi-ai/scGenePT.",
        )  # fmt: skip
    return found
