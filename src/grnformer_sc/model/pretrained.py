"""Published weights for a model of your data: read a checkpoint, match its vocabulary to the genes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import torch
from torch import Tensor

from .._core.checks import fail, listing, need_between
from ..nn.backbones import Backbone, Published, get_backbone, registered_backbones
from ..priors import guess_species
from ..priors._genes import match_names, read_synonyms
from .config import ModelConfig
from .foundation import Foundation
from .foundation_files import FOUNDATIONS

logger = logging.getLogger(__name__)

MIN_MATCHED = 0.5  # share of the data's genes that a vocabulary must hold
SHOWN = 10
Checkpoint = str | Path | Published[Backbone] | Foundation


def load_backbone(
    path: str | Path, *, backbone: str | None = None, strict: bool = True, **options: Any
) -> Published[Backbone]:
    """Read the published checkpoint of an expression model, key by key.

    scGPT (Cui et al. 2024): the folder with `args.json`, `vocab.json` and `best_model.pt`, with parameter names of flash
    attention or of torch. scFoundation (Hao et al. 2024): `models.ckpt` with its list of genes. Geneformer, GeneCompass,
    scGenePT and scPRINT: what `grs.model.load_foundation` reads. Files are read as tensors and plain values; nothing in
    them is run.

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
        For scFoundation: `part` (`"cell"`, `"gene"` or `"rde"`) and `vocabulary` (its gene list, a file or names). For the
        others those of `load_published` of their class in `grs.model`, such as `tokens` and `medians`.

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
    if backbone is None:
        backbone = _kind_at(path)
    if backbone in FOUNDATIONS and backbone != "scgpt":
        return FOUNDATIONS[backbone].load_published(path, strict=strict, **options).as_backbone()
    return get_backbone(backbone).read_published(path, strict=strict, **options)


def _kind_at(path: Path) -> str:
    """Name of the backbone whose files are there: by what they hold, where names do not tell."""
    files = {name: cls.files for name, cls in registered_backbones().items() if cls.files}
    beside = {p.name for p in path.iterdir()} if path.is_dir() else {path.name} if path.is_file() else set()
    named = [name for name, known in files.items() if known[-1] in beside]
    held = [name for name, kind in FOUNDATIONS.items() if kind.is_at(path)]
    sure = [name for name in held if name != "scprint"]  # any .ckpt may be one
    if found := [*sure, *named, *held]:
        return found[0]
    files = {name: kind.files for name, kind in FOUNDATIONS.items()} | files
    raise fail(
        FileNotFoundError,
        "path must hold the files of a known checkpoint: "
        + "; ".join(f"{name} {listing(known)}" for name, known in files.items()) + ".",
        f"{listing(sorted(beside))} at {path}.", "check the path, or name the model with backbone=.",
    )  # fmt: skip


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

    what: ClassVar[str] = "published weights"
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
    matches = matched(
        genes, published.vocabulary, min_matched=min_matched, source=f"vocabulary of {published.name}",
        other_names=published.other_names,
    )  # fmt: skip
    rows = torch.from_numpy(published.vocabulary.get_indexer(matches["after"]))
    model = published.backbone
    state = {name: value.detach().clone() for name, value in model.state_dict().items()}
    own = state[model.gene_table][model.own_rows()]
    for name in (model.gene_table, *model.gene_rows):
        state[name] = rows_or_mean(state[name], rows)
    state[model.gene_table] = torch.cat([state[model.gene_table], own])
    return StartWeights(published.name, state, matches)


def matched(
    genes: pd.Index,
    names: pd.Index,
    *,
    min_matched: float,
    source: str,
    other_names: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Find genes among some names, each of which one gene may have; the loss is logged, too much of it an error."""
    species = guess_species(genes)[0], guess_species(names)[0]
    matches = match_names(
        genes, names, synonyms=read_synonyms(other_names) if other_names else None,
        case="unknown" in species or species[0] == species[1],
    )  # fmt: skip
    twice = matches["after"].duplicated() & (matches["after"] != "")
    matches.loc[twice, ["after", "way"]] = ["", "ambiguous"]  # one row of the table, one gene
    found = (matches["after"] != "").to_numpy()
    ways = ", ".join(f"{n} {way}" for way, n in matches["way"].value_counts().items())
    if found.mean() < min_matched or not found.any():
        raise fail(
            ValueError, f"at least {min_matched:.0%} of the genes must be in the {source}.",
            f"{int(found.sum())} of {genes.size} ({ways}); not found {listing(genes[~found], SHOWN)}, the genes look like "
            f"{species[0]}; it holds {listing(names, 5)}, like {species[1]}.",
            "bring the names over with grs.pp.harmonize_genes(adata, to=names, aliases=... or orthologs=...); names are "
            "those of the embedding, or grs.model.load_backbone(path).vocabulary.",
        )  # fmt: skip
    logger.info("%s: %d of %d genes found (%s)", source, found.sum(), genes.size, ways)
    return matches


def rows_or_mean(table: Tensor, rows: Tensor) -> Tensor:
    """Some rows of a table; where there is none (-1) the mean of those that there are."""
    mean = table[rows[rows >= 0]].mean(dim=0)
    found = (rows >= 0).view(-1, *[1] * (table.ndim - 1))
    return torch.where(found, table[rows.clamp(min=0)], mean)


def start_from(
    checkpoint: Checkpoint, config: ModelConfig, genes: pd.Index, *, min_matched: float
) -> tuple[ModelConfig, StartWeights]:
    """Sizes and weights for a model of these genes."""
    if isinstance(checkpoint, Foundation):
        checkpoint = checkpoint.as_backbone()
    published = checkpoint if isinstance(checkpoint, Published) else load_backbone(checkpoint)
    if published.name != config.backbone:
        raise fail(
            ValueError, f"the checkpoint must be one of the backbone {config.backbone!r}.", f"one of {published.name!r}.",
            f"pass backbone={published.name!r}.",
        )  # fmt: skip
    start = adopt(published, genes, min_matched=min_matched)
    return config.with_sizes(published.backbone.config), start
