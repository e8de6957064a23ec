"""Which foundation model a folder or file holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .._core.checks import fail, listing, need_one_of
from .foundation import Foundation
from .genecompass import GeneCompass
from .geneformer import Geneformer
from .scgenept import ScGenePT
from .scgpt import ScGPT
from .scprint import ScPRINT

# what the files of one have besides those of another comes first
FOUNDATIONS: dict[str, type[Foundation]] = {
    "genecompass": GeneCompass, "geneformer": Geneformer, "scgenept": ScGenePT, "scgpt": ScGPT, "scprint": ScPRINT,
}  # fmt: skip


def load_foundation(path: str | Path, *, model: str | None = None, **options: Any) -> Foundation:
    """Read a published foundation model, whichever it is.

    Parameters
    ----------
    path
        Folder or file of the model.
    model
        Name of the model: `"genecompass"`, `"geneformer"`, `"scgenept"`, `"scgpt"`, `"scprint"`; by default the one whose
        files are there.
    options
        Passed to `load_published` of that model.

    Returns
    -------
    `grs.model.GeneCompass`, `grs.model.Geneformer`, `grs.model.ScGenePT`, `grs.model.ScGPT` or `grs.model.ScPRINT`.

    Raises
    ------
    FileNotFoundError
        No file of a known model is there.
    ValueError
        A file is cut off, or belongs to another architecture or another vocabulary; `model` names none.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> grs.model.load_foundation("no/such/folder")
    Traceback (most recent call last):
    ...
    FileNotFoundError: path must hold the files of a foundation model: ...
    """
    path = Path(path)
    if model is None:
        model = next((name for name, kind in FOUNDATIONS.items() if kind.is_at(path)), None)
    if model is None:
        found = listing(sorted(p.name for p in path.iterdir())) if path.is_dir() else "no folder"
        raise fail(
            FileNotFoundError,
            "path must hold the files of a foundation model: "
            + "; ".join(f"{name} {listing(kind.files)}" for name, kind in FOUNDATIONS.items()) + ".",
            f"{found} at {path}.", "check the path, or name the model with model=.",
        )  # fmt: skip
    need_one_of(model, FOUNDATIONS, name="model")
    return FOUNDATIONS[model].load_published(path, **options)
