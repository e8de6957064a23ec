"""How well predicted links recover true ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from .._core.checks import fail
from ._nulls import need_columns


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
        Links with a finite score, larger for surer ones; give `abs` of signed scores, and the sign in a column `sign`.
    truth
        True links; with a column `sign` (+1, -1) in both tables the signs are judged too.
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

    `auroc` : area under the receiver operating curve

    `precision`, `recall`, `f01` : of the predicted links as a set, whatever their scores, and F with beta = .1, in which
    precision weighs most

    `signed_recall` : share of true links that are predicted with their sign, where both tables have a column `sign`; the
    sign of a link that is predicted more than once is that of its highest score

    `n_true`, `n_predicted`, `n_universe` : counts

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
    signed = ["sign"] if "sign" in predicted and "sign" in truth else []
    need_columns(predicted, [*columns, score])
    need_columns(truth, columns)
    true = _keys(truth, columns, signed).drop_duplicates(columns)
    best = _keys(predicted, columns, signed).assign(score=predicted[score].to_numpy(dtype=np.float64))
    if not np.isfinite(best["score"]).all():
        raise fail(ValueError, "scores must be finite.", "NaN or infinite values.", "drop or fill these links.")
    best = best.sort_values("score", ascending=False, kind="stable").drop_duplicates(columns)
    if isinstance(universe, pd.DataFrame):
        allowed = _keys(universe, columns).drop_duplicates()
        true, best, n_all = true.merge(allowed), best.merge(allowed), len(allowed)
    elif universe is None:
        n_all = int(np.prod([pd.concat([true[name], best[name]]).nunique() for name in columns]))
    else:
        n_all = int(universe)
    both = best.merge(true.assign(true=True), how="outer", on=columns, suffixes=("", "_true"))
    if not len(true) or len(both) > n_all:
        raise fail(
            ValueError, "the universe must hold all links, true ones among them.",
            f"{len(true)} true links and {len(both)} links for {n_all} possible ones.",
            "check that both tables use the same names; give universe= as a table.",
        )  # fmt: skip
    known = both["true"].notna().to_numpy()
    out = judge(known, both["score"].to_numpy(), n_all)
    if signed:
        out["signed_recall"] = float((np.sign(both["sign"]) == np.sign(both["sign_true"])).sum() / len(true))
    return out


def _keys(table: pd.DataFrame, columns: list[str], others: Sequence[str] = ()) -> pd.DataFrame:
    return table[[*columns, *others]].astype(dict.fromkeys(columns, "str"))


def judge(truth: Bool[np.ndarray, " links"], score: Float[np.ndarray, " links"], n_all: int) -> pd.Series:
    """All figures from the links of either table (NaN: not predicted); all others are false and share the lowest score."""
    known = np.isfinite(score)
    n_true, n_found, n_predicted = int(truth.sum()), int(truth[known].sum()), int(known.sum())
    true, found = _curve(truth[known], score[known]) if n_predicted else (np.empty(0, int), np.empty(0, int))
    true, found = np.r_[true, n_true], np.r_[found, n_all]
    if n_predicted == n_all:
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
    random, precision, recall = n_true / n_all, n_found / n_predicted if n_predicted else 0.0, n_found / n_true
    return pd.Series(
        {
            "aupr": aupr,
            "random": random,
            "aupr_ratio": aupr / random,
            "early_precision": early,
            "early_precision_ratio": early / random,
            "auroc": auroc,
            "precision": precision,
            "recall": recall,
            "f01": f_score(precision, recall),
            "n_true": float(n_true),
            "n_predicted": float(n_predicted),
            "n_universe": float(n_all),
        }
    )


def f_score(precision: float, recall: float, beta: float = 0.1) -> float:
    """Weighted harmonic mean of precision and recall; 0 where both are."""
    weight = beta**2
    total = weight * precision + recall
    return (1 + weight) * precision * recall / total if total else 0.0


def recovery_per_tf(
    predicted: pd.DataFrame,
    truth: pd.DataFrame,
    *,
    source: str = "tf",
    target: str = "gene",
    score: str = "score",
    universe: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Judge the links of every TF by themselves, so that a few TFs with many targets do not decide.

    Parameters
    ----------
    predicted, truth, score
        As for `grs.metrics.link_recovery`.
    source, target
        Columns that name the ends of a link.
    universe
        All links that could have been predicted; by default every TF with a true link and every target of either table.

    Returns
    -------
    Table with one row per TF that has a true link and the figures of `link_recovery` as columns. Give a column to
    `grs.metrics.bootstrap_mean` for the mean over TFs with its interval.

    Raises
    ------
    KeyError
        A column is missing.
    ValueError
        No TF has a true link in the universe, or a score is not finite.

    Examples
    --------
    >>> import pandas as pd
    >>> import grnformer_sc as grs
    >>> truth = pd.DataFrame({"tf": ["A", "B"], "gene": ["x", "y"]})
    >>> predicted = pd.DataFrame({"tf": ["A", "A", "B"], "gene": ["x", "y", "x"], "score": [3, 2, 1]})
    >>> grs.metrics.recovery_per_tf(predicted, truth)["aupr"].to_dict()
    {'A': 1.0, 'B': 0.5}
    """
    need_columns(predicted, [source, target, score])
    need_columns(truth, [source, target])
    on = [source, target]
    if universe is not None:
        true = _keys(truth, on).merge(_keys(universe, on)).drop_duplicates()
        parts = {str(name): part for name, part in universe.groupby(universe[source].astype(str))}
    else:
        true = _keys(truth, on).drop_duplicates()
        n_targets = pd.concat([true[target], predicted[target].astype(str)]).nunique()
    if not len(true):
        raise fail(
            ValueError,
            "at least one true link must lie in the universe.",
            "none.",
            "check that both use the same names.",
        )
    found = {str(name): part for name, part in predicted.groupby(predicted[source].astype(str))}
    rows = {}
    for name, links in true.groupby(source):
        space = n_targets if universe is None else parts[str(name)]
        own = found.get(str(name), predicted.iloc[:0])
        rows[str(name)] = link_recovery(own, links, on=[target], score=score, universe=space)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(source)
