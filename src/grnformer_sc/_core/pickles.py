"""Dictionaries in pickle files, read by a reader that can build nothing but plain values."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from .checks import fail

NUMBERS = frozenset(f"{kind}{size}" for kind, sizes in {"f": "248", "i": "1248", "u": "1248"}.items() for size in sizes)
BYTE_ORDERS = ("<", ">", "=", "|")
REFUSED = "it asks for "


class _Code:
    """Stands for a numpy dtype: a code such as "f8" and a byte order, never the dtype that a file describes."""

    __slots__ = ("code", "order")

    def __init__(self, code: str) -> None:
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in BYTE_ORDERS:
            raise pickle.UnpicklingError(REFUSED + f"the byte order {state[1]!r}")
        self.order = state[1]


class _MakeCode:
    """Stands for `numpy.dtype`."""

    __slots__ = ()

    def __call__(self, code: Any, *_: Any) -> _Code:
        if code not in NUMBERS:
            raise pickle.UnpicklingError(REFUSED + f"values of the type {code!r}")
        return _Code(code)


class _MakeNumber:
    """Stands for numpy's constructor of scalars, and gives a plain int or float."""

    __slots__ = ()

    def __call__(self, code: _Code, content: bytes) -> int | float:
        dtype = np.dtype(f"{code.order}{code.code}")
        value: int | float = np.frombuffer(content, dtype=dtype, count=1)[0].item()
        return value


class _Encode:
    """Stands for `_codecs.encode` as pickles use it for bytes."""

    __slots__ = ()

    def __call__(self, text: str, encoding: str = "latin1") -> bytes:
        if encoding != "latin1":
            raise pickle.UnpicklingError(REFUSED + f"the encoding {encoding!r}")
        return text.encode("latin1")


ALLOWED = {
    ("numpy", "dtype"): _MakeCode,
    ("numpy.core.multiarray", "scalar"): _MakeNumber,
    ("numpy._core.multiarray", "scalar"): _MakeNumber,
    ("_codecs", "encode"): _Encode,  # how protocols 0 to 2 write the bytes of a number
}


class _PlainReader(pickle.Unpickler):
    """Unpickler that knows no name but those of numpy's numbers, and has stand-ins for these."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(REFUSED + f"{module}.{name}")
        return ALLOWED[module, name]()


def read_plain_pickle(path: Path) -> dict[str, str | int | float]:
    """Read a dictionary of text to text or numbers; whatever else a pickle asks for is refused by name, never run.

    Numbers of numpy come back as plain ones.
    """
    try:
        found = _PlainReader(io.BytesIO(path.read_bytes())).load()
    except Exception as error:
        raise fail(
            ValueError, f"{path.name} must be a pickle of a dictionary of text and numbers.",
            f"{' '.join(str(error).split()).rstrip('.') or type(error).__name__}.",
            "give the file as it was published; one that asks for more is refused, as that could run code.",
        ) from error  # fmt: skip
    return need_plain(found, path)


def need_plain(found: Any, path: Path) -> dict[str, str | int | float]:
    """Check that what was read is a dictionary of text to text or numbers, and name the first entry that is not."""
    wrong = "" if isinstance(found, dict) else f"{type(found).__name__}"
    if not wrong:
        other = ((k, v) for k, v in found.items() if type(k) is not str or type(v) not in (str, int, float))
        wrong = next((f"{k!r}: {type(v).__name__}" for k, v in other), "")
    if wrong:
        raise fail(
            ValueError, f"{path.name} must hold a dictionary of text to text or numbers.", f"{wrong}.",
            "give the file as it was published.",
        )  # fmt: skip
    plain: dict[str, str | int | float] = found
    return plain
