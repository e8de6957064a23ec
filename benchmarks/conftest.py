"""The table of a module: rows are printed as they come and written to results/ when the module is done."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from race import PEERS_PYTHON

RESULTS = Path(__file__).parent / "results"
CPU = "2 shared x86-64 cores, 24 GB, no GPU"


def machine() -> str:
    """What the figures were taken on."""
    import torch

    return f"{torch.cuda.get_device_name()}, 16 cores" if torch.cuda.is_available() else CPU


@pytest.fixture(scope="module")
def record(request: pytest.FixtureRequest) -> Iterator[Callable[..., None]]:
    """Call with the figures of a row; equal (what, who) replaces the row of an earlier run."""
    name = request.module.__name__.removeprefix("bench_")
    rows: list[dict[str, Any]] = []

    def add(what: str, who: str, **figures: Any) -> None:
        rounded = {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in figures.items()}
        rows.append({"what": what, "who": who, **rounded})
        print("  ", " | ".join(f"{k} {v}" for k, v in rows[-1].items()), flush=True)

    yield add
    if not rows:
        return
    path = RESULTS / f"{name}.csv"
    stamp = {"date": date.today().isoformat(), "machine": machine(), "python": platform.python_version()}
    new = pd.DataFrame(rows).assign(**stamp)
    if path.exists():
        old = pd.read_csv(path)
        key = pd.MultiIndex.from_frame(new[["what", "who"]])
        new = pd.concat([old[~pd.MultiIndex.from_frame(old[["what", "who"]]).isin(key)], new], ignore_index=True)
    RESULTS.mkdir(exist_ok=True)
    new.sort_values(["what", "who"]).to_csv(path, index=False)


@pytest.fixture(scope="session")
def peers() -> None:
    """Skip without the environment of the peers."""
    if not PEERS_PYTHON:
        pytest.skip("GRS_PEERS_PYTHON does not name the interpreter of rivals/requirements.txt")
