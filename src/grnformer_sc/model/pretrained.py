"""Published weights for a model of your data: read a checkpoint, match its vocabulary to the genes."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from .._core.checks import fail, listing, need_between
from ..nn.backbones import Backbone, Published, get_backbone, registered_backbones
from ..priors import guess_species
from ..priors._genes import match_names
from .config import ModelConfig

logger = logging.getLogger(__name__)

MIN_MATCHED = 0.5  # share of the data's genes that a vocabulary must hold
SHOWN = 10


def load_backbone(
    path: str | Path, *, backbone: str | None = None, strict: bool = True, **options: Any
) -> Published[Backbone]:
    """Read the published checkpoint of an expression model, key by key.

    scGPT (Cui et al. 2024): the folder with `args.json`, `vocab.json` and `best_model.pt`, with parameter names of flash
    attention or of torch. scFoundation (Hao et al. 2024): `models.ckpt` with its list of genes. Files are read as tensors
    and plain values; nothing in them is run.

    Parameters
    ----------
    path
        Folder or file of the checkpoint.
    backbone
        Registered name of the model that wrote it; None finds out by the names of the files.
    strict
        A missing or unexpected key, or another shape, is an error that names the first ones; False logs them and loads
        what fits.
    options
        For scFoundation: `part` (`"cell"`, `"gene"` or `"rde"`) and `vocabulary` (its gene list, a file or names).

    Returns
    -------
    `grs.nn.Published`: the `backbone` over its whole vocabulary, in evaluation mode, the `vocabulary`, and a `report` with
    one row per key: name in the file and in the model, both shapes, and what became of it.

    Raises
    ------
    FileNotFoundError
        No file of a known checkpoint is there.
    ValueError
        The file is cut off, holds more than tensors, belongs to another architecture or another vocabulary.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> grs.model.load_backbone("no/such/folder")
    Traceback (most recent call last):
    ...
    FileNotFoundError: path must hold the files of a known checkpoint: ...
    """
    path = Path(path)
    known = {name: cls.files for name, cls in registered_backbones().items() if cls.files}
    if backbone is None:
        beside = {p.name for p in path.iterdir()} if path.is_dir() else {path.name} if path.is_file() else set()
        backbone = next((name for name, files in known.items() if files[-1] in beside), None)
        if backbone is None:
            raise fail(
                FileNotFoundError,
                "path must hold the files of a known checkpoint: "
                + "; ".join(f"{name} {listing(files)}" for name, files in known.items()) + ".",
                f"{listing(sorted(beside))} at {path}.", "check the path, or name the model with backbone=.",
            )  # fmt: skip
    return get_backbone(backbone).read_published(path, strict=strict, **options)


@dataclass(frozen=True, slots=True)
class StartWeights:
    """Weights of a published backbone for the genes of some data.

    Attributes
    ----------
    name
        Registered name of the backbone.
    state
        State dict over the genes of the data.
    matches
        One row per gene: `before` (name in the data), `after` (name in the vocabulary, "" without one), `way`.
    """

    name: str
    state: dict[str, Tensor]
    matches: pd.DataFrame

    @property
    def n_lost(self) -> int:
        """Genes that the vocabulary does not hold."""
        return int((self.matches["after"] == "").sum())

    def load_into(self, backbone: Backbone) -> None:
        """Give a backbone its published weights; parts that the checkpoint does not hold keep theirs, which is logged."""
        wanted = backbone.state_dict()
        found = {name: self.state[name] for name in wanted if name in self.state}
        other = next((name for name, value in found.items() if value.shape != wanted[name].shape), None)
        if other is not None:
            raise fail(
                ValueError, f"backbone_settings must agree with the checkpoint of {self.name}.",
                f"{other} {tuple(found[other].shape)}, not {tuple(wanted[other].shape)}.",
                "leave the settings out that the checkpoint fixes.",
            )  # fmt: skip
        fresh = [name for name in wanted if name not in self.state]
        logger.info("%s: %d published parameters, %d fresh %s", self.name, len(found), len(fresh), listing(fresh, 3))
        backbone.load_state_dict(found, strict=False)


def adopt(published: Published[Backbone], genes: pd.Index, *, min_matched: float = MIN_MATCHED) -> StartWeights:
    """Bring the gene table of published weights to the genes of the data; the loss is logged, too much of it an error.

    Names are matched as `grs.pp.harmonize_genes` does, without tables of other names. A gene without a match starts from the
    mean embedding of those that have one.
    """
    need_between(min_matched, 0, 1, name="min_matched")
    species = guess_species(genes)[0], guess_species(published.vocabulary)[0]
    matches = match_names(genes, published.vocabulary, case="unknown" in species or species[0] == species[1])
    twice = matches["after"].duplicated() & (matches["after"] != "")
    matches.loc[twice, ["after", "way"]] = ["", "ambiguous"]  # one row of the table, one gene
    rows = published.vocabulary.get_indexer(matches["after"])
    found, lost = rows >= 0, genes[rows < 0]
    ways = ", ".join(f"{n} {way}" for way, n in matches["way"].value_counts().items())
    if found.mean() < min_matched or not found.any():
        raise fail(
            ValueError, f"at least {min_matched:.0%} of the genes must be in the checkpoint's vocabulary.",
            f"{int(found.sum())} of {genes.size} ({ways}); not found {listing(lost, SHOWN)}, the genes look like "
            f"{species[0]}; vocabulary {listing(published.vocabulary, 5)}, like {species[1]}.",
            "bring the names over with grs.pp.harmonize_genes(adata, to=vocabulary, aliases=... or orthologs=...), "
            "vocabulary = grs.model.load_backbone(path).vocabulary.",
        )  # fmt: skip
    logger.info("vocabulary of %s: %d of %d genes found (%s)", published.name, found.sum(), genes.size, ways)
    model = published.backbone
    state = {name: value.detach().clone() for name, value in model.state_dict().items()}
    table = state[model.gene_table]
    own = table[model.own_rows()]
    mean = table[torch.from_numpy(rows[found])].mean(dim=0)
    taken = torch.where(torch.from_numpy(found)[:, None], table[torch.from_numpy(np.maximum(rows, 0))], mean)
    state[model.gene_table] = torch.cat([taken, own])
    return StartWeights(published.name, state, matches)


def start_from(
    checkpoint: str | Path | Published[Backbone], config: ModelConfig, genes: pd.Index, *, min_matched: float
) -> tuple[ModelConfig, StartWeights]:
    """Sizes and weights for a model of these genes."""
    published = checkpoint if isinstance(checkpoint, Published) else load_backbone(checkpoint)
    if published.name != config.backbone:
        raise fail(
            ValueError, f"the checkpoint must be one of the backbone {config.backbone!r}.", f"one of {published.name!r}.",
            f"pass backbone={published.name!r}.",
        )  # fmt: skip
    start = adopt(published, genes, min_matched=min_matched)
    return config.with_sizes(published.backbone.config), start
