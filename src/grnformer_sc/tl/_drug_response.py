"""`tl.drug_response`: predict how cell lines respond to drugs, on pairs, lines, tissues or drugs that were held out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import pandas as pd
from jaxtyping import Bool
from threadpoolctl import threadpool_limits

from .._core.checks import fail, listing, need_one_of
from .._core.keys import DRUG_RESPONSE, DrugResponseKeys
from .._core.logging import progress, step
from .._core.params import recipe
from .._core.results import Results
from .._core.rng import RngLike, as_root, generator, seed_for
from ..grn.drug.folds import Split, folds_of, training_pairs
from ..grn.drug.kernels import gaussian, linear
from ..grn.drug.model import Similarity
from ..grn.drug.predictor import Predictor, predictor
from ..priors._drug_structure import drug_graphs
from ._drug_inputs import (
    NETWORK_REPS,
    DrugRep,
    Folds,
    Responses,
    Splitting,
    drug_kernel,
    features_of,
    make_folds,
    names_of,
    responses_of,
    structures_of,
)  # fmt: skip

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

Method = Literal["grnformer", "mf", "offsets", "drug_mean", "line_mean", "ridge", "deepcdr"]
WITH_FEATURES = ("grnformer", "ridge", "deepcdr")
PER_DRUG = ("grnformer", "ridge")  # with names of drugs alone these know nothing of an unseen drug


def drug_response(
    adata: AnnData,
    *,
    method: Method = "grnformer",
    use_rep: str | Sequence[str] = "X",
    layer: str | None = None,
    split: Splitting = "line",
    n_splits: int = 5,
    groups: str | None = None,
    drug_rep: DrugRep = "id",
    key: str = "grn",
    final: bool = True,
    key_added: str | None = None,
    rng: RngLike = 0,
    copy: bool = False,
) -> AnnData | None:
    """Predict drug responses by cross-validation, and of lines and pairs that were never measured.

    The model of `"grnformer"` is y = mean + b_d + b_l + u_d . v_l + f(z_l, g_d): offsets and factors of drugs and lines;
    those of an unseen line come from its features z_l by kernel ridge regression of all drugs at once, those of an unseen
    drug from its structure g_d. Rank, penalties and the weights of several representations are chosen inside the training
    part of every fold on what is held out of it: pairs, lines or groups of lines, as `split` says. Nothing of a test fold is
    seen before it is predicted.

    `split="pair"` says little of features: a line and a drug that were seen in other pairs are foretold by factors alone.
    Whether the state of a cell predicts its response is asked by `"line"` and `"group"`.

    Parameters
    ----------
    adata
        Cell lines with responses (`grs.pp.drug_response_setup`). Lines without any are predicted by the final model.
    method
        `"grnformer"`; `"mf"` (offsets and factors, no features); `"offsets"`, `"drug_mean"`, `"line_mean"`; `"ridge"`
        (linear, every drug apart); `"deepcdr"` (Liu et al. 2020: graph convolution of the drug, dense tower of the line;
        small, stopped on validation lines).
    use_rep
        Features of lines for `"grnformer"`, `"ridge"`, `"deepcdr"`: `"X"`, a key of obsm such as `"X_grnformer"`,
        `"regulons"` (signed mean of the targets of each TF of the network `key`) or `"smoothed"` (expression spread along
        its links).
        Several are combined as kernels by `"grnformer"`, and side by side by the others.
    layer
        Layer to use as `"X"`; None is `.X`.
    split
        What is held out together: `"pair"`, `"line"`, `"group"` (of lines), `"drug"`, `"both"` (lines and drugs: the pairs
        of a block, the others are not predicted). Or your folds: a Series or mapping of line to fold, or a table `line`,
        `drug`, `fold`; what it does not name is only trained on.
    n_splits
        Folds.
    groups
        Column of obs for `split="group"`, such as the tissue; with it the final model is chosen on groups too.
    drug_rep
        `"id"` (drugs are names), `"morgan"` (fingerprints, needs the extra `drugs`), or features as array (order of
        `uns["drug_response"]["drugs"]`) or DataFrame by name. Needed for unseen drugs.
    key
        Network for `"regulons"` and `"smoothed"`.
    final
        Also fit to all measured pairs and predict everything.
    key_added
        Base name of the slots, `drug_response_<method>` by default.
    rng
        Seed or Generator: folds and validation parts. Methods with the same seed have the same folds.
    copy
        Return a copy instead of writing to `adata`.

    Returns
    -------
    `None`, or the copy. Sets:

    `adata.obsm[key_added]` : float32 lines x drugs
        Predictions of held-out pairs; NaN for others.
    `adata.obsm[key_added + "_fold"]` : int16 lines x drugs
        Fold in which a pair was held out, -1 for none.
    `adata.obsm[key_added + "_all"]` : float32 lines x drugs
        With `final`: predictions of the model of all measured pairs. In-sample where there is a measured value.
    `adata.uns[key_added]`
        `choices` (training pairs and chosen settings of every fold; the row `final`), `drugs` (names of the columns) and
        `params`.

    Raises
    ------
    KeyError
        Responses, a representation, the network or a column is missing, or folds name unknown lines or drugs.
    ValueError
        Features are missing or all equal, responses are all equal, unseen drugs have no features (`drug_rep="id"`) or no
        structure, a line is in two folds, or there are fewer lines, drugs or groups than folds.
    ImportError
        `"morgan"` or `"deepcdr"` without rdkit.

    See Also
    --------
    grnformer_sc.get.drug_response : predictions as a table.
    grnformer_sc.metrics.drug_response_scores : how good they are.
    grnformer_sc.pl.drug_response : figures.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> lines = grs.datasets.simulate_drug_response(60, n_drugs=20, rng=0)
    >>> grs.pp.drug_response_setup(lines, lines.uns["response"])
    >>> grs.tl.drug_response(lines, split="line")
    >>> scores = grs.metrics.drug_response_scores(grs.get.drug_response(lines), n_draws=0)
    >>> bool(scores.loc["within_drug", "value"] > 0.5)
    True
    """
    need_one_of(method, get_args(Method), name="method")
    reps, root, slots = names_of(use_rep), as_root(rng), DrugResponseKeys.for_method(method, key_added)
    if slots.base == DRUG_RESPONSE:
        raise fail(
            ValueError,
            f"key_added must not be {DRUG_RESPONSE!r}.",
            "the name of the measured responses.",
            "choose another.",
        )
    adata = adata.copy() if copy else adata
    responses = responses_of(adata)
    with step(logger, f"drug_response ({method})") as facts, threadpool_limits(1):
        folds = make_folds(adata, responses, split, groups=groups, n_splits=n_splits, rng=generator(root, "folds"))
        _need_drug_features(method, folds.kind, drug_rep)
        run = _predictor(adata, responses, folds, Asked(method, reps, layer, key, drug_rep), root)
        held_out, choices = _cross_validate(run, responses, folds, root)
        out = Results(stale=[("obsm", slots.final)])
        if final:
            whole, chosen = run(responses.known, generator(root, "final"), True)  # noqa: FBT003
            out.obsm[slots.final] = whole.astype(np.float32)
            last = pd.DataFrame({"n_pairs": int(responses.known.sum()), **chosen}, index=["final"])
            choices = pd.concat([choices, last])
        n_judged, n_folds = int((folds.fold >= 0).sum()), int(folds.fold.max()) + 1
        facts.append(f"{n_judged} of {int(responses.known.sum())} pairs held out in {n_folds} folds ({folds.name})")
    out.obsm[slots.held_out], out.obsm[slots.fold] = held_out.astype(np.float32), folds.fold.astype(np.int16)
    options = {
        "method": method, "use_rep": reps if method in WITH_FEATURES else [], "split": folds.name, "kind": folds.kind,
        "n_splits": n_folds, "groups": groups, "drug_rep": drug_rep if isinstance(drug_rep, str) else "given",
        "final": final, "rng_root": f"{root:032x}",
    }  # fmt: skip
    inputs = {"response": DRUG_RESPONSE, "X": layer or "X"}
    if set(reps) & set(NETWORK_REPS) and method in WITH_FEATURES:
        inputs["network"] = key
    dropped = {"pairs not held out": int(responses.known.sum()) - n_judged}
    out.uns[slots.uns] = {
        "choices": choices.astype(float), "drugs": responses.names.to_numpy(dtype=object),
        "params": recipe("drug_response", options, inputs=inputs, dropped=dropped),
    }  # fmt: skip
    out.write(adata)
    return adata if copy else None


def _need_drug_features(method: str, kind: Split, rep: DrugRep) -> None:
    if kind in ("drug", "both") and method in PER_DRUG and isinstance(rep, str) and rep == "id":
        raise fail(
            ValueError, f"method={method!r} needs features of drugs to predict drugs that were never seen.",
            "drug_rep='id': drugs are names.", "pass drug_rep='morgan' with structures, or an array of drug features.",
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user asked for: method, representations of lines and drugs."""

    method: str
    reps: list[str]
    layer: str | None
    key: str
    drug_rep: DrugRep


