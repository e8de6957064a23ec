"""Motif collections: packaged JASPAR releases, and files in MEME, JASPAR or PFM form."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from .._core.checks import fail, listing
from .._core.files import read_text
from .._core.optional import need

logger = logging.getLogger(__name__)

USUAL_SITES = 100.0  # of a matrix of probabilities that does not say how many sites it was made from
NUMBER = re.compile(r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?")
VARIANT = re.compile(r"\(var\.\d+\)$|_(?:HUMAN|MOUSE|RAT)(?:\.\S*)?$")
RELEASE = re.compile(r"JASPAR\d{4}$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Motif:
    """Counts (ACGT x length) of a motif, its name, and the TFs that bind it."""

    name: str
    counts: np.ndarray
    tfs: tuple[str, ...]


def read_motifs(
    source: str | Path | Mapping[str, np.ndarray],
    *,
    tax_group: str = "vertebrates",
    mapping: pd.DataFrame | str | Path | None = None,
) -> list[Motif]:
    """Read a motif collection.

    Parameters
    ----------
    source
        A release such as `"JASPAR2024"` (CORE collection, from the package `pyjaspar`, which holds it: nothing is
        downloaded), the path of a file in MEME, JASPAR or PFM form (plain or .gz), or matrices (ACGT x length; counts or
        probabilities) by name.
    tax_group
        Of a JASPAR release: `"vertebrates"`, `"plants"`, `"insects"`, `"nematodes"`, `"fungi"` or `"urochordates"`.
    mapping
        Table (or file) with the motif in its first column and a TF in its second, where names of motifs are not those of
        TFs. Otherwise a TF is what the name says: both parts of ``FOS::JUN``, without ``(var.2)`` or ``_HUMAN...``.

    Returns
    -------
    Motifs in the order of the source.

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    ImportError
        A release is asked for and `pyjaspar` is not installed.
    ValueError
        There is no such release or taxonomic group, or the file holds no motif.

    Examples
    --------
    >>> import numpy as np
    >>> import grnformer_sc as grs
    >>> motifs = grs.priors.read_motifs({"FOS::JUN": np.eye(4) * 20})
    >>> motifs[0].tfs
    ('FOS', 'JUN')
    """
    if isinstance(source, Mapping):
        found = [(name, *_as_counts(np.asarray(matrix, dtype=np.float64), name)) for name, matrix in source.items()]
        named = [(name, name, counts) for name, counts in found]
    elif isinstance(source, str) and RELEASE.match(source):
        named = _from_jaspar(source.upper(), tax_group)
    else:
        named = _from_file(Path(source))
    if not named:
        raise fail(
            ValueError, "a collection needs at least one motif.", f"none in {source}.",
            "give a MEME, JASPAR or PFM file, not its index or a page of a website.",
        )  # fmt: skip
    table = None if mapping is None else _mapping(mapping)
    return [
        Motif(name, counts, tfs_of_name(alias) if table is None else tuple(table.get(name, ())))
        for name, alias, counts in named
    ]


def tfs_of_name(name: str) -> tuple[str, ...]:
    """TFs that the name of a motif says."""
    return tuple(dict.fromkeys(VARIANT.sub("", part.strip()) for part in name.split("::")))


def _as_counts(matrix: np.ndarray, name: str, n_sites: float = USUAL_SITES) -> tuple[np.ndarray]:
    """Counts from counts or probabilities."""
    if (
        matrix.ndim != 2
        or matrix.shape[0] != 4
        or not matrix.shape[1]
        or not np.isfinite(matrix).all()
        or (matrix < 0).any()
    ):
        raise fail(
            ValueError, "a motif is a matrix of 4 rows (ACGT) of numbers that are not negative.",
            f"{name!r} of shape {matrix.shape}.", "transpose it, or repair the file.",
        )  # fmt: skip
    total = matrix.sum(axis=0)
    if (total <= 0).any():
        raise fail(ValueError, "every column of a motif needs counts.", f"an empty one in {name!r}.", "cut it off.")
    return (matrix / total * n_sites if np.allclose(total, 1, atol=0.02) else matrix,)


def _from_jaspar(release: str, tax_group: str) -> list[tuple[str, str, np.ndarray]]:
    package = need("pyjaspar", extra="motif")
    known = package.jaspardb().get_releases()
    if release not in known:
        raise fail(ValueError, f"the release must be one of {listing(known)}.", f"{release!r}.", "choose one of them.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is no motif, which is an error here
        found = package.jaspardb(release=release).fetch_motifs(collection="CORE", tax_group=[tax_group])
    if not found:
        raise fail(
            ValueError, "the taxonomic group must exist in the release.", f"no motif of {tax_group!r} in {release}.",
            "use vertebrates, plants, insects, nematodes, fungi or urochordates.",
        )  # fmt: skip
    return [(m.matrix_id, m.name, np.array([m.counts[base] for base in "ACGT"], dtype=np.float64)) for m in found]


def _from_file(path: Path) -> list[tuple[str, str, np.ndarray]]:
    if not path.exists():
        raise fail(FileNotFoundError, "the motif file must exist.", f"{path}.", "check the path, or name a release.")
    text = read_text(path)
    return _from_meme(text) if "letter-probability matrix" in text else _from_pfm(text)


def _from_meme(text: str) -> list[tuple[str, str, np.ndarray]]:
    found = []
    for part in re.split(r"^MOTIF\s+", text, flags=re.MULTILINE)[1:]:
        head, _, rest = part.partition("\n")
        names = head.split()
        facts, _, body = rest[rest.index("letter-probability matrix") :].partition("\n")
        sites = re.search(r"nsites=\s*([\d.]+)", facts)
        rows = []
        for line in body.splitlines():
            numbers = line.split()
            if len(numbers) != 4 or not NUMBER.fullmatch(numbers[0]):
                break
            rows.append([float(n) for n in numbers])
        (counts,) = _as_counts(np.array(rows).T.reshape(4, -1), names[0], float(sites[1]) if sites else USUAL_SITES)
        found.append((names[0], names[1] if len(names) > 1 and names[1] != names[0] else names[0], counts))
    return found


def _from_pfm(text: str) -> list[tuple[str, str, np.ndarray]]:
    found = []
    for part in text.split(">")[1:]:
        head, _, body = part.partition("\n")
        names = head.split()
        lines = [re.sub(r"^\s*[ACGTacgt]\b|[\[\]]", " ", line) for line in body.splitlines() if line.strip()]
        rows = [[float(n) for n in NUMBER.findall(line)] for line in lines]
        if len(rows) != 4 or len({len(row) for row in rows}) != 1:
            raise fail(
                ValueError, "a motif has four rows of equal length (A, C, G, T).",
                f"{[len(row) for row in rows]} numbers in {names[0] if names else '?'}.", "repair the file.",
            )  # fmt: skip
        (counts,) = _as_counts(np.array(rows), names[0])
        found.append((names[0], names[1] if len(names) > 1 else names[0], counts))
    return found


def _mapping(mapping: pd.DataFrame | str | Path) -> dict[str, list[str]]:
    table = mapping if isinstance(mapping, pd.DataFrame) else pd.read_csv(mapping, sep=None, engine="python")
    if table.shape[1] < 2:
        raise fail(
            ValueError, "the mapping needs a column of motifs and one of TFs.", f"columns {listing(table.columns)}.",
            "separate them by tabs or commas.",
        )  # fmt: skip
    pairs = table.iloc[:, :2].dropna().astype(str).drop_duplicates()
    return pairs.groupby(pairs.columns[0], sort=False)[pairs.columns[1]].agg(list).to_dict()
