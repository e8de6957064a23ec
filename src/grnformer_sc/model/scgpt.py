"""scGPT as it is read: its published folder, cells as genes with binned counts, and what its encoder makes of them."""

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
from jaxtyping import Float64, Int64

from .._core.files import sha256_of
from .._core.rng import RngLike, as_root, seed_for
from ..data.visible import quantile_edges
from ..nn.backbones import Backbone as BaseBackbone
from ..nn.backbones import Published, ScGPTConfig
from ..nn.backbones import ScGPT as Backbone
from ..nn.backbones.published import no_report
from ..nn.backbones.scgpt import gene_tokens
from ..nn.foundation.base import CellTokens
from ..nn.foundation.scgpt import ScGPTNet
from ..nn.foundation.tokens import framed, ranked
from ..nn.values import bin_of
from .foundation import Foundation

N_PLACES = 1200  # of published files that do not say it


@dataclass(frozen=True, repr=False)
class ScGPT(Foundation):
    """An scGPT (Cui et al. 2024): reads the expressed genes of a cell with their counts in quantile bins of the cell.

    Made by `load_published` from the published folder, or by `untrained`. To train on your data with its weights, see
    `grs.tl.fit(backbone="scgpt")`.

    Attributes
    ----------
    net
        The encoder, in evaluation mode.
    vocabulary
        Name of every token.
    report
        What became of every key of the file, as in `grs.nn.Published`.
    sha256
        Checksums of the files that were read, by name.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> grs.model.ScGPT.untrained(["GATA1", "SPI1"], dim=8, heads=2)
    scGPT of 2 genes: 3 layers, dim 8, up to 1200 tokens
    """

    title: ClassVar[str] = "scGPT"
    attention: ClassVar[str] = "rank"
    files: ClassVar[tuple[str, ...]] = Backbone.files
    net: ScGPTNet
    vocabulary: pd.Index
    report: pd.DataFrame
    sha256: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load_published(cls, path: str | Path, *, strict: bool = True) -> ScGPT:
        """Read the folder with `args.json`, `vocab.json` and `best_model.pt`; nothing in it is run.

        Parameters
        ----------
        path
            The folder.
        strict
            A missing or unexpected key, or another shape, is an error that names the first ones; False logs them.

        Raises
        ------
        ValueError
            A file is cut off, holds more than tensors, belongs to another architecture or another vocabulary.
        """
        folder = Path(path)
        published = Backbone.read_published(folder, strict=strict)
        args = json.loads((folder / "args.json").read_text(encoding="utf-8"))
        net = ScGPTNet(published.backbone, n_places=int(args.get("max_seq_len", N_PLACES)))
        net.eval().requires_grad_(requires_grad=False)
        sums = {name: sha256_of(folder / name) for name in cls.files}
        return cls(net, published.vocabulary, published.report, sums)

    @classmethod
    def untrained(cls, genes: Sequence[str], *, n_places: int = N_PLACES, rng: RngLike = 0, **sizes: Any) -> ScGPT:
        """Make one with random weights: the control that says what pre-training is worth.

        Parameters
        ----------
        genes
            Names of the genes.
        n_places
            Longest sequence, the cell's token included.
        rng
            Seed or generator of the weights.
        sizes
            Settings of `grs.nn.ScGPTConfig`, such as `dim`, `layers`, `heads`, `hidden`, `n_bins`.
        """
        vocabulary = pd.Index([*genes, "<cls>"], dtype=object)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_for(as_root(rng), "scgpt") % 2**63)
            backbone = Backbone(ScGPTConfig(n_genes=vocabulary.size, cls=vocabulary.size - 1, **sizes))
        net = ScGPTNet(backbone, n_places=n_places)
        net.eval().requires_grad_(requires_grad=False)
        return cls(net, vocabulary, no_report())

    def as_backbone(self) -> Published[BaseBackbone]:
        """Make a backbone of GRNFormer with these weights, for `checkpoint` of `grs.tl.fit`."""
        return Published("scgpt", self.net.backbone, self.vocabulary, self.report)

    @property
    def genes(self) -> pd.Index:
        """Names of the vocabulary that are not in angle brackets."""
        return self.vocabulary[self.tokens]

    @property
    def tokens(self) -> Int64[np.ndarray, " genes"]:
        """Token of every gene of the vocabulary."""
        return gene_tokens(self.vocabulary)

    @property
    def front(self) -> int:
        """One for <cls>."""
        return 1

    def settings(self) -> list[Any]:
        """Sizes of the encoder, the number of bins among them."""
        return [self.net.backbone.config]

    def tokenise(self, counts: sp.csr_matrix, totals: Float64[np.ndarray, " cells"]) -> CellTokens:
        """<cls>, then the expressed genes by falling count, each with its bin among the counts of the cell.

        Of a cell with more genes than places those with the largest counts are read; the original draws them at random. Bins
        are those among all expressed genes of the vocabulary, as in the original, which bins before it draws; they do not
        change when a cell is scaled or its logarithm is taken.
        """
        taken, length = ranked(counts.data, counts.indptr, self.net.n_places - 1)
        index = counts.indices[taken]
        kept = sp.csr_matrix((counts.data[taken], index, np.r_[0, np.cumsum(length)]), counts.shape)
        bins = _bins(kept, quantile_edges(counts, self.net.backbone.config.n_bins))
        tokens, starts = framed(self.tokens[index], length, [self.net.backbone.cls])
        return CellTokens(tokens, starts, framed(bins, length, [0.0])[0])


def _bins(counts: sp.csr_matrix, edges: np.ndarray) -> np.ndarray:
    """Bin of every stored count among the edges of its cell."""
    size = np.diff(counts.indptr)
    at = np.arange(size.max(initial=0)) < size[:, None]
    padded = np.zeros(at.shape, dtype=np.float32)
    padded[at] = counts.data
    return bin_of(torch.from_numpy(padded), torch.from_numpy(edges)).numpy()[at]
