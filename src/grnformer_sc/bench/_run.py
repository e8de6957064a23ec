"""Fill a leaderboard: every run is kept in a file when it ends and is not made again."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm

from .._core.checks import fail, listing
from .._core.files import whole_file
from .._core.logging import step
from .._core.params import versions
from .._core.settings import settings
from ._table import Run, Table

logger = logging.getLogger(__name__)

WHOSE = ["table", "headline", "unit", "data", "split", "version"]  # equal in all rows of a file
WHICH = ["method", "kind", "network", "seed"]
MEASURED = ["item", "metric", "value"]
COLUMNS = [*WHOSE, *WHICH, *MEASURED]


def run(table: Table, file: str | Path | None = None) -> pd.DataFrame:
    """Make all runs of a leaderboard that are not in the file yet.

    Parameters
    ----------
    table
        The leaderboard, from `grs.bench.perturbation` and its like.
    file
        CSV file that is written anew, whole or not at all, after every run. A table that was cut off goes on where it
        was. `None` keeps everything in memory.

    Returns
    -------
    Scores, one row per run, item and metric: `table`, `headline`, `unit` (what an item is), `data`, `split` (hashes),
    `version` (of this package), `method`, `kind`, `network`, `seed`, `item`, `metric`, `value`.

    Raises
    ------
    ValueError
        The file holds another task, other data, another split or the figures of another version, or it is no such file;
        or a run gives no figure for the headline.

    See Also
    --------
    report : the leaderboard of these scores.

    Examples
    --------
    >>> import pandas as pd
    >>> import grnformer_sc as grs
    >>> def measure(run):
    ...     return pd.DataFrame({"item": ["A", "B"], "metric": "r", "value": [0.5, 0.7]})
    >>> table = grs.bench.Table("toy", "d0", "s0", "r", "gene", (grs.bench.Run("mean", "baseline"),), measure)
    >>> grs.bench.run(table)["value"].tolist()
    [0.5, 0.7]
    """
    path = None if file is None else Path(file)
    scores = pd.DataFrame(columns=COLUMNS) if path is None or not path.exists() else read(path)
    _need_same(scores, table, path)
    done = set(scores[WHICH].itertuples(index=False, name=None))
    left = [one for one in table.runs if _which(one) not in done]
    with step(logger, f"bench {table.name}") as facts:
        for one in tqdm(left, desc=f"bench {table.name}", disable=not settings.progress, leave=False):
            rows = _measured(table, one)
            scores = rows if scores.empty else pd.concat([scores, rows], ignore_index=True)
            if path is not None:
                with whole_file(path) as draft:
                    scores.to_csv(draft, index=False)
        facts.append(f"{len(left)} runs made, {len(table.runs) - len(left)} known")
    wanted = {_which(one): place for place, one in enumerate(table.runs)}
    rank = pd.Series(list(scores[WHICH].itertuples(index=False, name=None)), dtype=object).map(wanted)
    order = rank.dropna().sort_values(kind="stable").index
    return scores.loc[order].reset_index(drop=True)


def read(path: Path) -> pd.DataFrame:
    """Scores from a file; empty text stays text."""
    text = {name: str for name in COLUMNS if name not in ("seed", "value")}
    found = pd.read_csv(path, dtype=text, keep_default_na=False, na_values={"value": [""]})
    if list(found.columns) != COLUMNS:
        raise fail(
            ValueError, f"{path.name!r} must hold scores of grs.bench.run, with the columns {COLUMNS}.",
            f"{listing(found.columns)}.", "name another file.",
        )  # fmt: skip
    return found


def _measured(table: Table, one: Run) -> pd.DataFrame:
    """Rows of one run."""
    found = table.measure(one)
    missing = [name for name in MEASURED if name not in found]
    if missing or not (found["metric"] == table.headline).any():
        raise fail(
            ValueError, f"measure must give {MEASURED}, among them the headline {table.headline!r}.",
            f"{listing(found.columns)} with {listing(found.get('metric', pd.Series(dtype=str)).unique())}.",
            "return one row per item and metric.",
        )  # fmt: skip
    which = dict(zip(WHICH, _which(one), strict=True))
    values = found[MEASURED].astype({"item": str, "metric": str, "value": float})
    return values.assign(**_whose(table), **which)[COLUMNS].reset_index(drop=True)


def _which(one: Run) -> tuple[str, str, str, int]:
    return one.method, one.kind, one.network, one.seed


def _whose(table: Table) -> dict[str, str]:
    version = versions().get("grnformer-sc", "")
    return dict(zip(WHOSE, (table.name, table.headline, table.item, table.data, table.split, version), strict=True))


def _need_same(scores: pd.DataFrame, table: Table, path: Path | None) -> None:
    """Raise `ValueError` when a file is about something else."""
    for name, value in _whose(table).items():
        others = sorted(set(scores[name]) - {value})
        if others:
            raise fail(
                ValueError, f"{path} must hold the same {name} as this table, {value!r}.", f"{listing(others)}.",
                "name another file, or remove this one to make all runs again.",
            )  # fmt: skip
