"""scPRINT as it is read: its published checkpoint, cells as their most expressed genes, what its encoder makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from jaxtyping import Float64, Int64

from .._core.checks import fail, need_between
from .._core.files import sha256_of
from .._core.rng import RngLike, as_root, seed_for
from ..nn.backbones import Backbone, Published
from ..nn.backbones.published import no_report
from ..nn.foundation.base import CellTokens
from ..nn.foundation.geneformer_file import read_dictionary
from ..nn.foundation.scprint import ScPRINTConfig, ScPRINTNet, net_of, normalised, sinusoids
from ..nn.foundation.scprint_file import checkpoint_at, config_of, genes_of, read_checkpoint
from ..nn.foundation.tokens import framed, ranked
from ..nn.foundation.trainable import ScPRINTBackbone, ScPRINTBackboneConfig
from .foundation import LARGEST_BATCH, Foundation

N_CONTEXT = 2000  # genes that are read of a cell; files do not say it


@dataclass(frozen=True, repr=False)
class ScPRINT(Foundation):
    """An scPRINT (Kalfon et al. 2025): reads the most expressed genes of a cell with their counts and places on the genome.

    Made by `load_published` from the published checkpoint, or by `untrained`. Tokens that stand for the cell come first: one
    that holds its depth, and one for each class that the model was trained to name. With `pool="cls"` the embedding of a
    cell is their mean.

    Attributes
    ----------
    net
        The encoder, in evaluation mode.
    vocabulary
        Ensembl id of every gene.
    names
        Ensembl ids by other names.
    report
        What became of every key of the file, as in `grs.nn.Published`.
    sha256
        Checksums of the files that were read, by name.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> grs.model.ScPRINT.untrained(["GATA1", "SPI1"], dim=8, heads=2)
    scPRINT of 2 genes: 3 layers, dim 8, up to 2002 tokens
    """

    title: ClassVar[str] = "scPRINT"
    attention: ClassVar[str] = "mean_qk"
    files: ClassVar[tuple[str, ...]] = ("*.ckpt",)
    net: ScPRINTNet
    vocabulary: pd.Index
    report: pd.DataFrame
    names: Mapping[str, str] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)

    @classmethod
    def is_at(cls, path: Path) -> bool:
        """Whether it is a checkpoint, or a folder with one."""
        return (path.is_file() and path.suffix == ".ckpt") or any(path.glob("*.ckpt"))

    @classmethod
    def load_published(
        cls,
        path: str | Path,
        *,
        n_context: int = N_CONTEXT,
        names: str | Path | None = None,
        genes: Sequence[str] | None = None,
        strict: bool = True,
    ) -> ScPRINT:
        """Read a published checkpoint; nothing in it is run.

        Tensors are read as such, and settings as plain values: numbers, text, lists, dictionaries, and arrays and numbers
        of numpy. What else a file asks for is refused by name.

        Parameters
        ----------
        path
            The file `.ckpt`, or a folder with one.
        n_context
            Genes of a cell that are read, the most expressed first; the time grows with its square.
        names
            File with other names of the genes, such as `gene_name_id_dict` of Geneformer: pickle, JSON, or CSV (Ensembl ids
            in the first column, and `symbol`). Without it only the ids of the checkpoint are known.
        genes
            Name of every row of the gene table, for a checkpoint that does not hold them as a list.
        strict
            A missing or unexpected key, or another shape, is an error that names the first ones; False logs them.

        Raises
        ------
        FileNotFoundError
            No checkpoint is there, or there are several.
        ValueError
            The file is cut off, asks for code, or belongs to another architecture or another vocabulary.
        """
        need_between(n_context, 1, LARGEST_BATCH, name="n_context")
        file = checkpoint_at(Path(path))
        settings, state = read_checkpoint(file)
        config = config_of(settings, state, file, n_context=n_context)
        vocabulary = genes_of(settings, genes, file, n_genes=config.n_genes)
        net, report = net_of(config, state, file, strict=strict)
        known = {} if names is None else read_dictionary(Path(names), "names")
        files = [file, *([] if names is None else [Path(names)])]
        return cls(net, vocabulary, report, known, {path.name: sha256_of(path) for path in files})

    @classmethod
    def untrained(
        cls, genes: Sequence[str], *, places: Sequence[int] | None = None, rng: RngLike = 0, **sizes: Any
    ) -> ScPRINT:
        """Make one with random weights: the control that says what pre-training is worth.

        Parameters
        ----------
        genes
            Names of the genes.
        places
            Place of every gene on the genome; without it the model has no places.
        rng
            Seed or generator of the weights.
        sizes
            `dim`, `layers`, `heads`, `hidden`, `n_classes`, `depth`, `normalisation`, `n_context` of the encoder.
        """
        vocabulary = pd.Index(genes, dtype=object)
        if places is not None and len(places) != vocabulary.size:
            raise fail(
                ValueError, "places must hold one number per gene.", f"{len(places)} for {vocabulary.size} genes.",
                "give one for each.",
            )  # fmt: skip
        config = ScPRINTConfig(
            n_genes=vocabulary.size, positions=places is not None, **{"n_context": N_CONTEXT} | sizes
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_for(as_root(rng), "scprint") % 2**63)
            net = ScPRINTNet(config).eval().requires_grad_(requires_grad=False)
        if places is not None:
            net.positions = sinusoids(np.asarray(places, dtype=np.int64), config.dim)
        return cls(net, vocabulary, no_report())

    def as_backbone(self) -> Published[Backbone]:
        """Make a backbone of GRNFormer with these weights, for `checkpoint` of `grs.tl.fit`."""
        sizes = self.net.config
        own = ScPRINTBackbone(
            ScPRINTBackboneConfig(
                n_genes=sizes.n_genes, dim=sizes.dim, layers=sizes.layers, heads=sizes.heads,
                hidden=4 * sizes.dim if sizes.hidden is None else sizes.hidden, n_classes=sizes.n_classes,
                depth=sizes.depth, positions=sizes.positions, normalisation=sizes.normalisation, value_head=False,
            )
        )  # fmt: skip
        return Published("scprint", own.take(self.net, self.tokens), self.genes, self.report, self.names)

    @property
    def genes(self) -> pd.Index:
        """Genes of the checkpoint."""
        return self.vocabulary

    @property
    def tokens(self) -> Int64[np.ndarray, " genes"]:
        """Token of every gene: its row."""
        return np.arange(self.vocabulary.size, dtype=np.int64)

    @property
    def other_names(self) -> Mapping[str, str]:
        """Ensembl ids by other names."""
        return self.names

    @property
    def front(self) -> int:
        """That of the depth, where there is one, and those of the classes."""
        return self.net.front

    def settings(self) -> list[Any]:
        """Sizes of the encoder, and what becomes of counts."""
        return [self.net.config]

    def tokenise(self, counts: sp.csr_matrix, totals: Float64[np.ndarray, " cells"]) -> CellTokens:
        """Tokens of the cell, then its most expressed genes with their values; and the total of each cell."""
        taken, length = ranked(counts.data, counts.indptr, self.net.config.n_context)
        front = self.net.front_tokens()
        tokens, starts = framed(counts.indices[taken].astype(np.int64), length, front)
        values = normalised(counts.data[taken], length, self.net.config.normalisation)
        return CellTokens(
            tokens, starts, framed(values, length, [0.0] * len(front))[0], totals[:, None].astype(np.float32)
        )