def _predictor(adata: AnnData, responses: Responses, folds: Folds, asked: Asked, root: int) -> Predictor:
    method, reps = asked.method, asked.reps
    features = features_of(adata, reps, asked.key, asked.layer) if method in WITH_FEATURES else []
    if method == "deepcdr":
        return _deepcdr(np.concatenate(features, axis=1), responses, folds, root)
    kernels = tuple(gaussian(x) for x in features) if method == "grnformer" else ()
    similar = Similarity(kernels, drug_kernel(responses, asked.drug_rep) if method == "grnformer" else None)
    raw = [linear(np.concatenate(features, axis=1))] if method == "ridge" else []
    inner = predictor(method, responses.values, similar, split=folds.kind, groups=folds.groups, raw=raw)

    def run(
        known: Bool[np.ndarray, "lines drugs"],
        rng: np.random.Generator,
        final: bool,  # noqa: FBT001
    ) -> tuple[np.ndarray, dict[str, object]]:
        found, chosen = inner(known, rng, final)
        named = {
            f"weight {reps[int(name.split('_')[1])]}": chosen.pop(name) for name in list(chosen) if "weight_" in name
        }
        return found, {**chosen, **named}

    return run


def _deepcdr(features: np.ndarray, responses: Responses, folds: Folds, root: int) -> Predictor:
    from ..nn.deepcdr import DeepCDRSettings, Graphs, fit_predict

    settings, graphs = DeepCDRSettings(), Graphs.of(*drug_graphs(structures_of(responses)))

    def run(
        known: Bool[np.ndarray, "lines drugs"],
        rng: np.random.Generator,
        final: bool,  # noqa: FBT001
    ) -> tuple[np.ndarray, dict[str, object]]:
        kind: Split = "line" if folds.kind == "both" else folds.kind
        number = round(1 / settings.held)
        if kind == "group" and len(np.unique(np.asarray(folds.groups)[known.any(axis=1)])) < number:
            kind = "line"
        held = folds_of(kind, known, n_splits=number, groups=folds.groups, rng=rng) == 0
        seen = np.where(known, responses.values, np.nan)  # nothing else can be read
        seed = seed_for(root, "deepcdr", str(rng.integers(2**62)), str(final))
        found, said = fit_predict(seen, known, features, graphs, held, settings=settings, seed=seed)
        return found, dict(said)

    return run


