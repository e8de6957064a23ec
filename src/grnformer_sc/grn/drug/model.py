"""The response model: y = mean + b_d + b_l + u_d . v_l + f(z_l, g_d), and its settings, chosen inside the training part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product

import numpy as np
from jaxtyping import Bool, Float

from .factors import factorise, offsets
from .folds import Split, folds_of
from .kernels import SharedRidge, mixed, ridge_per_drug

RANKS, PENALTIES = (5, 10, 20, 40), (5.0, 20.0)  # of the factors; the ranks are tried with the first penalty below
FIRST_PENALTY = 10.0
PRIORS = (3.0, 10.0)  # ridge with which features foretell the factors of seen lines
RIDGES = (0.1, 0.3, 1.0, 3.0, 10.0)  # in units of a kernel with 1 on its diagonal
PER_DRUG = (0.3, 1.0, 3.0, 10.0, 30.0)  # of the regression drug by drug
OWN = (0.0, 0.5, 1.0)  # share of what the factors leave of a measured value that the features shall explain
INNER, HELD = 3, 0.1  # folds of lines or drugs, share of pairs
FEWEST = 5  # lines of a correlation inside a drug
QUICK = 5  # alternations while settings are chosen


@dataclass(frozen=True, slots=True)
class Similarity:
    """What is known of lines and drugs beside their responses.

    Attributes
    ----------
    lines
        Kernels of lines, one per representation; none for models without features.
    drugs
        Kernel of drugs, or None where drugs are names.
    """

    lines: tuple[Float[np.ndarray, "lines lines"], ...] = ()
    drugs: Float[np.ndarray, "drugs drugs"] | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """Settings of the model.

    Attributes
    ----------
    rank, penalty
        Of the factors.
    prior
        Ridge by which features foretell the factors of seen lines; 0: their factors are drawn to 0 instead.
    weights
        Weights of the kernels of lines.
    ridge, own
        Penalty of the regression for unseen lines; share of the residuals of the factors in its targets (the term f).
    drug_ridge
        Penalty of the regression for unseen drugs.
    """

    rank: int = 10
    penalty: float = FIRST_PENALTY
    prior: float = 0.0
    weights: tuple[float, ...] = field(default=())
    ridge: float = 1.0
    own: float = 1.0
    drug_ridge: float = 1.0


def predict(
    y: Float[np.ndarray, "lines drugs"],
    known: Bool[np.ndarray, "lines drugs"],
    similar: Similarity,
    choice: Choice,
    *,
    n_steps: int | None = None,
) -> Float[np.ndarray, "lines drugs"]:
    """Predictions of all pairs from the known ones.

    Seen lines and drugs: offsets and factors. An unseen line: one kernel ridge regression of the completed table, that
    is of `b_l` and `v_l` (the regression is linear in them), plus `own` times the residuals of measured values. An unseen
    drug: the same over drugs.
    """
    lines, drugs = np.asarray(known.any(axis=1)), np.asarray(known.any(axis=0))
    block = np.ix_(lines, drugs)
    values, have = np.where(known, y, 0.0)[block], known[block]
    kernel = mixed(similar.lines, choice.weights) if similar.lines else None
    steps = {} if n_steps is None else {"n_steps": n_steps}
    smooth = None
    if kernel is not None and choice.prior > 0:
        seen = SharedRidge.on(kernel[np.ix_(lines, lines)], np.ones(int(lines.sum()), dtype=bool))
        smooth = partial(seen.predict, penalty=choice.prior)
    found = factorise(values, have, rank=choice.rank, penalty=choice.penalty, smooth=smooth, **steps)
    filled = found.matrix()
    out = (
        np.tile(found.mean + found.drugs, (y.shape[0], 1))
        if kernel is None
        else np.zeros((y.shape[0], filled.shape[1]))
    )
    if kernel is not None and not lines.all():
        targets = filled + choice.own * np.where(have, values - filled, 0.0)
        out = SharedRidge.on(kernel, lines).predict(targets, choice.ridge)
    out[lines] = filled
    return _all_drugs(out, drugs, similar.drugs, choice.drug_ridge)


def _all_drugs(
    table: Float[np.ndarray, "lines seen"],
    seen: Bool[np.ndarray, " drugs"],
    kernel: Float[np.ndarray, "drugs drugs"] | None,
    penalty: float,
) -> Float[np.ndarray, "lines drugs"]:
    """Add the columns of unseen drugs: from similar drugs, or the mean of the line."""
    out = np.empty((table.shape[0], seen.size))
    if not seen.all():
        out[:] = table.mean(axis=1)[:, None]
        if kernel is not None:
            out = SharedRidge.on(kernel, seen).predict(table.T, penalty).T
    out[:, seen] = table
    return out


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
            choice = _choose_lines(y, known, similar, choice, _inner(kind, known, groups, rng))
        if split == "pair" or final:
            choice = _choose_prior(y, known, similar, choice, rng)
    if similar.drugs is not None and (split in ("drug", "both") or final):
        choice = _choose_drugs(y, known, similar, choice, _inner("drug", known, None, rng))
    return choice


def _inner(
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
        error += [((_all_drugs(table, seen, similar.drugs, ridge) - y)[held] ** 2).sum() for ridge in RIDGES]
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


def means(
    y: Float[np.ndarray, "lines drugs"], known: Bool[np.ndarray, "lines drugs"], *, of: str
) -> Float[np.ndarray, "lines drugs"]:
    """Mean of the drug or of the line, the overall mean where there is none; or both offsets."""
    if of == "offsets":
        return offsets(y, known).matrix()
    if of == "line_mean":
        return means(y.T, known.T, of="drug_mean").T
    mean = y[known].mean()
    number = known.sum(axis=0)
    total = np.where(known, y - mean, 0.0).sum(axis=0)
    return np.tile(mean + total / np.maximum(number, 1), (y.shape[0], 1))


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
            held = next(_inner(kind, known, groups, rng))
            penalty = choose_ridge(raw[0], seen, known, held, by_correlation=kind != "pair")
            return ridge_per_drug(raw[0], seen, known, penalty), {"ridge": penalty}
        used = Similarity() if method == "mf" else similar
        choice = choose(seen, known, used, split=split, groups=groups, rng=rng, final=final)
        return predict(seen, known, used, choice), _said(choice, used, split, final=final)

    return run
