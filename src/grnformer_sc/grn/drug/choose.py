"""Settings of the response model, chosen on pairs, lines and drugs that are held out of the training part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
from jaxtyping import Bool, Float

from .factors import factorise
from .folds import Split, folds_of
from .kernels import SharedRidge, mixed, ridge_per_drug
from .model import FIRST_PENALTY, Choice, Similarity, all_drugs, predict

RANKS, PENALTIES = (5, 10, 20, 40), (5.0, 20.0)  # of the factors; the ranks are tried with the first penalty below
PRIORS = (3.0, 10.0)  # ridge with which features foretell the factors of seen lines
RIDGES = (0.1, 0.3, 1.0, 3.0, 10.0)  # in units of a kernel with 1 on its diagonal
PER_DRUG = (0.3, 1.0, 3.0, 10.0, 30.0)  # of the regression drug by drug
OWN = (0.0, 0.5, 1.0)  # share of what the factors leave of a measured value that the features shall explain
INNER, HELD = 3, 0.1  # folds of lines or drugs, share of pairs
FEWEST = 5  # lines of a correlation inside a drug
QUICK = 5  # alternations while settings are chosen


def choose(
    y: Float[np.ndarray, "lines drugs"],
    known: Bool[np.ndarray, "lines drugs"],
    similar: Similarity,
    *,
    split: Split,
    groups: np.ndarray | None,
    rng: np.random.Generator,
    final: bool = False,
) -> Choice:
    """Settings that do best on pairs, lines or drugs held out of `known`.

    Only known pairs are read. What is held out is of the kind that `split` holds out: pairs for rank and penalty always;
    lines (groups of them) for the kernels; drugs for theirs. Pairs and drugs are judged by squared error, lines by the
    correlation inside drugs. `final` chooses everything.
    """
    choice = _choose_factors(y, known, rng)
    n_kernels = len(similar.lines)
    if n_kernels:
        choice = replace(choice, weights=tuple(np.full(n_kernels, 1 / n_kernels).tolist()))
        if split in ("line", "group", "both") or final:
            kind: Split = "group" if split == "group" else "line"
            choice = _choose_lines(y, known, similar, choice, inner_folds(kind, known, groups, rng))
        if split == "pair" or final:
            choice = _choose_prior(y, known, similar, choice, rng)
    if similar.drugs is not None and (split in ("drug", "both") or final):
        choice = _choose_drugs(y, known, similar, choice, inner_folds("drug", known, None, rng))
    return choice


def inner_folds(
    kind: Split, known: Bool[np.ndarray, "lines drugs"], groups: np.ndarray | None, rng: np.random.Generator
) -> Iterator[Bool[np.ndarray, "lines drugs"]]:
    """Masks of known pairs to hold out, one per fold."""
    if kind == "group" and (groups is None or np.unique(groups[known.any(axis=1)]).size < INNER):
        kind = "line"
    fold = folds_of(kind, known, n_splits=INNER, groups=groups, rng=rng)
    return (fold == number for number in range(INNER))


def _held_pairs(known: Bool[np.ndarray, "lines drugs"], rng: np.random.Generator) -> Bool[np.ndarray, "lines drugs"]:
    held = np.zeros_like(known)
    held[known] = rng.random(int(known.sum())) < HELD
    return held


def _choose_factors(
    y: Float[np.ndarray, "lines drugs"], known: Bool[np.ndarray, "lines drugs"], rng: np.random.Generator
) -> Choice:
    """Rank first, the smallest after which the error grows; then the penalty."""
    held = _held_pairs(known, rng)
    values = np.where(known, y, 0.0)

    def error(rank: int, penalty: float) -> float:
        found = factorise(values, known & ~held, rank=rank, penalty=penalty, n_steps=QUICK).matrix()
        return float(((found - values)[held] ** 2).mean()) if held.any() else 0.0

    best, rank = error(RANKS[0], FIRST_PENALTY), RANKS[0]
    for more in RANKS[1:]:
        now = error(more, FIRST_PENALTY)
        if more >= min(y.shape) or now >= best:
            break
        best, rank = now, more
    errors = {FIRST_PENALTY: best, **{penalty: error(rank, penalty) for penalty in PENALTIES}}
    return Choice(rank=rank, penalty=min(errors, key=lambda penalty: errors[penalty]))


def _choose_prior(
    y: Float[np.ndarray, "lines drugs"],
    known: Bool[np.ndarray, "lines drugs"],
    similar: Similarity,
    choice: Choice,
    rng: np.random.Generator,
) -> Choice:
    held = _held_pairs(known, rng)

    def error(prior: float) -> float:
        found = predict(y, known & ~held, similar, replace(choice, prior=prior), n_steps=QUICK)
        return float(((found - y)[held] ** 2).mean()) if held.any() else 0.0

    return replace(choice, prior=min((0.0, *PRIORS), key=error))


def mixtures(n: int) -> list[tuple[float, ...]]:
    """Weights tried for `n` kernels: each alone, each pair in halves, all together."""
    corners = [tuple(float(i == j) for j in range(n)) for i in range(n)]
    pairs = [tuple((np.array(corners[i]) + corners[j]).tolist()) for i in range(n) for j in range(i)]
    halves = [tuple(value / 2 for value in pair) for pair in pairs]
    return corners + halves + ([tuple([1 / n] * n)] if n > 2 else [])


def _choose_lines(
    y: Float[np.ndarray, "lines drugs"],
    known: Bool[np.ndarray, "lines drugs"],
    similar: Similarity,
    choice: Choice,
    folds: Iterator[Bool[np.ndarray, "lines drugs"]],
) -> Choice:
    """Weights of kernels, ridge and share of residuals: the highest mean correlation inside drugs, on lines left out.

    Squared error asks for less shrinkage, because drugs of large variance outweigh the others in it.
    """
    grid = list(product(mixtures(len(similar.lines)), OWN, RIDGES))
    score = np.zeros(len(grid))
    kernels = {weights: mixed(similar.lines, weights) for weights, _, _ in grid}
    for held in folds:
        have = known & ~held
        lines = np.asarray(have.any(axis=1))
        values = np.where(have, y, 0.0)
        filled = factorise(values, have, rank=choice.rank, penalty=choice.penalty, n_steps=QUICK).matrix()[lines]
        rest = np.where(have[lines], values[lines] - filled, 0.0)
        left_out = np.asarray(held.any(axis=1))
        asked, truth = held[left_out], y[left_out]
        ridges = {weights: SharedRidge.on(kernel, lines, left_out) for weights, kernel in kernels.items()}
        for place, (weights, own, ridge) in enumerate(grid):
            found = ridges[weights].predict(filled + own * rest, ridge)
            score[place] += _mean_correlation(found, truth, asked)
    weights, own, ridge = grid[int(np.argmax(score))]
    return replace(choice, weights=weights, own=own, ridge=ridge)


def _mean_correlation(
    found: Float[np.ndarray, "lines drugs"],
    truth: Float[np.ndarray, "lines drugs"],
    asked: Bool[np.ndarray, "lines drugs"],
) -> float:
    """Mean over drugs of the correlation over the lines asked for; 0 where none is defined."""
    n = asked.sum(axis=0)
    x, y = (
        np.where(asked, part - (part * asked).sum(axis=0) / np.maximum(n, 1), 0.0)
        for part in (found, np.nan_to_num(truth))
    )
    size = np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0))
    judged = (n >= FEWEST) & (size > 0)
    r = (x * y).sum(axis=0) / np.where(size > 0, size, 1)
    return float(r[judged].mean()) if judged.any() else 0.0


def _choose_drugs(
    y: Float[np.ndarray, "lines drugs"],
    known: Bool[np.ndarray, "lines drugs"],
    similar: Similarity,
    choice: Choice,
    folds: Iterator[Bool[np.ndarray, "lines drugs"]],
) -> Choice:
    error = np.zeros(len(RIDGES))
    for held in folds:
        have = known & ~held
        seen = have.any(axis=0)
        values = np.where(have, y, 0.0)[:, seen]
        table = factorise(values, have[:, seen], rank=choice.rank, penalty=choice.penalty, n_steps=QUICK).matrix()
        error += [((all_drugs(table, seen, similar.drugs, ridge) - y)[held] ** 2).sum() for ridge in RIDGES]
    return replace(choice, drug_ridge=RIDGES[int(np.argmin(error))])


def choose_ridge(
    kernel: Float[np.ndarray, "lines lines"],
    y: Float[np.ndarray, "lines drugs"],
    known: Bool[np.ndarray, "lines drugs"],
    held: Bool[np.ndarray, "lines drugs"],
    *,
    by_correlation: bool,
) -> float:
    """Penalty of the regression drug by drug, on pairs held out of `known`: judged as the model is for the same split."""

    def score(penalty: float) -> float:
        found = ridge_per_drug(kernel, y, known & ~held, penalty)
        return _mean_correlation(found, y, held) if by_correlation else -float(((found - y)[held] ** 2).mean())

    return max(PER_DRUG, key=score)
