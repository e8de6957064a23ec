"""One command per leaderboard: `python -m grnformer_sc.bench perturbation cells.h5ad scores.csv control=ctrl`."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import anndata as ad
import yaml

from .. import bench
from .._core.checks import fail, listing

TASKS = ("perturbation", "drug_response", "drug_sensitivity")
SHOWN = ["method", "kind", "network", "mean", "low", "high", "n", "gain", "gain_low", "gain_high", "collapsed"]
USAGE = """python -m grnformer_sc.bench TASK DATA.h5ad [MORE.h5ad] SCORES.csv [name=value ...]

TASK: {}; name=value: arguments of grs.bench.TASK. SCORES.csv is resumed where it exists.
"""


def main(words: list[str]) -> int:
    """Fill the table and print its leaderboard; 0 when all is well."""
    named = dict(word.split("=", 1) for word in words if "=" in word)
    plain = [word for word in words if "=" not in word]
    if len(plain) < 3 or plain[0] not in TASKS:
        sys.stderr.write(USAGE.format(", ".join(TASKS)))
        return 2
    make = getattr(bench, plain[0])
    files = plain[1:-1]
    told = arguments(make, named, n_files=len(files))
    table = make(*(ad.read_h5ad(path) for path in files), **told)
    board = bench.report(bench.run(table, Path(plain[-1])))
    main_rows = board[board["metric"] == table.headline]
    first = board.iloc[0]
    sys.stdout.write(
        f"{table.name}: {table.headline} by {table.item} (data {table.data}, split {table.split})\n"
        f"{main_rows[SHOWN].to_string(index=False, float_format='{:.4f}'.format)}\n"
        f"best baseline: {first['baseline']}; controls: {first['controls'] or 'none needed'}; {first['interval']}\n"
    )
    return 0


def arguments(make: Any, named: dict[str, str], *, n_files: int) -> dict[str, Any]:
    """Read values as YAML; a name that the table does not take, or one that it lacks, is an error."""
    known = inspect.signature(make).parameters
    unknown = [name for name in named if name not in known]
    if unknown:
        raise fail(ValueError, f"{unknown} are no arguments of {make.__name__}.", f"{listing(known)}.", "use these.")
    asked = [name for name, one in list(known.items())[n_files:] if one.default is one.empty and name not in named]
    if asked:
        raise fail(
            ValueError, f"{make.__name__} needs {listing(asked)}.", f"{n_files} files and {listing(named)}.",
            f"add {asked[0]}=<value>, or the file that is missing.",
        )  # fmt: skip
    return {name: yaml.safe_load(value) for name, value in named.items()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
