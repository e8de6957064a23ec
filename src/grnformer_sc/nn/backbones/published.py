"""Published checkpoint files: read without unpickling anything, compared key by key."""

from __future__ import annotations

import logging
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import pandas as pd
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.torch_version import TorchVersion

from ..._core.checks import fail, listing
from ..._core.pickles import plain_stand_ins

logger = logging.getLogger(__name__)

SHOWN = 5  # keys named in an error
REPORT = ["key", "parameter", "in_file", "wanted", "status"]
M_co = TypeVar("M_co", bound=nn.Module, covariant=True)


@dataclass(frozen=True, slots=True)
class Published(Generic[M_co]):
    """A model with published weights.

    Attributes
    ----------
    name
        Registered name of the backbone.
    backbone
        The model, in evaluation mode, over its whole vocabulary.
    vocabulary
        Name of every row of its gene table that stands for a gene or a token of its file.
    report
        One row per key: `key` (in the file), `parameter` (in the model), `in_file`, `wanted` (shapes), `status` (loaded,
        unused, missing, unexpected, shape).
    other_names
        Names of the vocabulary by other names of its genes, where the files tell them.
    """

    name: str
    backbone: M_co
    vocabulary: pd.Index
    report: pd.DataFrame
    other_names: Mapping[str, str] = field(default_factory=dict)


def read_tensors(path: Path) -> Any:
    """Read a torch or safetensors file of tensors and plain values; anything else in it is refused, never run.

    Numbers and arrays of numpy, paths and dictionaries of other classes come back as plain numbers, lists, text and
    dictionaries.
    """
    if not path.is_file():
        raise fail(FileNotFoundError, "the checkpoint file must exist.", f"{path}.", "check the path.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():  # a newer pickle protocol is read too; what cannot be read is an error
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            return _torch_file(path)
    except Exception as error:  # what a broken file makes a reader stumble over has no end
        raise fail(
            ValueError, f"{path.name} must be a whole torch file that holds tensors and plain values only.",
            f"{_reason(error)}.",
            "download it again (a cut-off file cannot be read); one that asks for more is refused, as that could run code: "
            "save its tensors and plain settings anew (torch.save) where it was made.",
        ) from error  # fmt: skip


@contextmanager
def _only_plain() -> Iterator[None]:
    """Let nothing but plain values be built, whatever other packages have allowed torch to build."""
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(plain_stand_ins())
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def _torch_file(path: Path) -> Any:
    """Content of a torch file; stand-ins for what settings hold are named where torch alone does not do."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        if TorchVersion(torch.__version__) < TorchVersion("2.7"):  # which knows no names of stand-ins
            raise
        with _only_plain():
            return torch.load(path, map_location="cpu", weights_only=True)


def _reason(error: Exception) -> str:
    """What was wrong with a file: the name that it asks for, or the first line of the error."""
    asked = re.search(r"GLOBAL (\S+)", str(error))
    if asked:
        return f"it asks for {asked[1]}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    own = [
        line.removeprefix("WeightsUnpickler error: ") for line in lines if line.startswith("WeightsUnpickler error: ")
    ]
    return next(iter(own + lines), type(error).__name__)[:300].rstrip(".")


def names_hold(path: Path, *words: str) -> bool:
    """Whether the names of the tensors of a torch or safetensors file hold one of some words; nothing is unpickled."""
    try:
        if path.suffix == ".safetensors":
            with path.open("rb") as file:
                names = file.read(int.from_bytes(file.read(8), "little") & (2**27 - 1))
        else:
            with zipfile.ZipFile(path) as archive:
                names = archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))
    except (OSError, zipfile.BadZipFile, StopIteration):
        return False
    return any(word.encode() in names for word in words)


def need_state(state: Any, path: Path) -> dict[str, Tensor]:
    """Check that a state dict maps names to tensors."""
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        kinds = (
            sorted({type(v).__name__ for v in state.values()}) if isinstance(state, Mapping) else type(state).__name__
        )
        raise fail(
            ValueError, f"{path.name} must hold a state dict (name -> tensor).", f"{kinds}.",
            "give the file as it was published.",
        )  # fmt: skip
    return {str(key): value for key, value in state.items()}


def renamed(key: str, rules: Sequence[tuple[str, str]]) -> str:
    """Apply rules (pattern, replacement) in turn."""
    for pattern, new in rules:
        key = re.sub(pattern, new, key)
    return key


def fill(
    module: nn.Module,
    state: Mapping[str, Tensor],
    *,
    source: Path,
    rules: Sequence[tuple[str, str]] = (),
    unused: Sequence[str] = (),
    strict: bool = True,
) -> pd.DataFrame:
    """Load a state dict into a module and report every key; what does not fit is an error unless `strict` is False.

    Keys that start with one of `unused` belong to parts of the published program that do not enter its output.
    """
    wanted = module.state_dict()
    found = {renamed(key, rules): key for key in state}
    rows = []
    for name, key in found.items():
        if name in wanted:
            status = "loaded" if state[key].shape == wanted[name].shape else "shape"
        else:
            status = "unused" if name.startswith(tuple(unused)) else "unexpected"
        rows.append((key, name if name in wanted else "", _shape(state[key]), _shape(wanted.get(name)), status))
    rows += [("", name, "", _shape(value), "missing") for name, value in wanted.items() if name not in found]
    report = pd.DataFrame(rows, columns=REPORT)
    _judge(report, source, strict=strict)
    good = report[report["status"] == "loaded"]
    module.load_state_dict({p: state[k] for k, p in zip(good["key"], good["parameter"], strict=True)}, strict=False)
    return report.set_index(report.index.astype(str))


def no_report() -> pd.DataFrame:
    """Report of a model that was read from no file."""
    return pd.DataFrame(columns=REPORT)


def _shape(value: Tensor | None) -> str:
    return "" if value is None else " x ".join(map(str, value.shape)) or "scalar"


def _judge(report: pd.DataFrame, source: Path, *, strict: bool) -> None:
    bad = {status: report[report["status"] == status] for status in ("missing", "unexpected", "shape")}
    counts = report["status"].value_counts()
    summary = ", ".join(f"{counts[status]} {status}" for status in counts.index)
    if all(part.empty for part in bad.values()):
        logger.info("%s: %s", source.name, summary)
        return
    shapes = [f"{r.key} {r.in_file}, not {r.wanted}" for r in bad["shape"].itertuples()]
    parts = {
        "missing": list(bad["missing"]["parameter"]),
        "unexpected": list(bad["unexpected"]["key"]),
        "shape": shapes,
    }
    named = "; ".join(f"{len(keys)} {status} {listing(keys, SHOWN)}" for status, keys in parts.items() if keys)
    if strict:
        raise fail(
            ValueError, f"the keys of {source.name} must be those of the model.", f"{named}.",
            "give the checkpoint of this architecture, or pass strict=False to load what fits.",
        )  # fmt: skip
    logger.warning("%s: %s; %s", source.name, summary, named)


def need_no_options(name: str, options: Mapping[str, Any], known: Sequence[str] = ()) -> None:
    """Raise `TypeError` for options that a reader does not know."""
    if options:
        raise fail(
            TypeError, f"a checkpoint of {name} is read with the options {listing(known)}.", f"{listing(options)}.",
            "leave the others out.",
        )  # fmt: skip
