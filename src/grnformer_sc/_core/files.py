"""Text of files, plain or compressed, and files that are written whole or not at all."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .checks import fail


def read_text(path: Path) -> str:
    """Read a text file, plain or .gz."""
    content = path.read_bytes()
    return (gzip.decompress(content) if path.suffix == ".gz" else content).decode()


def sha256_of(path: Path) -> str:
    """Checksum of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bed_lines(path: Path) -> list[str]:
    """Read the data lines of a BED-like file: blank lines, comments and browser headers are left out."""
    lines = read_text(path).splitlines()
    return [line for line in lines if line.strip() and not line.startswith(("#", "track", "browser"))]


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a draft beside `path` that takes its place when all went well, and is removed otherwise."""
    if not path.parent.is_dir():
        raise fail(
            FileNotFoundError, f"the folder of {path.name!r} must exist.", f"{path.parent}, which does not.",
            "make it first, or check the path.",
        )  # fmt: skip
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
