"""Package settings: attributes, environment variables ``GRS_*``, and a context to change them for a while."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from .checks import fail

UNITS = {"KB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}


def _default_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "grnformer_sc"


class Settings(BaseSettings):
    """Settings of the package, validated on assignment.

    Each can be given as an environment variable: ``GRS_N_JOBS``, ``GRS_MAX_MEMORY``, ``GRS_PROGRESS``,
    ``GRS_DATA_DIR``, ``GRS_CACHE_DIR``, ``GRS_CHUNK_CELLS``.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> with grs.settings.override(n_jobs=1, progress=False):
    ...     grs.settings.n_jobs
    1
    """

    model_config = SettingsConfigDict(env_prefix="GRS_", validate_assignment=True, extra="forbid")

    n_jobs: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    """Threads of our own steps when `n_jobs=None` is passed."""
    max_memory: str = ""
    """Upper limit of what `build_grn` may need beside the data, such as "4GB"; empty means no limit."""
    progress: bool = True
    """Show progress bars."""
    data_dir: Path | None = None
    """Folder that is searched for registered files before anything is downloaded."""
    cache_dir: Path = Field(default_factory=_default_cache)
    """Where downloaded files are kept."""
    chunk_cells: int = Field(default=1024, ge=1)
    """Cells per chunk of steps that stream over cells."""

    @field_validator("max_memory")
    @classmethod
    def _parse_memory(cls, value: str) -> str:
        if value and (value[-2:].upper() not in UNITS or not value[:-2].strip().replace(".", "", 1).isdigit()):
            raise fail(ValueError, "max_memory is a number with a unit.", f"{value!r}.", "write it like '4GB'.")
        return value

    @property
    def max_bytes(self) -> float:
        """`max_memory` in bytes; infinity when there is no limit."""
        if not self.max_memory:
            return float("inf")
        return float(self.max_memory[:-2]) * UNITS[self.max_memory[-2:].upper()]

    @contextmanager
    def override(self, **changes: Any) -> Iterator[Settings]:
        """Change settings inside a ``with`` block and restore them afterwards."""
        before = {name: getattr(self, name) for name in changes}
        try:
            for name, value in changes.items():
                setattr(self, name, value)
            yield self
        finally:
            for name, value in before.items():
                setattr(self, name, value)


settings = Settings()


def resolve_jobs(n_jobs: int | None) -> int:
    """Number of threads of one call: `None` means `settings.n_jobs`, -1 all cores."""
    if n_jobs is None:
        return settings.n_jobs
    if n_jobs == -1:
        return os.cpu_count() or 1
    if n_jobs < 1:
        raise fail(ValueError, "n_jobs is a positive number, -1 (all cores) or None.", f"{n_jobs}.", "give n_jobs=2.")
    return n_jobs
