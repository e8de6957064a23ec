"""The file of results: one line per run, appended at once, so that a session that was killed goes on."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from .grid import Run

FILE = Path(__file__).parent / "runs.csv"
KEY = ("data", "split", "setting", "seed")
MEASURES = (
    "deviance", "deviance_labelled", "coregulation", "tf_activity", "type_linear", "type_knn", "batch_mixing",
    "tf_rho", "tf_rho_degree_matched", "tf_rho_expression_matched", "epochs", "cpu_s",
)  # fmt: skip


def append(path: Path, run: Run, values: Mapping[str, float]) -> None:
    """Add the line of a run by one write, which two processes may do at the same time."""
    if unknown := set(values) - set(MEASURES):
        msg = f"{sorted(unknown)} are no columns."
        raise KeyError(msg)
    line = [*run.key, *(f"{values[name]:.6g}" if name in values else "" for name in MEASURES)]
    start(path)
    with path.open("ab", buffering=0) as out:
        out.write(as_text([line]).encode())


def start(path: Path) -> None:
    """Write the head of a new file."""
    try:
        with path.open("xb", buffering=0) as out:
            out.write(as_text([[*KEY, *MEASURES]]).encode())
    except FileExistsError:
        pass


def as_text(lines: Iterable[Iterable[object]]) -> str:
    """Lines of a CSV file."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(lines)
    return out.getvalue()


def mend(path: Path = FILE) -> None:
    """Cut a line off that was not written to its end."""
    if path.exists():
        whole = path.read_bytes()
        path.write_bytes(whole[: whole.rfind(b"\n") + 1])


def read(path: Path = FILE) -> pd.DataFrame:
    """Table of all runs that are done."""
    return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=[*KEY, *MEASURES])


def missing(runs: Iterable[Run], path: Path = FILE) -> list[Run]:
    """Runs that are not in the file, which is mended first; nobody else may write to it now."""
    mend(path)
    done = set(read(path)[list(KEY)].itertuples(index=False, name=None))
    return [run for run in runs if run.key not in done]


def tidy(path: Path = FILE) -> None:
    """Sort the file by data set, setting and seed, as one exchange of files."""
    table = read(path).sort_values(list(KEY), kind="stable")
    draft = path.with_suffix(".part")
    table.to_csv(draft, index=False)
    draft.replace(path)
