"""All figures of one network: known links, held-out prediction, knock-outs, stability, each beside its nulls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from .._core.rng import generator
from .._core.tables import link_scores
from ._knockouts import knockout_activity, knockout_shift
from ._links import link_recovery
from ._nulls import against_nulls
from ._prediction import held_out_prediction

RECOVERED = ("aupr", "aupr_ratio", "early_precision", "early_precision_ratio", "f01", "precision", "recall")
PREDICTED = ("precision", "recall", "f01", "rho", "r2")
PREDICTIONS = {"gene ~ TF": ("tf", "gene"), "gene ~ region": ("region", "gene"), "region ~ TF": ("tf", "region")}

Measure = Callable[[pd.DataFrame], pd.Series]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Cells that networks are judged on, normalised, with what else is known: true links, and the knock-out of each cell."""

    expression: Any
    genes: pd.Index
    accessibility: Any = None
    regions: pd.Index | None = None
    truth: pd.DataFrame | None = None
    knockout: np.ndarray | None = None
    control: str = "control"

    def matrix(self, kind: str) -> tuple[Any, pd.Index | None]:
        """Values and names of TFs, genes or regions."""
        return (self.accessibility, self.regions) if kind == "region" else (self.expression, self.genes)


def network_figures(edges: pd.DataFrame, judged: Judged, *, n_nulls: int, root: int) -> pd.DataFrame:
    """One row per task and figure: `value`, and mean, low and high of every kind of null (NaN where there is none)."""
    parts = [_sizes(edges)]
    if judged.truth is not None:
        links = best_links(edges, "tf", "gene")
        measure = partial(_recovery, truth=judged.truth, genes=judged.genes)
        parts.append(_beside_nulls("known links", links, measure, judged, ("tf", "gene"), n_nulls, root))
    for task, (source, target) in PREDICTIONS.items():
        links = best_links(edges, source, target)
        x, names = judged.matrix(source)
        y, target_names = judged.matrix(target)
        if names is None or target_names is None or not len(links):
            continue
        usable = links[source].isin(names) & links[target].isin(target_names) & (links[source] != links[target])
        if not usable.any():
            continue
        measure = partial(
            _prediction, sources=x, source_names=names, targets=y, target_names=target_names, source=source,
            target=target, root=root,
        )  # fmt: skip
        parts.append(_beside_nulls(task, links, measure, judged, (source, target), n_nulls, root))
    if judged.knockout is not None:
        parts.append(_knockouts(edges, judged, judged.knockout, root))
    if edges["frequency"].notna().any():
        parts.append(_table("stability", {"frequency": float(edges["frequency"].mean())}))
    return pd.concat(parts, ignore_index=True)


def best_links(edges: pd.DataFrame, source: str, target: str) -> pd.DataFrame:
    """Distinct links of two kinds of names with their best score and its sign."""
    names = edges[[source, target, "sign"]].astype({source: str, target: str}).assign(score=link_scores(edges))
    names = names[(names[source] != "") & (names[target] != "")]
    ranked = names.sort_values(["score", source, target], ascending=[False, True, True], kind="stable")
    return ranked.drop_duplicates([source, target]).reset_index(drop=True)


def _table(task: str, figures: dict[str, float]) -> pd.DataFrame:
    return pd.DataFrame({"task": task, "figure": list(figures), "value": list(figures.values())})


def _sizes(edges: pd.DataFrame) -> pd.DataFrame:
    names = edges[["tf", "region", "gene"]].astype(str)
    figures = {f"n_{name}s": float(names.loc[names[name] != "", name].nunique()) for name in names}
    return _table(
        "size", {"n_edges": float(len(edges)), "n_links": float(len(names.drop_duplicates(["tf", "gene"])))} | figures
    )


def _recovery(links: pd.DataFrame, *, truth: pd.DataFrame, genes: pd.Index) -> pd.Series:
    """Figures on the TFs of the truth and all measured genes: the same possible links for every network."""
    tfs = truth["tf"].unique()
    own = links[links["tf"].isin(tfs) & links["gene"].isin(genes) & (links["tf"] != links["gene"])]
    found = link_recovery(own, truth, universe=tfs.size * (genes.size - 1))
    return found[[*RECOVERED, *(["signed_recall"] if "signed_recall" in found else [])]]


def _prediction(links: pd.DataFrame, *, root: int, **given: Any) -> pd.Series:
    figures, _ = held_out_prediction(links, rng=generator(root, "split"), **given)
    return figures[list(PREDICTED)]


def _beside_nulls(
    task: str, links: pd.DataFrame, measure: Measure, judged: Judged, ends: tuple[str, str], n_nulls: int, root: int
) -> pd.DataFrame:
    source, target = ends
    values, names = judged.matrix(target)
    if not n_nulls or names is None:
        return measure(links).rename("value").rename_axis("figure").reset_index().assign(task=task)
    level = pd.Series(np.asarray(values.mean(axis=0)).ravel(), index=names)
    known = links[links[target].isin(names)]
    rng = generator(root, "nulls", task)
    found = against_nulls(measure, known, expression=level, source=source, target=target, n_nulls=n_nulls, rng=rng)
    return found.rename_axis("figure").reset_index().assign(task=task)


def _knockouts(edges: pd.DataFrame, judged: Judged, label: np.ndarray, root: int) -> pd.DataFrame:
    """Means over the knocked-out TFs with links; their own nulls are genes of like expression."""
    links = best_links(edges, "tf", "gene").assign(weight=lambda t: t["score"] * t["sign"])
    given = {
        "expression": judged.expression, "genes": judged.genes, "knockout": label, "control": judged.control,
    }  # fmt: skip
    if not _knocked_out(links, judged.genes, label, least=1):
        return _table("knock-outs", {"n_knockouts": 0.0})
    shift = knockout_shift(links, **given, rng=generator(root, "shift"))
    figures = {
        "n_knockouts": float(len(shift)),
        "shift_place": shift["place"].mean(),
        "shift_recall": shift["recall"].mean(),
    }
    table = _table("knock-outs", figures)
    table.loc[table["figure"] == "shift_place", "expression_mean"] = 0.5
    table.loc[table["figure"] == "shift_recall", "expression_mean"] = shift["recall_random"].mean()
    if not _knocked_out(links, judged.genes, label, least=5):
        return table
    fall = knockout_activity(links, **given, rng=generator(root, "activity"))
    fallen = _table("knock-outs", {"activity_place": fall["place"].mean(), "activity_z": fall["z"].mean()})
    return pd.concat([table, fallen.assign(expression_mean=[0.5, 0.0])], ignore_index=True)


def _knocked_out(links: pd.DataFrame, genes: pd.Index, label: np.ndarray, *, least: int) -> bool:
    """Whether a knocked-out gene has so many measured targets in the network."""
    own = links[links["tf"].isin(np.unique(label)) & links["gene"].isin(genes)]
    own = own[own["tf"] != own["gene"]]
    return bool((own.groupby("tf").size() >= least).any())