def _cross_validate(
    run: Callable[..., tuple[np.ndarray, dict[str, object]]], responses: Responses, folds: Folds, root: int
) -> tuple[np.ndarray, pd.DataFrame]:
    """Predictions of every pair by the model that has not seen it, and what was chosen."""
    out = np.full(responses.values.shape, np.nan)
    rows: dict[str, dict[str, object]] = {}
    numbers = range(int(folds.fold.max()) + 1)
    for number in progress(numbers, title="folds", total=len(numbers)):
        test = folds.fold == number
        train = training_pairs(folds.kind if folds.name != "given" else "pair", responses.known, test)
        if not train.any() or float(np.ptp(responses.values[train])) == 0:
            raise fail(
                ValueError, f"fold {number} must leave responses that differ to train on.", f"{int(train.sum())} pairs.",
                "make smaller folds.",
            )  # fmt: skip
        found, chosen = run(train, generator(root, "fold", str(number)), False)  # noqa: FBT003
        out[test] = found[test]
        rows[str(number)] = {"n_pairs": int(train.sum()), **chosen}
        if chosen:
            said = listing(
                [f"{name} {value:g}" for name, value in chosen.items() if isinstance(value, (int, float))], 20
            )
            logger.info("drug_response: fold %d: %s", number, said)
    return out, pd.DataFrame.from_dict(rows, orient="index")
