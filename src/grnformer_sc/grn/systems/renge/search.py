"""Choice of RENGE's settings: those that explain most of knock-outs that were left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int
from joblib import Parallel, delayed

from ...._core.checks import fail
from ...._core.logging import progress
from ...._core.typing import Number
from .fit import explained, fit
from .model import Model, Shape, Terms, terms_of
from .sums import Sums

PENALTIES = tuple(2.0**-power for power in range(11))  # the strongest first
L1_RATIOS = (1e-5, 1e-3, 1e-2, 1e-1, 1.0)
HOPS = (1, 2, 3, 4)
PATIENCE = 2  # settings in a row that are no better, before the search goes no further that way


@dataclass(frozen=True, slots=True)
class Fold:
    """What a model is fitted to, and the cells that it is judged on."""

    terms: Terms
    held: Sums


@dataclass(frozen=True, slots=True)
class Tried:
    """Settings, and the mean R squared of the cells that were left out."""

    shape: Shape
    r2: float


def search(
    sums: Sums,
    *,
    penalty: Number | None,
    l1_ratio: Number | None,
    n_hops: int | None,
    n_folds: int,
    n_jobs: int,
) -> list[Tried]:
    """Try settings, the best of them first in the list; only what is `None` is searched.

    For every number of hops the penalty is halved from 1 on, each fit starting at the one before, as long as this helps;
    then the share of L1 is raised in the same way.
    """
    fold = folds_of(sums, n_folds)
    folds = [Fold(terms_of(sums.part(fold != k)), sums.part(fold == k)) for k in range(n_folds)]
    penalties = PENALTIES if penalty is None else (penalty,)
    ratios = L1_RATIOS if l1_ratio is None else (l1_ratio,)
    hops = HOPS if n_hops is None else (n_hops,)
    tried: list[Tried] = []
    for number in progress(hops, title="renge: settings", total=len(hops)):
        tried += walk(folds, (Shape(penalty=p, l1_ratio=ratios[0], n_hops=number) for p in penalties), n_jobs)
    best = max(tried, key=lambda each: each.r2)
    tried += walk(folds, (replace(best.shape, l1_ratio=ratio) for ratio in ratios[1:]), n_jobs, than=best.r2)
    return sorted(tried, key=lambda each: -each.r2)


def walk(folds: Sequence[Fold], shapes: Iterable[Shape], n_jobs: int, *, than: float = -np.inf) -> list[Tried]:
    """Judge settings one after the other until two in a row are no better than the best before (or `than`)."""
    out: list[Tried] = []
    starts: list[Model | None] = [None] * len(folds)
    since = 0
    for shape in shapes:
        tasks = (delayed(fit)(fold.terms, shape, start) for fold, start in zip(folds, starts, strict=True))
        models = [found.model for found in Parallel(n_jobs=n_jobs, prefer="threads")(tasks)]
        r2 = [explained(model, fold.held, shape.n_hops) for model, fold in zip(models, folds, strict=True)]
        out.append(Tried(shape, float(np.mean(r2))))
        since, than, starts = 0 if out[-1].r2 > than else since + 1, max(than, out[-1].r2), [*models]
        if since >= PATIENCE:
            break
    return out


def folds_of(sums: Sums, n_folds: int) -> Int[np.ndarray, "times rows"]:
    """Fold of every stratum: all times of a knock-out together, the controls of every time by themselves.

    The largest go first, each into the fold with the fewest cells.
    """
    n_times, n_rows = sums.n.shape
    unit = np.tile(np.arange(n_rows), (n_times, 1))
    unit[:, -1] += np.arange(n_times)
    size = np.bincount(unit.ravel(), sums.n.ravel())
    if n_folds > size.size:
        raise fail(
            ValueError, f"a search with {n_folds} folds needs as many knock-outs and times of controls.", f"{size.size}.",
            "pass fewer n_folds, or penalty, l1_ratio and n_hops, so that nothing is searched.",
        )  # fmt: skip
    fold, filled = np.zeros(size.size, dtype=np.int64), np.zeros(n_folds)
    for number in np.argsort(-size, kind="stable"):
        fold[number] = np.argmin(filled)
        filled[fold[number]] += size[number]
    return fold[unit]
