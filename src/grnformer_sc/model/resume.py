"""What lies beside the checkpoints of a run, so that it can go on: the root of its random choices and its recipe."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd

from .._core.checks import fail, listing
from .._core.files import whole_file

LAST, RECIPE = "last.ckpt", "run.json"
FREE = ("max_epochs", "patience", "early_stopping", "recompute", "strategy")  # may differ when a run goes on


def recipe_of(
    root: int, model: dict[str, Any], train: dict[str, Any], cells: pd.Index, genes: pd.Index
) -> dict[str, Any]:
    """Everything that the weights of a run follow from, in plain values."""
    names = hashlib.sha256("\n".join([*cells, "", *genes]).encode()).hexdigest()
    kept = {name: value for name, value in train.items() if name not in FREE}
    return {"root": str(root), "model": model, "train": kept, "data": {"cells and genes": names}}


def write_recipe(folder: Path, recipe: dict[str, Any]) -> Path:
    """Keep the recipe beside the checkpoints."""
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / RECIPE) as draft:
        draft.write_text(json.dumps(recipe, indent=1), encoding="utf-8")
    return folder


def read_recipe(path: Path) -> dict[str, Any]:
    """Recipe of the run whose folder (or checkpoint file) is given."""
    folder = folder_of(path)
    if not (folder / RECIPE).is_file() or (path.is_dir() and not (path / LAST).is_file()):
        raise fail(
            FileNotFoundError, f"resume_from needs {RECIPE} and {LAST} of a cut-off run.", f"none in {folder}.",
            "name the checkpoint_dir of that run.",
        )  # fmt: skip
    found: dict[str, Any] = json.loads((folder / RECIPE).read_text(encoding="utf-8"))
    return found


def root_of(path: Path) -> int:
    """Root of all random choices of a run."""
    return int(read_recipe(path)["root"])


def need_same_recipe(before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise `ValueError` when a run would go on with other settings or data."""
    now = json.loads(json.dumps(now))
    differ = [
        f"{part}.{name}: {before[part].get(name)!r} -> {now[part].get(name)!r}"
        for part in ("model", "train", "data")
        for name in sorted({*before[part], *now[part]})
        if before[part].get(name) != now[part].get(name)
    ]
    if differ:
        raise fail(
            ValueError, "a run goes on with the settings and data it began with.", f"{listing(differ, 5)}.",
            "give the same ones, or start anew without resume_from.",
        )  # fmt: skip


def folder_of(path: Path) -> Path:
    """Folder of a checkpoint file, or the folder itself."""
    return path if path.is_dir() else path.parent
