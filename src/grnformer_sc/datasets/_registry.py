"""Registered files: what is known of them, where they may lie, and getting them with their checksum verified."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import pandas as pd

from .._core.checks import fail, listing
from .._core.files import sha256_of
from .._core.settings import settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One registered file.

    Attributes
    ----------
    name
        Name in the registry: data set and file name.
    file, folder
        Upstream file name, and the folder of `settings.data_dir` that holds it.
    url, sha256, size
        Pinned address, checksum, bytes.
    licence, citation
        Licence of the repository; papers to cite.
    """

    name: str
    file: str
    folder: str
    url: str
    sha256: str
    size: int
    licence: str
    citation: str


@cache
def remote_files() -> dict[str, RemoteFile]:
    """Read `registry.yaml`: all registered files by name."""
    import yaml

    text = files("grnformer_sc.datasets").joinpath("registry.yaml").read_text(encoding="utf-8")
    out = {}
    for dataset, entry in yaml.safe_load(text).items():
        for file, facts in entry["files"].items():
            name = f"{dataset}/{file}"
            out[name] = RemoteFile(
                name, file, entry["folder"], f"{entry['base']}/{file}", facts["sha256"], facts["size"],
                entry["licence"], entry["citation"],
            )  # fmt: skip
    return out


def registry() -> pd.DataFrame:
    """List the registered files.

    Returns
    -------
    Table indexed by `name`: `file`, `folder`, `url`, `sha256`, `size` (bytes), `licence`, `citation`.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> grs.datasets.registry().loc["gene_positions/mm10_genes.bed", "licence"]
    'BSD-3-Clause'
    """
    return pd.DataFrame([asdict(entry) for entry in remote_files().values()]).set_index("name")


def fetch(name: str, *, download: bool = True) -> Path:
    """Find a registered file, or download it, with its sha256 verified.

    Looked at in this order: `settings.data_dir` (below `<folder>/raw/`, `<folder>/`, itself, then anywhere in it),
    `settings.cache_dir`, the pinned URL. A download is complete and verified before it appears in the cache.

    Parameters
    ----------
    name
        Name in `registry`, such as ``"gene_positions/mm10_genes.bed"``.
    download
        Use the network where the file is nowhere else.

    Returns
    -------
    Path of the verified file.

    Raises
    ------
    KeyError
        No file is registered under this name.
    FileNotFoundError
        The file is nowhere, and cannot be downloaded.
    ValueError
        A file of this name has another checksum.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> grs.datasets.fetch("snare_cortex/genes.txt")  # doctest: +SKIP
    PosixPath('.../snare_mouse_cortex/raw/genes.txt')
    """
    entries = remote_files()
    if name not in entries:
        raise fail(KeyError, f"no file {name!r} is registered.", f"{listing(entries)}.", "see grs.datasets.registry().")
    entry = entries[name]
    cached = _cached(entry)
    for path in (*_local(entry), *([cached] if cached.exists() else [])):
        if sha256_of(path) == entry.sha256:
            return path
        if path.parent == cached.parent or entry.folder in path.parts:
            raise fail(
                ValueError, f"{entry.file} must have the sha256 {entry.sha256}.",
                f"{path} is corrupt or another version.", f"remove it, then {_three_ways(entry)}",
            )  # fmt: skip
    if not download:
        raise _missing(entry, "the network may not be used (download=False)")
    return _download(entry, cached)


def _cached(entry: RemoteFile) -> Path:
    return Path(settings.cache_dir) / entry.folder / entry.file


def _local(entry: RemoteFile) -> Iterator[Path]:
    """Files of the upstream name in `settings.data_dir`, the most likely places first."""
    base = settings.data_dir
    if base is None:
        return
    likely = [base / entry.folder / "raw" / entry.file, base / entry.folder / entry.file, base / entry.file]
    yield from (path for path in likely if path.is_file())
    if base.is_dir():
        yield from (path for path in sorted(base.rglob(entry.file)) if path not in likely and path.is_file())


def _download(entry: RemoteFile, target: Path) -> Path:
    import pooch

    logger.info("downloading %s (%.1f MB) from %s", entry.file, entry.size / 1e6, entry.url)
    try:
        got = pooch.retrieve(
            entry.url, known_hash=f"sha256:{entry.sha256}", fname=target.name, path=target.parent,
            progressbar=settings.progress,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        raise _missing(entry, f"the download failed ({error})") from error
    return Path(got)


def _missing(entry: RemoteFile, reason: str) -> Exception:
    where = settings.data_dir if settings.data_dir is not None else "not set"
    found = f"not in GRS_DATA_DIR ({where}), not in the cache, and {reason}."
    return fail(FileNotFoundError, f"{entry.file} is needed.", found, _three_ways(entry))


def _three_ways(entry: RemoteFile) -> str:
    return (
        f"(1) set GRS_DATA_DIR (or grs.settings.data_dir) to a folder with {entry.folder}/raw/{entry.file}; "
        f"(2) put the file at {_cached(entry)}; (3) allow the download of {entry.url}"
    )
