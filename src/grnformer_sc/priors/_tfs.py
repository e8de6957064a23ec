"""Which genes are transcription factors: the user's list, or gene-family names."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

import pandas as pd

from .._core.checks import fail, listing

logger = logging.getLogger(__name__)


def tf_names(genes: Iterable[str], *, source: str | Path | Iterable[str] | None = None) -> list[str]:
    """Find the transcription factors among gene names.

    Parameters
    ----------
    genes
        Gene symbols.
    source
        TF names, or the path of a text file with one name per line. `None` uses the packaged table of gene-family
        symbols (such as ``SOX#`` or ``NR#A#``), which follows the naming rules of human and mouse genes; it needs no file
        and no network, and finds most but not all TFs, so give a curated list where one exists.

    Returns
    -------
    Sorted names of those genes that are TFs, spelled as in `genes`. Letter case does not matter.

    Raises
    ------
    ValueError
        No gene is a TF.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> grs.priors.tf_names(["Gad1", "Sox9", "Neurod6", "Actb"])
    ['Neurod6', 'Sox9']
    """
    names = [str(gene) for gene in genes]
    if source is None:
        pattern = _family_pattern()
        found = sorted({name for name in names if pattern.fullmatch(name.upper())})
    else:
        wanted = {name.upper() for name in _read_list(source)}
        found = sorted({name for name in names if name.upper() in wanted})
    if not found:
        raise fail(
            ValueError, "at least one gene must be a TF.", f"none among {len(names)} genes: {listing(names)}.",
            "pass tfs=[...] with names as they stand in var_names (gene symbols, not Ensembl ids).",
        )  # fmt: skip
    return found


def _read_list(source: str | Path | Iterable[str]) -> list[str]:
    if isinstance(source, (str, Path)):
        path = Path(source)
        if not path.exists():
            raise fail(FileNotFoundError, "the TF list must exist.", str(path), "check the path.")
        return [line.split()[0] for line in path.read_text().splitlines() if line.strip()]
    if isinstance(source, pd.DataFrame):
        return source.iloc[:, 0].astype(str).tolist()
    return [str(name) for name in source]


def _family_pattern() -> re.Pattern[str]:
    """Compile the packaged table: ``#`` stands for digits, ``?`` for one letter, ``*`` for both; comments start with %."""
    text = files("grnformer_sc.priors").joinpath("tf_families.txt").read_text()
    words = [word for line in text.splitlines() for word in line.split("%")[0].split()]
    parts = [word.replace("#", r"\d+").replace("?", "[A-Z]").replace("*", "[A-Z0-9]*") for word in words]
    return re.compile("|".join(parts))
