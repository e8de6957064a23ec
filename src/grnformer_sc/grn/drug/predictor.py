"""Methods by name: a function of the training pairs that predicts all pairs and says what it chose."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float

from .choose import choose, choose_ridge, inner_folds
from .folds import Split
from .kernels import ridge_per_drug
from .model import Choice, Similarity, means, predict

Predictor = Callable[[Bool[np.ndarray, "lines drugs"], np.random.Generator, bool], tuple[np.ndarray, dict[str, object]]]


def predictor(
    method: str,
    y: Float[np.ndarray, "lines drugs"],
    similar: Similarity,
    *,
    split: Split,
    groups: np.ndarray | None,
    raw: Sequence[Float[np.ndarray, "lines lines"]] = (),
) -> Predictor:
    """A function of the training pairs: predictions of all pairs, and the settings that were chosen.

    `raw` holds the linear kernel of the regression drug by drug.
    """

    def run(
        known: Bool[np.ndarray, "lines drugs"],
        rng: np.random.Generator,
        final: bool,  # noqa: FBT001
    ) -> tuple[np.ndarray, dict[str, object]]:
        seen = np.where(known, y, np.nan)  # nothing else can be read
        if method in ("drug_mean", "line_mean", "offsets"):
            return means(np.nan_to_num(seen), known, of=method), {}
        if method == "ridge":
            kind: Split = split if split in ("pair", "group") else "line"
            held = next(inner_folds(kind, known, groups, rng))
            penalty = choose_ridge(raw[0], seen, known, held, by_correlation=kind != "pair")
            return ridge_per_drug(raw[0], seen, known, penalty), {"ridge": penalty}
        used = Similarity() if method == "mf" else similar
        choice = choose(seen, known, used, split=split, groups=groups, rng=rng, final=final)
        return predict(seen, known, used, choice), _said(choice, used, split, final=final)

    return run


def _said(choice: Choice, similar: Similarity, split: Split, *, final: bool) -> dict[str, object]:
    """What was chosen, without the settings that nothing was predicted with."""
    names = ["rank", "penalty"]
    cold = final or split in ("line", "group", "both")
    if similar.lines:
        names += [*(["prior"] if final or split == "pair" else []), *(["ridge", "own"] if cold else [])]
    if similar.drugs is not None and (final or split in ("drug", "both")):
        names.append("drug_ridge")
    weights = {f"weight_{place}": weight for place, weight in enumerate(choice.weights)}
    return {name: getattr(choice, name) for name in names} | weights
