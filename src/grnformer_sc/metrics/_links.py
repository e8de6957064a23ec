"""Recovery of known links by a scored list."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from .._core.checks import fail


def link_recovery(
    predicted: pd.DataFrame,
    truth: pd.DataFrame,
    *,
    on: Sequence[str] = ("tf", "gene"),
    score: str = "score",
    universe: int | None = None,
) -> pd.Series:
    """Measure how well scored links recover known ones (average precision beside its chance level).

    Links that were not predicted share the lowest rank, so a short list is not favoured; links of equal score share
    their precision.

    Parameters
    ----------
    predicted
        Scored links; of repeated links the best score counts.
    truth
        Known links.
    on
        Columns that name a link.
    score
        Column of `predicted` with the score, larger is better.
    universe
        Number of links that could have been predicted; by default the predicted and the true ones.

    Returns
    -------
    Series with `aupr` (average precision), `random` (share of true links in the universe), `ratio` (of both),
    `early_precision` (precision among the best k, k = number of true links), `n_true`, `n_universe`.

    Raises
    ------
    ValueError
        `truth` is empty or the universe is smaller than the links.

    Examples
    --------
    >>> import pandas as pd
    >>> import grnformer_sc as grs
    >>> predicted = pd.DataFrame({"tf": ["A", "A"], "gene": ["x", "y"], "score": [2.0, 1.0]})
    >>> truth = pd.DataFrame({"tf": ["A"], "gene": ["x"]})
    >>> float(grs.metrics.link_recovery(predicted, truth, universe=10)["aupr"])
    1.0
    """
    names = list(on)
    true = truth[names].astype(str).drop_duplicates()
    best = predicted[[*names, score]].astype({name: str for name in names}).groupby(names, sort=False)[score].max()
    hit = pd.MultiIndex.from_frame(true).isin(best.index) if len(names) > 1 else true[names[0]].isin(best.index).to_numpy()
    n_links = len(best) + int((~hit).sum())
    n_universe = n_links if universe is None else universe
    if true.empty or n_universe < n_links:
        raise fail(
            ValueError, "truth must hold links and the universe all links.",
            f"{len(true)} true links, {n_links} links, universe {n_universe}.", "count all possible pairs as universe.",
        )  # fmt: skip
    known = pd.MultiIndex.from_frame(true) if len(names) > 1 else pd.Index(true[names[0]])
    is_true = best.index.isin(known)
    order = np.argsort(-best.to_numpy(), kind="stable")
    values, labels = best.to_numpy()[order], is_true[order]
    last = np.r_[values[1:] != values[:-1], True] if values.size else np.empty(0, bool)
    found = np.r_[np.cumsum(labels)[last], len(true)]
    taken = np.r_[np.flatnonzero(last) + 1, n_universe]
    aupr = float((np.diff(np.r_[0, found]) / len(true) * (found / taken)).sum())
    early = float(labels[: len(true)].sum() / len(true))
    random = len(true) / n_universe
    return pd.Series(
        {"aupr": aupr, "random": random, "ratio": aupr / random, "early_precision": early, "n_true": len(true), "n_universe": n_universe}
    )
