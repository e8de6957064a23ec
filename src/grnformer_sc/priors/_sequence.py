"""Genome sequence, one chromosome in memory at a time: FASTA (plain or .gz), .2bit, or a mapping."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from jaxtyping import UInt8

from .._core.checks import fail

OTHER = 4  # code of a letter that is none of ACGT
CODES = np.full(256, OTHER, dtype=np.uint8)
for _code, _letters in enumerate((b"Aa", b"Cc", b"Gg", b"TtUu")):
    CODES[list(_letters)] = _code
TWO_BIT = 0x1A412743
FROM_TWO_BIT = np.array([3, 1, 0, 2], dtype=np.uint8)  # its order is TCAG


def chromosomes(
    genome: str | Path | Mapping[str, Any], wanted: Collection[str], seen: list[str]
) -> Iterator[tuple[str, UInt8[np.ndarray, " letters"]]]:
    """Give the wanted chromosomes as codes (0 to 3 for ACGT in either case, 4 for any other letter), one by one.

    The names of all chromosomes are put into `seen` as they come by.
    """
    if isinstance(genome, Mapping):
        seen.extend(str(name) for name in genome)
        for name in genome:
            if str(name) in wanted:
                text = genome[name]
                raw = text.encode() if isinstance(text, str) else bytes(text)
                yield str(name), CODES[np.frombuffer(raw, dtype=np.uint8)]
        return
    path = Path(genome)
    if not path.exists():
        raise fail(FileNotFoundError, "the genome file must exist.", f"{path}.", "check the path.")
    with cast("IO[bytes]", gzip.open(path)) if path.suffix == ".gz" else path.open("rb") as file:
        magic = file.read(4)
        file.seek(0)
        if len(magic) == 4 and TWO_BIT in struct.unpack("<I", magic) + struct.unpack(">I", magic):
            yield from _two_bit(file, wanted, seen)
        elif magic[:1] in (b">", b";"):
            yield from _fasta(file, wanted, seen)
        else:
            raise fail(
                ValueError, "the genome is a FASTA or .2bit file.", f"{path.name}, which begins with {magic!r}.",
                "give the sequence file itself, not its index.",
            )  # fmt: skip


def _fasta(file: IO[bytes], wanted: Collection[str], seen: list[str]) -> Iterator[tuple[str, np.ndarray]]:
    name = ""
    lines: list[bytes] = []
    for line in file:
        if line.startswith(b">"):
            if name in wanted and lines:
                yield name, CODES[np.frombuffer(b"".join(lines), dtype=np.uint8)]
            name, lines = (line[1:].split() or [b""])[0].decode(), []
            seen.append(name)
        elif name in wanted:
            lines.append(line.strip())
    if name in wanted and lines:
        yield name, CODES[np.frombuffer(b"".join(lines), dtype=np.uint8)]


def _two_bit(file: IO[bytes], wanted: Collection[str], seen: list[str]) -> Iterator[tuple[str, np.ndarray]]:
    order = "<" if struct.unpack("<I", file.read(4))[0] == TWO_BIT else ">"

    def numbers(n: int) -> tuple[int, ...]:
        return struct.unpack(f"{order}{n}I", file.read(4 * n))

    _, n_sequences, _ = numbers(3)
    places = {}
    for _ in range(n_sequences):
        name = file.read(file.read(1)[0]).decode()
        places[name] = numbers(1)[0]
    seen.extend(places)
    for name, place in places.items():
        if name not in wanted:
            continue
        file.seek(place)
        size, n_blocks = numbers(2)
        starts, lengths = numbers(n_blocks), numbers(n_blocks)
        (n_masks,) = numbers(1)
        file.seek(8 * n_masks + 4, 1)
        packed = np.frombuffer(file.read((size + 3) // 4), dtype=np.uint8)
        two = (packed[:, None] >> np.array([6, 4, 2, 0], dtype=np.uint8)) & 3
        codes = FROM_TWO_BIT[two.ravel()[:size]]
        for start, length in zip(starts, lengths, strict=True):
            codes[start : start + length] = OTHER
        yield name, codes
