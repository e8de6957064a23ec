"""`get.methods`: the catalogue of methods."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import pandas as pd

from .._core.checks import need_one_of

PROVIDED = ("native", "files", "not yet")
COLUMNS = (
    "name", "year", "task", "model_class", "inputs", "published", "kind", "doi", "preprint", "code", "licence",
    "method", "provided", "how", "here", "proof", "page", "description",
)  # fmt: skip


def methods(*, task: str | None = None, provided: str | None = None) -> pd.DataFrame:
    """List the methods that are here or are compared with: what each needs, how it is provided, and what proves it.

    The documentation shows the same table, with a search.

    Parameters
    ----------
    task
        Only methods whose publication is for this task: `"GRN inference"`, `"unseen perturbation"`, `"combinatorial
        effect"`, `"causal structure"`, `"gene programmes"`, `"context transfer"`, `"perturbation responsiveness"` or
        `"disentanglement"`.
    provided
        Only methods that are provided in this way: `"native"` (own code), `"files"` (its files are read) or `"not yet"`.

    Returns
    -------
    Table with a row per method, newest first. All columns but `year` hold text; several values are separated by `"; "`, and
    what there is not is `""`.

    - `name`, `year`, `task`, `model_class`, `inputs`, `description`
    - `published`, `kind` (journal, conference or preprint), `doi`, `preprint` (DOI of an earlier version)
    - `code` and `licence` of the original
    - `method`: what `grs.tl.build_grn(method=...)` calls it
    - `provided`, `how` (the calls), `here` (how much of it), `proof` (tests and benchmarks in the repository), `page` (of
      the explanations)

    Raises
    ------
    ValueError
        There is no such task, or no such way.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> grs.get.methods(task="gene programmes")["name"].tolist()
    ['GenePT', 'scGPT', 'SCENIC+']
    """
    catalogue = _catalogue()
    if task is not None:
        need_one_of(task, catalogue["tasks"], name="task")
    if provided is not None:
        need_one_of(provided, PROVIDED, name="provided")
    rows = [
        {column: _text(row.get(column, "")) for column in COLUMNS}
        for row in catalogue["methods"]
        if task in (None, *row["task"]) and provided in (None, row["provided"])
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"year": int})


@cache
def _catalogue() -> dict[str, list[Any]]:
    """Rows and names of tasks as they stand in the file."""
    import yaml

    found: dict[str, list[Any]] = yaml.safe_load(
        files(__package__).joinpath("methods.yaml").read_text(encoding="utf-8")
    )
    return found


def _text(value: Any) -> Any:
    """Lists joined; text and numbers as they are."""
    return "; ".join(value) if isinstance(value, list) else value
