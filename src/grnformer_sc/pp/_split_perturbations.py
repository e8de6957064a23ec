"""`pp.split_perturbations`: which perturbations are held out."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from .._core.checks import fail, listing, need_between, need_one_of
from .._core.conditions import Conditions
from .._core.keys import SPLIT
from .._core.logging import step
from .._core.params import recipe
from .._core.results import Results
from .._core.rng import RngLike, as_root
from ..grn.perturbation.splits import (
    PAIR,
    STRATEGIES,
    Strategy,
    is_by_context,
    need_no_leak,
    split_conditions,
    with_kind,
)

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

MOST_SHOWN = 6  # parts whose sizes are logged
GIVEN = "given"


def split_perturbations(
    adata: AnnData,
    *,
    strategy: Strategy = "unseen_single",
    fractions: tuple[float, float] = (0.75, 0.1),
    n_folds: int = 5,
    split: str | Path | Mapping[str, Any] | pd.DataFrame | None = None,
    rng: RngLike = 0,
    key_added: str = SPLIT,
    copy: bool = False,
) -> AnnData | None:
    """Decide which perturbations are held out, and store it as data that can be shared.

    All cells of a condition (perturbation and context) stay together, and no part is empty. The same names give the same
    split, in whatever order they come.

    Parameters
    ----------
    adata
        Cells after `pp.perturbation_setup`.
    strategy
        `"unseen_single"`: genes are held out, and every combination with one of them (the `simulation` split of GEARS,
        Roohani et al. 2024). `"combo"`: combinations are held out, all single genes are trained on. `"covariate"`: pairs
        of perturbation and context are held out, of which each is in training with another. `"folds"`: `n_folds` parts,
        each predicted from all others. `"leave_one_out"`: one perturbation per fold.
    fractions
        Shares of training and validation; the rest is the test. A validation share of 0 leaves that part out.
    n_folds
        Folds of `"folds"`.
    split
        A stored split instead of a strategy: the JSON file of `get.write_split`, its content, or a table `perturbation`,
        `split` (and `context` where a perturbation is in several parts).
    rng
        Seed or generator.
    key_added
        Column of obs and key of uns.
    copy
        Return a copy of `adata` instead of writing to it.

    Returns
    -------
    `None`, or the copy. Sets:

    `obs["split"]` : categorical
        `control`, and `train`, `val`, `test`, or `fold 0`, `fold 1`, ... of the cell.
    `uns["split"]`
        `table` (`perturbation`, `context`, `split`, `kind`: how many of its genes stand in training), `strategy`,
        `by_context` and `params`.

    Raises
    ------
    KeyError
        `pp.perturbation_setup` has not been run, or a given split lacks a column.
    ValueError
        A part would be empty, a condition is in two parts, a condition has no part in a given split, or it names none that
        is here.

    See Also
    --------
    grnformer_sc.get.split : the table.
    grnformer_sc.get.write_split : write it as JSON.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> cells = grs.datasets.simulate_perturbations(20, n_genes=60, n_tfs=8, rng=0)
    >>> grs.pp.perturbation_setup(cells)
    >>> grs.pp.split_perturbations(cells, strategy="unseen_single")
    >>> grs.get.split(cells)["split"].value_counts().sort_index().to_dict()
    {'test': 1, 'train': 6, 'val': 1}
    """
    need_one_of(strategy, STRATEGIES, name="strategy")
    for share in fractions:
        need_between(share, 0, 1, name="fractions")
    need_between(sum(fractions), 0, 1, name="sum of fractions")
    need_between(n_folds, 2, 10_000, name="n_folds")
    if copy:
        adata = adata.copy()
    found = Conditions.read(adata)
    wanted = found.table[~found.table["control"]]
    root = as_root(rng)
    with step(logger, "split_perturbations") as facts:
        if split is None:
            table = split_conditions(wanted, strategy, fractions=fractions, n_folds=n_folds, root=root)
            by_context = strategy == "covariate"
        else:
            table = _given(split, wanted)
            by_context = is_by_context(table)
        need_no_leak(table, by_context=by_context)
        sizes = table["split"].value_counts().sort_index()
        facts.append(_sizes_text(sizes))
    table.index = table.index.astype(str)
    of_row = found.table.merge(table, on=PAIR, how="left")["split"].fillna(found.control).to_numpy()
    params = {
        "strategy": strategy if split is None else GIVEN, "fractions": fractions, "n_folds": n_folds,
        "rng_root": f"{root:032x}",
    }  # fmt: skip
    out = Results()
    out.obs[key_added] = pd.Categorical(of_row[found.code])
    out.uns[key_added] = {
        "table": table, "strategy": params["strategy"], "by_context": by_context,
        "params": recipe("split_perturbations", params, inputs={}, dropped={}),
    }  # fmt: skip
    out.write(adata)
    return adata if copy else None


def _sizes_text(sizes: pd.Series) -> str:
    if len(sizes) > MOST_SHOWN:
        return f"{int(sizes.sum())} conditions in {len(sizes)} folds of {sizes.min()} to {sizes.max()}"
    return ", ".join(f"{n} conditions in {name}" for name, n in sizes.items())


def _given(split: str | Path | Mapping[str, Any] | pd.DataFrame, wanted: pd.DataFrame) -> pd.DataFrame:
    """A stored split, for the conditions that are here."""
    if isinstance(split, (str, Path)):
        split = json.loads(Path(split).read_text(encoding="utf-8"))
    if isinstance(split, Mapping):
        split = pd.DataFrame(split.get("conditions", split))
    missing = [name for name in ("perturbation", "split") if name not in split]
    if missing:
        raise fail(
            KeyError, "a split needs the columns 'perturbation' and 'split'.", f"{listing(split.columns)}.",
            "give a table of get.split or a file of get.write_split.",
        )  # fmt: skip
    table = split.astype({"perturbation": str, "split": str})
    keys = PAIR if "context" in table else ["perturbation"]
    need_no_leak(table, by_context="context" in table)
    own = table[[*keys, "split"]].drop_duplicates(keys)
    merged = wanted[PAIR].merge(own, on=keys, how="left")
    lost = merged[merged["split"].isna()]
    if len(lost) == len(merged):
        raise fail(
            ValueError, "the split must name perturbations of these cells.",
            f"{listing(table['perturbation'])}, cells with {listing(wanted['perturbation'].unique())}.",
            "take the split of the same data.",
        )  # fmt: skip
    if len(lost):
        raise fail(
            ValueError, "every condition of the cells needs a part in the split.",
            f"none for {listing(lost['perturbation'].unique())}.", "drop these cells, or add rows to the split.",
        )  # fmt: skip
    return with_kind(merged.sort_values(PAIR, ignore_index=True))
