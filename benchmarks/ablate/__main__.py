"""Run what is missing of the grid by two processes of one thread.

python -m ablate                          all
python -m ablate --only grn simulated     some data sets, factors or settings
python -m ablate --seeds 100 101 --out /tmp/runs.csv   seeds to develop on, kept apart from the reported ones
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .grid import SEEDS, runs
from .store import FILE, missing, tidy
from .work import work


def main() -> None:
    """Read the command line and work."""
    words = argparse.ArgumentParser(prog="nox -s ablate --", description=__doc__)
    words.add_argument("--only", nargs="+", default=[], metavar="NAME", help="data sets, factors or settings")
    words.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    words.add_argument("--workers", type=int, default=2)
    words.add_argument("--out", type=Path, default=FILE)
    asked = words.parse_args()
    wanted = list(runs(tuple(asked.seeds), tuple(asked.only)))
    left = missing(wanted, asked.out)
    print(f"{len(wanted) - len(left)} of {len(wanted)} runs are done in {asked.out}", flush=True)
    work(left, asked.out, asked.workers)
    tidy(asked.out)


if __name__ == "__main__":
    main()
