"""`tl.perturb`: what perturbations that were not trained on change."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from .._core.checks import fail, listing, need_between, need_one_of
from .._core.conditions import Conditions
from .._core.inputs import table_of
from .._core.keys import PREDICTED, SPLIT
from .._core.logging import step
from .._core.params import recipe
from .._core.perturbations import genes_in
from .._core.rng import RngLike, as_root
from ..grn.perturbation.features import in_network
from ..grn.perturbation.predict import Choice, Outcome
from ..grn.perturbation.shifts import Wanted, mean_shift
from ._expression import Expression, open_expression
from ._perturb_methods import METHODS, USE_NETWORK, Background, Method, network_and_model, perturbed_genes, solver
from ._screen import Screen, parts_of, wanted_conditions

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

MOST_STEPS = 20


def perturb(
    adata: AnnData,
    *,
    method: Method = "grnformer",
    perturbations: str | Sequence[str] | None = None,
    key: str | None = "grn",
    model_key: str | None = "grnformer",
    split_key: str | None = SPLIT,
    level: float | Literal["max"] = 0.0,
    n_steps: int = 3,
    layer: str | None = None,
    rng: RngLike = 0,
) -> AnnData:
    """Predict the mean change of expression of perturbations, from other perturbations and a network.

    What is predicted is the mean log expression of the cells of a condition minus that of the control cells of the same
    context. Only training conditions are learnt from; with folds each condition is predicted without its fold.

    `"grnformer"` starts from the best trivial baseline and adds, one after the other, a ridge from likeness of the
    perturbed genes, the change of the perturbed gene itself, the same ridge with the network (shared targets and
    regulators, and the gene embedding of a GRNFormer that was fitted with this network), and changes carried along its
    links. Each is taken only when it helps on training conditions that are held out in turn, by more than one standard
    error; penalty, rank and weight are chosen there too. Where nothing helps the baseline is left, and the log and `uns`
    say so.

    Parameters
    ----------
    adata
        Cells after `pp.perturbation_setup`: raw counts, or log-normalised values.
    method
        `"grnformer"` as above. `"grn_linear"`: changes carried along the network by ridge coefficients of control cells
        (CellOracle, Kamimoto et al. 2023, as `tl.simulate_ko`), without learning from perturbations; without a network
        the perturbed gene alone changes. `"no_change"`,
        `"mean"` of the training perturbations, `"matching_mean"` and `"additive"`: mean and sum of the changes of the
        single genes, where these were perturbed alone (else the mean). `"ridge"`: the linear baseline of Ahlmann-Eltze,
        Huber and Anders (2025), 10 components, penalty 0.1.
    perturbations
        What to predict, such as `"KLF1"` or `"CBL+CNN1"`, measured or not, in every context; by default all conditions
        that the split holds out.
    key
        Base name of the network; `None` uses none (the control of what the network adds).
    model_key
        Base name of a fitted model, used when it was fitted with the network `key`; `None` uses none.
    split_key
        Column of obs with the split; `None` trains on all conditions, which needs `perturbations`.
    level
        Log-normalised expression at which a perturbed gene is held: 0 for a knock-out, `"max"` (the highest of any control
        cell) for activation. For `"grn_linear"`, and the parts of `"grnformer"` that follow the gene itself and its links.
    n_steps
        Links that a change travels.
    layer
        Layer with raw counts or log-normalised values; `None` is `.X`.
    rng
        Seed or generator of inner folds and of the sample of control cells.

    Returns
    -------
    New AnnData, one row per predicted condition, genes as in `adata`, float32. It holds

    `X` : array
        Predicted mean log expression.
    `layers["delta"]` : array
        Predicted change against control cells.
    `layers["ci_low"]`, `layers["ci_high"]` : array
        95 % interval of the change, from the errors on held-out training conditions; NaN where fewer than 5 of them.
    `layers["observed"]` : array
        Measured change, NaN where the condition has no cells; never used in the prediction.
    `layers["train_mean"]` : array
        Mean change of the training conditions, a reference for scores.
    `obs`
        `perturbation`, `context`, `split` ("new": not measured), `n_cells`, `seen` (some gene was perturbed in training),
        `measured` (all its genes are), `in_grn` (all its genes are in the network).
    `uns["perturb"]`
        `method`, `choices` (what was taken, by part and by `seen`), `steps` (gain and error of every step tried) and
        `params`.

    Raises
    ------
    KeyError
        `pp.perturbation_setup` or the split is missing, there is no such network or layer, or a gene is unknown (the
        message has the nearest names).
    ValueError
        A condition is in two parts of the split, a context has no control cells, no condition is held out, or values are
        neither counts nor logs.

    See Also
    --------
    grnformer_sc.tl.evaluate_perturbation : how good it is.
    grnformer_sc.get.predicted_change : one condition as a table.
    grnformer_sc.tl.simulate_ko : the change of every group or cell, from the network alone.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> cells = grs.datasets.simulate_perturbations(20, n_genes=60, n_tfs=8, rng=0)
    >>> grs.pp.perturbation_setup(cells)
    >>> grs.pp.split_perturbations(cells, strategy="leave_one_out")
    >>> predicted = grs.tl.perturb(cells, method="mean")
    >>> predicted.shape
    (8, 60)
    """
    need_one_of(method, METHODS, name="method")
    need_between(n_steps, 1, MOST_STEPS, name="n_steps")
    height = np.inf if level == "max" else float(level)
    need_between(height, 0, np.inf, name="level")
    if perturbations is None and split_key is None:
        raise fail(
            ValueError, "what to predict must be said.", "neither perturbations= nor split_key=.",
            "name perturbations, or a split whose held-out conditions are predicted.",
        )  # fmt: skip
    root = as_root(rng)
    found, expression = Conditions.read(adata), open_expression(adata, layer)
    network, model = network_and_model(adata, method, key, model_key, expression.by_name)
    with step(logger, f"perturb ({method})") as facts:
        screen = Screen.read(found, expression, parts_of(adata, found, split_key, needed=perturbations is None))
        linked = [] if network is None else pd.unique(network.edges[["tf", "gene"]].astype(str).to_numpy().ravel())
        wanted = wanted_conditions(screen, perturbations, [*expression.genes, *found.measured.index, *linked])
        names = perturbed_genes([screen.conditions["perturbation"], wanted["perturbation"]])
        control = found.in_control
        background = Background(
            expression, control, _contexts(found, screen, control), len(screen.contexts), names,
            expression.genes.get_indexer(names), network, model, height, n_steps, root,
        )  # fmt: skip
        with threadpool_limits(1):  # the same bits everywhere
            arrays, choices = _predict(screen, wanted, solver(method, background))
        facts.extend(_facts(screen, wanted, choices, method))
    obs = _obs(wanted, arrays.pop("seen"), background)
    if network is not None and not obs["in_grn"].all():
        missing = sorted({g for p in wanted["perturbation"] for g in genes_in(p)} - set(linked))
        logger.warning("perturb: perturbed genes that are not in the network %r: %s", key, listing(missing))
    params = {
        "method": method, "perturbations": perturbations if perturbations is None else list(wanted["perturbation"]),
        "key": key if method in USE_NETWORK else None, "model": model_key if model is not None else None,
        "split_key": split_key, "level": level, "n_steps": n_steps, "rng_root": f"{root:032x}",
    }  # fmt: skip
    record = recipe("perturb", params, inputs={"expression": layer or "X"}, dropped={})
    return _collect(adata, screen, obs, arrays, expression, {"method": method, **_tables(choices), "params": record})


def _contexts(found: Conditions, screen: Screen, control: np.ndarray) -> np.ndarray:
    names = found.table["context"].to_numpy()[found.code[control]]
    return pd.Index(screen.contexts).get_indexer(names).astype(np.int64)


def _predict(
    screen: Screen, wanted: pd.DataFrame, solve: Any
) -> tuple[dict[str, np.ndarray], list[tuple[str, Choice]]]:
    """Predict every part of the wanted conditions from what it may be learnt from."""
    if not len(wanted):
        raise fail(
            ValueError, "some condition must be held out.", "training conditions only.",
            "make a split with grs.pp.split_perturbations, or name perturbations.",
        )  # fmt: skip
    shape = len(wanted), screen.delta.shape[1]
    out: dict[str, np.ndarray] = {name: np.full(shape, np.nan) for name in ("delta", "half", "observed", "train_mean")}
    out["seen"] = np.zeros(len(wanted), dtype=bool)
    choices: list[tuple[str, Choice]] = []
    code = pd.Index(screen.contexts).get_indexer(wanted["context"]).astype(np.int64)
    for train_rows, rows in screen.tasks(wanted):
        genes = tuple(genes_in(name) for name in wanted["perturbation"].iloc[rows])
        train, own = screen.shifts(train_rows), Wanted(genes, code[rows])
        outcome: Outcome = solve(train, own)
        out["delta"][rows], out["half"][rows], out["seen"][rows] = outcome.delta, outcome.half, outcome.seen
        out["train_mean"][rows] = mean_shift(train, own)
        choices += [(str(wanted["split"].iloc[rows[0]]), choice) for choice in outcome.choices]
    place = pd.MultiIndex.from_frame(screen.conditions[["perturbation", "context"]]).get_indexer(
        pd.MultiIndex.from_frame(wanted[["perturbation", "context"]])
    )
    out["observed"][place >= 0] = screen.delta[place[place >= 0]]
    return out, choices


def _facts(screen: Screen, wanted: pd.DataFrame, choices: list[tuple[str, Choice]], method: str) -> list[str]:
    n_parts = wanted["split"].nunique()
    facts = [
        f"{len(wanted)} conditions in {n_parts} {'parts' if n_parts > 1 else 'part'} of {len(screen.conditions)} measured"
    ]
    if method == "grnformer":
        n_net = sum(choice.uses_network for _, choice in choices)
        bases = pd.Series([choice.recipe.base for _, choice in choices]).value_counts()
        plain = sum(not choice.recipe.weight and not choice.recipe.amount for _, choice in choices)
        facts.append("baseline " + ", ".join(f"{name} ({n})" for name, n in bases.items()))
        facts.append(f"{plain} of {len(choices)} choices fall back to it alone, {n_net} use the network")
    return facts


def _obs(wanted: pd.DataFrame, seen: np.ndarray, background: Background) -> pd.DataFrame:
    place = dict(zip(background.names, background.place, strict=True))
    edges = None if background.network is None else background.network.edges
    linked = dict.fromkeys(background.names, False)
    if edges is not None:
        linked = dict(zip(background.names, in_network(background.names, edges).tolist(), strict=True))
    genes = [genes_in(name) for name in wanted["perturbation"]]
    table = wanted[["perturbation", "context", "split", "n_cells"]].assign(
        seen=seen,
        measured=[all(place[gene] >= 0 for gene in group) for group in genes],
        in_grn=[all(linked[gene] for gene in group) for group in genes],
    )
    several = len(set(table["context"])) > 1
    names = table["perturbation"] + (" in " + table["context"] if several else "")
    return table.astype(dict.fromkeys(("perturbation", "context", "split"), "category")).set_index(pd.Index(names))


def _tables(choices: list[tuple[str, Choice]]) -> dict[str, pd.DataFrame]:
    """What was chosen, and every step that was tried."""
    taken = [
        {
            "split": part, "seen": c.seen, "base": c.recipe.base, "genes": c.recipe.genes, "penalty": c.recipe.penalty,
            "rank": c.recipe.rank, "weight": c.recipe.weight, "pattern": c.recipe.pattern, "amount": c.recipe.amount,
            "n_judged": c.n_judged, "uses_network": c.uses_network,
        }
        for part, c in choices
    ]  # fmt: skip
    tried = [
        {"split": part, "seen": c.seen, "step": s.name, "gain": s.gain, "error": s.error, "taken": s.taken}
        for part, c in choices
        for s in c.steps
    ]
    tables = {"choices": pd.DataFrame(taken), "steps": pd.DataFrame(tried)}
    return {name: table.set_index(table.index.astype(str)) for name, table in tables.items() if len(table)}


def _collect(
    adata: AnnData, screen: Screen, obs: pd.DataFrame, arrays: dict[str, np.ndarray], expression: Expression,
    told: dict[str, Any],
) -> AnnData:  # fmt: skip
    """Genes back in the order of the user."""
    from anndata import AnnData

    back = np.argsort(expression.by_name)
    code = pd.Index(screen.contexts).get_indexer(obs["context"].astype(str))
    delta, half = arrays["delta"], arrays["half"]
    var = pd.DataFrame(index=table_of(adata.var).index.copy())
    out = AnnData((screen.control[code] + delta)[:, back].astype(np.float32), obs=obs, var=var)
    layers = {
        "delta": delta, "ci_low": delta - half, "ci_high": delta + half, "observed": arrays["observed"],
        "train_mean": arrays["train_mean"],
    }  # fmt: skip
    for name, values in layers.items():
        out.layers[name] = values[:, back].astype(np.float32)
    out.uns[PREDICTED] = told
    return out
