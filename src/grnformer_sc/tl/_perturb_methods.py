"""How each method of `tl.perturb` is made from control cells and a network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from jaxtyping import Int

from .._core.keys import GrnKeys, ModelKeys
from .._core.perturbations import genes_in
from .._core.rng import generator
from ..get._read import network_of
from ..grn.network import Network
from ..grn.perturbation.bilinear import Similarity, linear_baseline, similarity
from ..grn.perturbation.blend import Ingredients
from ..grn.perturbation.features import by_network, rows_of, same_gene
from ..grn.perturbation.predict import Outcome, by_blend, by_rule
from ..grn.perturbation.propagation import Carrier, carrier, no_links
from ..grn.perturbation.shifts import BASELINES, Shifts, Wanted
from ..grn.wiring import wiring_of
from ._expression import Expression

if TYPE_CHECKING:
    from anndata import AnnData

Method: TypeAlias = Literal["grnformer", "grn_linear", "additive", "mean", "no_change", "ridge", "matching_mean"]
METHODS = ("grnformer", "grn_linear", *BASELINES, "ridge")
USE_NETWORK = ("grnformer", "grn_linear")
MOST_CONTROLS = 3000  # control cells in which co-expression is measured
ITSELF, LINKS, NETWORK = "perturbed gene", "links", "network"


@dataclass(frozen=True, slots=True)
class Background:
    """What is known without any perturbed cell.

    Attributes
    ----------
    expression
        The cells.
    control, context
        Places of control cells, and the context of each.
    n_contexts
        Number of contexts.
    names, place
        Perturbed genes, and their places among the genes of `expression` (-1: not measured).
    network
        The stored network, if one is used.
    model
        Gene embedding of a model that was fitted with this network (rows as `expression.genes`), if there is one.
    level, n_steps
        Where perturbed genes are held, and how many links a change travels.
    root
        Of all draws.
    """

    expression: Expression
    control: Int[np.ndarray, " controls"]
    context: Int[np.ndarray, " controls"]
    n_contexts: int
    names: list[str]
    place: Int[np.ndarray, " perturbed"]
    network: Network | None
    model: np.ndarray | None
    level: float
    n_steps: int
    root: int


def network_and_model(
    adata: AnnData, method: str, key: str | None, model_key: str | None, by_name: np.ndarray
) -> tuple[Network | None, np.ndarray | None]:
    """The network, and the gene embedding of a model that was fitted with it; nothing where a method uses none."""
    if method not in USE_NETWORK:
        return None, None
    if key is None:
        return None, None
    network = network_of(adata, key)
    slots = ModelKeys(model_key) if model_key is not None else None
    if slots is None or slots.uns not in adata.uns or slots.genes not in adata.varm:
        return network, None
    fitted_with = str(adata.uns[slots.uns].get("params", {}).get("inputs", {}).get("network", ""))
    if fitted_with != GrnKeys(key).uns:
        return network, None
    return network, np.asarray(adata.varm[slots.genes], dtype=np.float64)[by_name]


def solver(method: str, background: Background) -> Any:
    """Function of training conditions and wanted ones that gives an `Outcome`."""
    if method in BASELINES:
        return partial(_ruled, BASELINES[method], background.root)
    if method == "ridge":
        names = {name: i for i, name in enumerate(background.names)}
        return partial(_ruled, partial(linear_baseline, names=names, place=background.place), background.root)
    if method == "grn_linear":
        carried = _carrier(background, background.network)
        return partial(_ruled, partial(_untrained, carried), background.root)
    return partial(_blended, _ingredients(background), background.root)


def _ruled(rule: Any, root: int, train: Shifts, wanted: Wanted) -> Outcome:
    return by_rule(rule, train, wanted, root)


def _blended(ingredients: Ingredients, root: int, train: Shifts, wanted: Wanted) -> Outcome:
    return by_blend(ingredients, train, wanted, root)


def _untrained(carried: Carrier, train: Shifts, wanted: Wanted) -> np.ndarray:
    return carried(wanted)


def _carrier(background: Background, network: Network | None) -> Carrier:
    genes, n = background.expression.genes, background.n_contexts
    cells = background.expression.cells(background.control, background.context, n)
    wiring = no_links(genes.size, n) if network is None else wiring_of(network, genes)
    place = {name: int(at) for name, at in zip(background.names, background.place, strict=True) if at >= 0}
    return carrier(cells, wiring, place, level=background.level, n_steps=background.n_steps)


def _ingredients(background: Background) -> Ingredients:
    names, network = background.names, background.network
    same, together = same_gene(names), _coexpression(background)
    genes = {"same gene": same, "co-expression": together, "same gene + co-expression": same + together}
    patterns: dict[str, Any] = {ITSELF: _carrier(background, None)}
    if network is None:
        return Ingredients(genes, patterns, frozenset())
    linked = by_network(names, network.edges, background.expression.genes)
    if background.model is not None:
        linked = linked + rows_of(names, background.place, background.model)
    known = {
        NETWORK: linked, f"same gene + {NETWORK}": same + linked,
        f"same gene + co-expression + {NETWORK}": same + together + linked,
    }  # fmt: skip
    patterns[LINKS] = _carrier(background, network)
    return Ingredients({**genes, **known}, patterns, frozenset({*known, LINKS}))


def _coexpression(background: Background) -> Similarity:
    """Correlation of the perturbed genes in control cells, 0 where one is not measured or constant."""
    cells = background.control
    if cells.size > MOST_CONTROLS:
        draw = generator(background.root, "co-expression").permutation(cells.size)[:MOST_CONTROLS]
        cells = cells[np.sort(draw)]
    values = np.zeros((len(background.names), cells.size))
    known = background.place >= 0
    values[known] = background.expression.take(cells)[:, background.place[known]].toarray().T
    return similarity(background.names, values - values.mean(axis=1, keepdims=True))


def perturbed_genes(tables: list[pd.Series]) -> list[str]:
    """Sorted genes of canonical labels."""
    return sorted({gene for table in tables for name in table for gene in genes_in(name)})
