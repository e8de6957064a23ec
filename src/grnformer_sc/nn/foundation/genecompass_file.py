"""The dictionaries of GeneCompass: tokens of the genes of both species, and on demand medians and names."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..._core.checks import fail, listing
from .geneformer_file import RankVocabulary, above_0, in_order, read_dictionary

logger = logging.getLogger(__name__)

PATTERN = "human_mouse_tokens*"
MOUSE = "ENSMUSG"  # how ids of its genes begin


def find_tokens(folder: Path, given: str | Path | None) -> Path:
    """The dictionary of tokens: the one given, or the only one of its name in the folder or in the one above it."""
    if given is not None:
        found = [path for path in (Path(given),) if path.is_file()]
    else:
        found = next((hit for at in (folder, folder.parent) if (hit := sorted(at.glob(PATTERN)))), [])
    if len(found) != 1:
        raise fail(
            FileNotFoundError, "a GeneCompass needs its dictionary of tokens, human_mouse_tokens.pickle.",
            f"{listing(p.name for p in found) if found else 'none'} "
            + (f"in {folder} and above it." if given is None else f"at {given}."),
            "pass tokens=<file>; it is published with the code at github.com/xCompass-AI/GeneCompass (by Git LFS).",
        )  # fmt: skip
    return found[0]


def vocabulary_of(
    tokens: Mapping[str, Any], medians: Mapping[str, Any] | None, names: Mapping[str, Any], species: str, *, source: str
) -> RankVocabulary:
    """Genes of one species; the first entry that is wrong is named. Genes without a median are left out, which is logged."""
    order, wrong = in_order(tokens)
    genes = [name for name in order if not name.startswith("<") and name.startswith(MOUSE) == (species == "mouse")]
    if wrong or not genes:
        raise fail(
            ValueError, f"{source} must number its tokens 0, 1, 2, ... and hold genes of the {species}.",
            f"{wrong or f'none among {len(order)} names, the first {listing(order, 3)}'}.",
            "give the dictionary that was published with these weights.",
        )  # fmt: skip
    if medians is not None:
        genes = _with_median(genes, medians, species)
    known = set(genes)
    return RankVocabulary(
        pd.Index(genes, dtype=object),
        np.array([tokens[gene] for gene in genes], dtype=np.int64),
        np.array([1.0 if medians is None else medians[gene] for gene in genes], dtype=np.float64),
        {name: int(tokens[name]) for name in order if name.startswith("<")},
        {str(name): str(gene) for name, gene in names.items() if gene in known},
    )


def _with_median(genes: list[str], medians: Mapping[str, Any], species: str) -> list[str]:
    """Genes that have a median."""
    found = [gene for gene in genes if gene in medians]
    wrong = next((f"median {medians[gene]!r} of {gene!r}" for gene in found if not above_0(medians[gene])), "")
    if wrong or not found:
        raise fail(
            ValueError, f"medians must be above 0, of genes of the {species}.",
            f"{wrong or f'none of {len(genes)} genes, but {listing(medians, 3)}'}.", "give those of the model.",
        )  # fmt: skip
    if len(found) < len(genes):
        logger.warning(
            "%d of %d genes of the %s have no median and are not read", len(genes) - len(found), len(genes), species
        )
    return found


def read_vocabulary(tokens: Path, medians: Path | None, names: Path | None, species: str) -> tuple[RankVocabulary, int]:
    """Genes of one species, and the number of all tokens."""
    numbered = read_dictionary(tokens, "tokens")
    given = None if medians is None else read_dictionary(medians, "medians")
    known = {} if names is None else read_dictionary(names, "names")
    return vocabulary_of(numbered, given, known, species, source=tokens.name), len(numbered)
