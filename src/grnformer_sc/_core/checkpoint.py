"""Finished parts of a long step, kept in a folder so that a run that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from .checks import fail
from .files import whole_file
from .rows import Rows
from .settings import settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Arrays by name, one ``.npy`` file each; a name holds a hash of all that decides the array.

    Without a folder nothing is kept. Files are written whole or not at all, and hold no pickles.
    """

    folder: Path | None = None
    prefix: str = ""

    @classmethod
    def at(cls, folder: str | Path | None) -> Checkpoint:
        """Use a folder, which is made if need be."""
        if folder is None:
            return cls()
        path = Path(folder)
        if path.exists() and not path.is_dir():
            raise fail(ValueError, "resume must name a folder.", f"the file {str(path)!r}.", "name a new folder.")
        path.mkdir(parents=True, exist_ok=True)
        return cls(path)

    @classmethod
    def resuming(cls, name: str, *, resume: bool | str | Path) -> Checkpoint:
        """Where a step keeps its parts: nowhere, in a folder of this name in the cache (`True`), or in the folder given."""
        if resume is False:
            return cls()
        return cls.at(settings.cache_dir / name if resume is True else resume)

    def of(self, title: str, *decisive: Any) -> Checkpoint:
        """Narrow the names to one step with these inputs and settings."""
        return self if self.folder is None else Checkpoint(self.folder, f"{title}-{_digest(decisive)}")

    def keep(self, name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Read the array of this name, or make and keep it."""
        if self.folder is None:
            return make()
        path = self.folder / f"{self.prefix}-{name}.npy"
        if path.exists():
            try:
                return np.asarray(np.load(path, allow_pickle=False))
            except (ValueError, EOFError, OSError) as error:
                logger.warning("checkpoint %s cannot be read (%s): this part is computed again", path.name, error)
        out = make()
        with whole_file(path) as draft, draft.open("wb") as file:
            np.save(file, out)
        return out


NO_CHECKPOINT = Checkpoint()


def digest_of_rows(rows: Rows) -> str:
    """Hash of a matrix that is read in blocks."""
    found = hashlib.blake2b(digest_size=16)
    for _, block in rows.blocks():
        found.update(_digest((block,)).encode())
    return found.hexdigest()


def _digest(parts: tuple[Any, ...]) -> str:
    found = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, np.ndarray):
            found.update(f"{part.dtype}{part.shape}".encode())
            found.update(np.ascontiguousarray(part).data)
        elif sp.issparse(part):
            found.update(_digest((part.data, part.indices, part.indptr, part.shape)).encode())
        else:
            found.update(repr(part).encode())
    return found.hexdigest()
