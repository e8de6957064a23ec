"""Networks that take the place of the real one: with the same degrees, or the planted one. All score the same cells."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
from mudata import MuData

import grnformer_sc as grs
from grnformer_sc._core.tables import edge_table, eregulon_name
from grnformer_sc.bench._controls import sorted_edges

LABEL, STAND_IN = "cell_type", "network_of"
ENDS = {"gene": ["gene"], "eregulon": ["eregulon", "tf", "sign", "region_sign"]}


def exchanged(edges: pd.DataFrame, moved: str, seed: int) -> pd.DataFrame:
    """Exchange one end (`"gene"` or `"eregulon"`) between the pairs of an edge table, in the order of its rows.

    Each eRegulon keeps its number of genes and each gene its number of eRegulons. Regions stay with the end that does not
    move: with their eRegulon when genes move, with their gene when eRegulons move.
    """
    fixed = "gene" if moved == "eregulon" else "eregulon"
    pairs = edges[["eregulon", "gene"]].astype(str)
    unique = pairs.drop_duplicates(ignore_index=True)
    other = grs.metrics.rewired_links(unique, source=fixed, target=moved, rng=seed)
    new = pd.Series(other[moved].to_numpy(), index=pd.MultiIndex.from_frame(unique)).loc[
        pd.MultiIndex.from_frame(pairs)
    ]
    facts = edges[ENDS[moved]].astype({moved: str}).drop_duplicates(moved).set_index(moved, drop=False)
    columns = {name: facts.loc[new, name].to_numpy() for name in ENDS[moved]}
    return edges.assign(**columns)


def random_targets(train: MuData, test: MuData, seed: int) -> None:
    """Other targets; regions, switches and what each type keeps stay: only the wiring is random."""
    uns = train["rna"].uns["grn"]
    edges, order = sorted_edges(exchanged(uns["edges"], "gene", seed))
    new = {**uns, "edges": edges, "edge_groups": uns["edge_groups"].tocsr()[order]}
    train["rna"].uns["grn"] = test["rna"].uns["grn"] = new


def random_network(train: MuData, test: MuData, seed: int) -> None:
    """Other targets with the regions of these: a network of chance, scored and cut as the real one was."""
    score_anew(train, test, exchanged(train["rna"].uns["grn"]["edges"], "eregulon", seed))


def planted(train: MuData, test: MuData, seed: int) -> None:
    """The true links of the simulation: what a faultless network would give."""
    score_anew(train, test, true_links(train["rna"].uns["truth"]))


def random_planted(train: MuData, test: MuData, seed: int) -> None:
    """Other targets, with their regions, for the regulators of the true links."""
    score_anew(train, test, exchanged(true_links(train["rna"].uns["truth"]), "eregulon", seed))


def true_links(truth: pd.DataFrame) -> pd.DataFrame:
    """Edge table of the planted links."""
    links = truth.drop(columns="logic").assign(region_sign=1, tf_gene_importance=1.0, evidence="prior")
    names = [eregulon_name(tf, sign, 1) for tf, sign in zip(links["tf"], links["sign"], strict=True)]
    return edge_table(links.assign(eregulon=names))


def score_anew(train: MuData, test: MuData, links: pd.DataFrame) -> None:
    """Thresholds, types and bits of other links from the training cells; held-out cells by the frozen result."""
    grs.tl.cell_grn(train, net=links, thresholds="fit", groupby=LABEL)
    score_held_out(train, test)


def score_held_out(train: MuData, test: MuData) -> None:
    """Score held-out cells by the frozen result. Types that the network lacks stand in as its first.

    Such cells are measured without their label (`unlabelled`), so the stand-in says nothing.
    """
    known = train["rna"].obs["grn_group"].cat.categories
    for cells in test.mod.values():
        label = cells.obs[LABEL].astype(str)
        cells.obs[STAND_IN] = label.where(label.isin(known), known[0])
    grs.tl.cell_grn(test, net=train, groupby=STAND_IN)


CHANGES: dict[str, Callable[[MuData, MuData, int], None]] = {
    "real": lambda train, test, seed: None,
    "random targets": random_targets,
    "random": random_network,
    "planted": planted,
    "random planted": random_planted,
}
