"""How well predicted links recover true ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from .._core.checks import fail, listing


def average_precision(truth: Bool[np.ndarray, " pairs"], score: Float[np.ndarray, " pairs"]) -> float:
    """Area under the precision-recall curve as a step function: sum of precision times gain in recall.

    Pairs with equal scores enter together, so the order of ties plays no part (scikit-learn's definition).

    Parameters
    ----------
    truth
        Which pairs are true.
    score
        Larger is more likely.

    Returns
    -------
    A number in [0, 1]; NaN without a true pair.

    Examples
    --------
    >>> import numpy as np
    >>> import grnformer_sc as grs
    >>> grs.metrics.average_precision(np.array([True, False, True]), np.array([3.0, 2.0, 1.0]))
    0.8333333333333333
    """
    if not truth.any():
        return float("nan")
    true, found = _curve(truth, score)
    gain = np.diff(true, prepend=0) / true[-1]
    return float((gain * true / found).sum())


def _curve(truth: Bool[np.ndarray, " pairs"], score: Float[np.ndarray, " pairs"]) -> tuple[np.ndarray, np.ndarray]:
    """True and all pairs found at every distinct score, from the highest on."""
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.r_[np.diff(score[order]) != 0, True])
    return np.cumsum(truth[order])[last], last + 1


def link_recovery(
    predicted: pd.DataFrame,
    truth: pd.DataFrame,
    *,
    on: Sequence[str] = ("tf", "gene"),
    score: str = "score",
    universe: int | pd.DataFrame | None = None,
) -> pd.Series:
    """Judge a table of scored links against the true ones.

    A link is a distinct combination of the columns `on`; a link that is predicted more than once counts with its
    highest score, one that is not predicted has the lowest score of all and is tied with the others that are missing.

    Parameters
    ----------
    predicted
        Links with a finite score, larger for surer ones; the sign plays no part, so give `abs` of signed scores.
    truth
        True links.
    on
        Columns that name a link: TF and gene, region and gene, or all three.
    score
        Column of `predicted`.
    universe
        All links that could have been predicted: a table with the columns `on` (links outside it are left out of
        `predicted` and `truth`), or their number. By default all combinations of the names that occur.

    Returns
    -------
    Series of floats:

    `aupr` : average precision; `random` : share of true links, what random scores reach; `aupr_ratio` : their quotient

    `early_precision`, `early_precision_ratio` : precision among the best K = number of true links (expected value over
    ties), and its quotient with `random` (Pratapa et al. 2020)

    `auroc` : area under the receiver operating curve; `n_true`, `n_predicted`, `n_universe` : counts

    Raises
    ------
    KeyError
        A column is missing.
    ValueError
        No true link lies in the universe, a score is not finite, or the universe is smaller than the links.

    Examples
    --------
    >>> import pandas as pd
    >>> import grnformer_sc as grs
    >>> truth = pd.DataFrame({"tf": ["A", "B"], "gene": ["x", "y"]})
    >>> predicted = pd.DataFrame({"tf": ["A", "A", "B"], "gene": ["x", "y", "y"], "score": [3, 2, 1]})
    >>> grs.metrics.link_recovery(predicted, truth)[["aupr", "random"]].round(3).tolist()
    [0.833, 0.5]
    """
    columns = list(on)
    for table, needed in ((predicted, [*columns, score]), (truth, columns)):
        missing = [name for name in needed if name not in table]
        if missing:
            raise fail(KeyError, f"links need the columns {needed}.", f"{listing(table.columns)}.", f"add {missing}.")
    true = _keys(truth, columns).drop_duplicates()
    best = _keys(predicted, columns).assign(score=predicted[score].to_numpy(dtype=np.float64))
    if not np.isfinite(best["score"]).all():
        raise fail(ValueError, "scores must be finite.", "NaN or infinite values.", "drop or fill these links.")
    best = best.groupby(columns, as_index=False, sort=False)["score"].max()
    if isinstance(universe, pd.DataFrame):
        allowed = _keys(universe, columns).drop_duplicates()
        true, best, n_all = true.merge(allowed), best.merge(allowed), len(allowed)
    elif universe is None:
        n_all = int(np.prod([pd.concat([true[name], best[name]]).nunique() for name in columns]))
    else:
        n_all = int(universe)
    both = best.merge(true.assign(true=True), how="outer", on=columns)
    if not len(true) or len(both) > n_all:
        raise fail(
            ValueError, "the universe must hold all links, true ones among them.",
            f"{len(true)} true links and {len(both)} links for {n_all} possible ones.",
            "check that both tables use the same names; give universe= as a table.",
        )  # fmt: skip
    return _judge(both["true"].notna().to_numpy(), both["score"].to_numpy(), n_all, len(best))


def _keys(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    return table[columns].astype(str)


def _judge(truth: np.ndarray, score: np.ndarray, n_all: int, n_predicted: int) -> pd.Series:
    """All numbers from the links of either table; the other `n_all` - links are false and share the lowest score."""
    known = np.isfinite(score)
    n_true = int(truth.sum())
    true, found = _curve(truth[known], score[known]) if known.any() else (np.empty(0, int), np.empty(0, int))
    true, found = np.r_[true, n_true], np.r_[found, n_all]
    if known.sum() == n_all:
        true, found = true[:-1], found[:-1]
    gain, width = np.diff(true, prepend=0), np.diff(found, prepend=0)
    aupr = float((gain * true / found).sum() / n_true)
    at = int(np.searchsorted(found, n_true))
    inside = n_true - (found[at] - width[at])
    early = float((true[at] - gain[at] + gain[at] * inside / width[at]) / n_true)
    false = found - true
    n_false = n_all - n_true
    steps = np.diff(false, prepend=0)
    auroc = float((steps * (true - gain / 2)).sum() / (n_true * n_false)) if n_false else float("nan")
    random = n_true / n_all
    return pd.Series(
        {
            "aupr": aupr,
            "random": random,
            "aupr_ratio": aupr / random,
            "early_precision": early,
            "early_precision_ratio": early / random,
            "auroc": auroc,
            "n_true": float(n_true),
            "n_predicted": float(n_predicted),
            "n_universe": float(n_all),
        }
    )
