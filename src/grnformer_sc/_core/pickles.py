"""Dictionaries in pickle files, read by a reader that can build nothing but plain values."""

from __future__ import annotations

import io
import pickle
import re
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from .checks import fail

NUMBERS = re.compile(r"f[248]|[iu][1248]")
PLAIN = re.compile(r"f[248]|[iu][1248]|b1|U[0-9]{1,6}|O8")  # text, and objects that the reader made, besides
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

    __slots__ = ("known",)

    def __init__(self, known: re.Pattern[str]) -> None:
        self.known = known

    def __call__(self, code: Any, *_: Any) -> _Code:
        if not isinstance(code, str) or not self.known.fullmatch(code):
            raise pickle.UnpicklingError(REFUSED + f"values of the type {code!r}")
        return _Code(code)


class _MakeNumber:
    """Stands for numpy's constructor of scalars, and gives a plain value."""

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
    ("numpy", "dtype"): _MakeCode(NUMBERS),
    ("numpy.core.multiarray", "scalar"): _MakeNumber(),
    ("numpy._core.multiarray", "scalar"): _MakeNumber(),
    ("_codecs", "encode"): _Encode(),  # how protocols 0 to 2 write the bytes of a number
}


class _Array(list[Any]):
    """Stands for an array of numpy, and becomes the list of its values."""

    __slots__ = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, fortran, content = state
        if isinstance(content, list):  # values that the reader made one by one
            flat = np.empty(len(content), dtype=object)
            flat[:] = content
        else:
            flat = np.frombuffer(content, dtype=np.dtype(f"{kind.order}{kind.code}"))
        self[:] = flat.reshape(shape, order="F" if fortran else "C").tolist()


class _MakeArray:
    """Stands for numpy's constructor of arrays."""

    __slots__ = ()

    def __call__(self, *_: Any) -> _Array:
        return _Array()


class _MakeDict:
    """Stands for a dictionary that has a default or attributes, and gives a plain one."""

    __slots__ = ()

    def __call__(self, *_: Any) -> dict[Any, Any]:
        return {}


class _DictClass:
    """Stands for a class of dictionaries that is made without a call."""

    def __new__(cls, *_: Any) -> dict[Any, Any]:  # type: ignore[misc]
        return {}


class _MakePath:
    """Stands for a path, and gives its text."""

    __slots__ = ()

    def __call__(self, *parts: str) -> str:
        return str(PurePosixPath(*parts))


def plain_stand_ins() -> list[Any]:
    """What torch's reader of tensors may meet besides: containers and numbers that settings hold, as plain values.

    Pairs of a stand-in and the name that a file calls it by. None of them imports or calls what it stands for.
    """
    multiarray = ("numpy.core.multiarray", "numpy._core.multiarray")
    lightning = ("lightning.fabric", "lightning_fabric", "lightning.pytorch", "pytorch_lightning")
    numbers: list[tuple[Any, str]] = [(_MakeNumber(), f"{at}.scalar") for at in multiarray]
    arrays: list[tuple[Any, str]] = [(_MakeArray(), f"{at}._reconstruct") for at in multiarray]
    paths = [(_MakePath(), f"{at}.{kind}Path") for at in ("pathlib", "pathlib._local") for kind in ("Posix", "Windows")]
    kinds = [(kind, f"builtins.{kind}") for kind in ("list", "dict", "int", "float", "str", "tuple")]  # of defaults
    return [
        (_MakeCode(PLAIN), "numpy.dtype"), ("ndarray", "numpy.ndarray"), *numbers, *arrays, *paths, *kinds,
        (_MakeDict(), "collections.defaultdict"),
        *((_DictClass, f"{at}.utilities.{part}AttributeDict") for at in lightning for part in ("data.", "parsing.")),
        (_Code, "numpy.dtype()"), (_Array, "numpy.ndarray()"),  # what these make is filled by the reader
    ]  # fmt: skip


class _PlainReader(pickle.Unpickler):
    """Unpickler that knows no name but those of numpy's numbers, and has stand-ins for these."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(REFUSED + f"{module}.{name}")
        return ALLOWED[module, name]


def read_plain_pickle(path: Path) -> dict[str, str | int | float]:
    """Read a dictionary of text to text or numbers; whatever else a pickle asks for is refused by name, never run.

    Numbers of numpy come back as plain ones.
    """
    content = path.read_bytes()
    if content.startswith(b"version https://git-lfs"):
        raise fail(
            ValueError, f"{path.name} must be a pickle of a dictionary of text and numbers.",
            "a pointer of Git LFS, which a clone without it leaves in place of the file.",
            "fetch the file itself: git lfs pull, or a download from the page of the repository.",
        )  # fmt: skip
    try:
        found = _PlainReader(io.BytesIO(content)).load()
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
