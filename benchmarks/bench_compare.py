"""Every method of `build_grn` on the same cells: cost, known links, held-out prediction, stability, likeness.

Simulated cells have RNA, ATAC, motif hits and planted links. Of the mouse cortex (SNARE-seq, small set; hits of
promoters) no links are known. Of the human stem cells (knock-outs of 23 genes on four days, RNA of 103 genes) half of
the cells make the truth (genes that move in the cells of a knock-out, `truth.knockout_targets`), 2,500 others the
networks; methods that need a prior get the pairs of CollecTRI and DoRothEA. A method is told what it asks for: RENGE and
LPM who lacks what, which is what the truth is about, FLeCS the day, RiTINI also the place along the first component
within the day, all others nothing of it. RiTINI reads the 40 genes that vary most. Of the two slowest Dictys (minutes a
call) and GENIE3 (1,000 deep trees for every gene) stand on the simulated and the stem cells only, and GENIE3 is run once, so
has no stability. Foundation models have random weights: a control, never a result.

Columns: CPU seconds and memory of one call in a process of its own; links; AUPRC and early precision over chance; Spearman
correlation of held-out prediction gene ~ TF and its mean over networks with the same degrees; stability, the Jaccard index
of the 500 best links of two random 80 % of the cells; overlap, the mean of that index with the other methods' links.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from race import run
from truth import dense, folder, knockout_targets

FIGURE = Path(__file__).parents[1] / "docs" / "_static" / "compare.svg"
SHARE, SEED, N_CELLS, BEST = 0.8, 0, 2500, 500
COLUMNS = ("aupr_ratio", "early_precision_ratio", "rho", "rho_null")


@dataclass(frozen=True, slots=True)
class Case:
    """Cells, what all methods are told, the known links."""

    data: Any
    told: Mapping[str, Any]
    truth: pd.DataFrame | None = None
    prior: pd.DataFrame | None = None
    motifs: Any = None


@dataclass(frozen=True, slots=True)
class Contender:
    """A method, its options, what evidence it takes, whether it is told the groups, whether parts of the cells are run."""

    method: str
    options: dict[str, Any] = field(default_factory=dict)
    prior: bool = False
    motifs: bool = False
    grouped: bool = True
    parts: bool = True


PLAIN = [Contender(name) for name in ("grnboost2", "ridge", "correlation", "partial_correlation", "pcnet")]
WITH_MOTIFS = [
    Contender("eregulon", motifs=True), Contender("celloracle", motifs=True), Contender("linger", motifs=True),
]  # fmt: skip
GENIE3 = Contender("genie3", parts=False)
WITH_PRIOR = [Contender(name, prior=True) for name in ("celloracle", "linger")]
RENGE = {"n_folds": 3, "n_bootstrap": 0, "l1_ratio": 1e-5, "n_hops": 4}
RITINI = {"time_key": "place", "n_genes": 40, "epochs": 100, "batch_size": 16, "lr": 0.004, "min_surprise": 5}
TIMED = {"time_key": "day"}
LABELLED = {"perturbation_key": "knockout"}
FOUNDATIONS = ("genecompass", "geneformer", "scgenept", "scgpt", "scprint")
CONTENDERS = {
    "simulated": [*WITH_MOTIFS, Contender("dictys", motifs=True), *PLAIN, GENIE3],
    "simulated, random weights": [Contender("correlation"), *(Contender(n, {"max_cells": 200}) for n in FOUNDATIONS)],
    "cortex": [*WITH_MOTIFS, *PLAIN],
    "stem cells": [
        Contender("eregulon"), *PLAIN, GENIE3, *WITH_PRIOR, Contender("dictys", prior=True),
        Contender("renge", {**LABELLED, **TIMED, **RENGE}, grouped=False),
        Contender("lpm", LABELLED, grouped=False), Contender("ritini", RITINI, grouped=False),
        Contender("flecs", {**TIMED, "network": "grn_correlation"}, grouped=False),
    ],
}  # fmt: skip


def simulated() -> Case:
    import grnformer_sc as grs

    mdata = grs.datasets.simulate_multiome(1500, n_genes=300, n_tfs=30, n_types=3, rng=31)
    truth = mdata["rna"].uns["truth"].astype({"tf": str, "gene": str})
    tfs = mdata["rna"].var_names[mdata["rna"].var["is_tf"]].tolist()
    return Case(mdata, {"groupby": "cell_type", "tfs": tfs}, truth)


def cortex() -> Case:
    from bench_rates import promoter_hits

    import grnformer_sc as grs

    mdata = grs.datasets.snare_cortex(subset="small")
    hits = promoter_hits(mdata["atac"].var_names)
    tfs = hits.columns[hits.columns.isin(mdata["rna"].var_names)].tolist()
    return Case(mdata, {"groupby": "cell_type", "tfs": tfs}, motifs=hits)


def stem_cells() -> Case:
    import anndata as ad

    from grnformer_sc.grn.embedding import log_normalise

    data = ad.read_h5ad(folder() / "hipsc_crispr" / "hipsc_crispr.h5ad")
    half = np.random.default_rng(SEED).random(data.n_obs) < 0.5
    other = data[~half]
    label = other.obs["knockout"].astype(str).to_numpy()
    x = dense(log_normalise(other.X.tocsr()))
    truth = knockout_targets(x, pd.Index(data.var_names), label, other.obs["day"].astype(str).to_numpy())
    tables = [pd.read_csv(folder() / "networks" / f"{name}.csv.gz") for name in ("collectri_human", "dorothea_hs")]
    pairs = pd.concat([table.iloc[:, :2].set_axis(["tf", "gene"], axis=1) for table in map(_named, tables)])
    cells = data[np.sort(np.random.default_rng(SEED).permutation(np.flatnonzero(half))[:N_CELLS])].copy()
    cells.obs["place"] = place_of(cells)
    return Case(cells, {"tfs": data.var_names.tolist()}, truth, prior=pairs.drop_duplicates())


def place_of(cells: Any) -> np.ndarray:
    """Day, and between 0 and 1 the rank along the first component among the cells of the day, in the sense of the days."""
    from grnformer_sc.grn.embedding import pca_scores

    day = cells.obs["day"].astype(float).to_numpy()
    first = pca_scores(cells.X.tocsr())[0][:, 0]
    first = first * np.sign(np.corrcoef(first, day)[0, 1])
    rank = pd.Series(first).groupby(day).rank(method="first", pct=True)
    return day + rank.to_numpy()


def _named(table: pd.DataFrame) -> pd.DataFrame:
    return table[["source", "target"] if "source" in table else ["tf", "target"]]


CASES: dict[str, Callable[[], Case]] = {
    "simulated": simulated, "simulated, random weights": simulated, "cortex": cortex, "stem cells": stem_cells,
}  # fmt: skip


def random_weights(method: str, genes: pd.Index) -> Any:
    """A model of these genes that has learned nothing."""
    from grnformer_sc.model.foundation_files import FOUNDATIONS as KNOWN

    rates = dict.fromkeys(genes, 1.0) if method in ("geneformer", "genecompass") else list(genes)
    return KNOWN[method].untrained(rates)


def part_of(data: Any, rows: np.ndarray) -> Any:
    """Some cells."""
    if not hasattr(data, "mod"):
        return data[rows].copy()
    return tuple(data[name][rows].copy() for name in ("rna", "atac"))


def network(name: str, contender: Contender, number: int | None = None) -> Callable[[], pd.DataFrame]:
    """Edge table of one method, of all cells or of a random part of them."""
    import grnformer_sc as grs

    case, method = CASES[name](), contender.method
    data = case.data
    if number is not None:
        n = data.n_obs
        data = part_of(data, np.sort(np.random.default_rng(number).permutation(n)[: round(SHARE * n)]))
    rna = data[0] if isinstance(data, tuple) else data["rna"] if hasattr(data, "mod") else data
    told, options = dict(case.told), dict(contender.options)
    if not contender.grouped:
        told.pop("groupby", None)
    if contender.prior:
        told["prior"] = case.prior
    if contender.motifs and case.motifs is not None:
        told["motifs"] = case.motifs
    if method in FOUNDATIONS:
        options["checkpoint"] = random_weights(method, rna.var_names)
    if method == "flecs":
        grs.tl.build_grn(rna, method="correlation", tfs=told["tfs"], n_jobs=1)
    given = {"options": options} if options else {}
    given_to = rna if method in ("renge", "lpm", "flecs", "ritini", "pcnet", *FOUNDATIONS) else data

    def call() -> pd.DataFrame:
        grs.tl.build_grn(given_to, method=method, n_jobs=1, key_added="made", rng=SEED, **told, **given)
        return rna.uns["made"]["edges"]

    return call


def links_of(edges: pd.DataFrame) -> pd.Series:
    """Best score of every TF-gene pair, the largest first."""
    own = edges.astype({"tf": str, "gene": str})
    own = own[own["tf"] != own["gene"]]
    return own.groupby(["tf", "gene"])["score"].max().sort_values(ascending=False, kind="stable")


def jaccard(one: pd.Series, other: pd.Series) -> float:
    """Of equally many best pairs, at most `BEST`."""
    n = min(one.size, other.size, BEST)
    a, b = set(one.index[:n]), set(other.index[:n])
    return len(a & b) / len(a | b)


@pytest.mark.parametrize("name", list(CASES))
def bench_methods(record: Callable[..., None], name: str) -> None:
    if not name.startswith("simulated") and not os.environ.get("GRS_DATA_DIR"):
        pytest.skip("GRS_DATA_DIR is not set")
    import grnformer_sc as grs

    tables, rows = {}, {}
    for contender in CONTENDERS[name]:
        lap = run(network, name, contender, repeats=1)
        tables[contender.method] = lap.result
        numbers = (1, 2) if contender.parts else ()
        parts = [links_of(run(network, name, contender, number=k, repeats=1).result) for k in numbers]
        rows[contender.method] = {**lap.row(), **({"stability": jaccard(*parts)} if parts else {})}
    case = CASES[name]()
    rna = case.data["rna"] if hasattr(case.data, "mod") else case.data
    if "random" not in name:
        grs.tl.consensus_grn(case.data, tables, min_networks=2, groupby=case.told.get("groupby"), n_jobs=1)
        tables["consensus"], rows["consensus"] = rna.uns["grn_consensus"]["edges"], {}
    grs.tl.compare_grns(rna, tables, truth=case.truth, n_nulls=5)
    figures = grs.get.comparison(rna)
    links = {method: links_of(table) for method, table in tables.items()}
    alike = {pair: jaccard(links[pair[0]], links[pair[1]]) for pair in combinations(links, 2)}
    for method, row in rows.items():
        mine = figures[figures["network"] == method].set_index(["task", "figure"])
        found = {"n_links": links[method].size}
        if case.truth is not None:
            found |= {figure: float(mine.loc[("known links", figure), "value"]) for figure in COLUMNS[:2]}
        held = mine.loc[("gene ~ TF", "rho")]
        found |= {"rho": float(held["value"]), "rho_null": float(held["degree_mean"])}
        found["overlap"] = float(np.mean([value for pair, value in alike.items() if method in pair]))
        record(name, method, **row, **found)


def bench_figure() -> None:
    """Draw what is in the table."""
    table = pd.read_csv(Path(__file__).parent / "results" / "compare.csv")
    draw(table)


def draw(table: pd.DataFrame) -> None:
    """One panel per figure, methods as rows, a mark per set of cells."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    panels = {
        "aupr_ratio": "AUPRC over chance", "early_precision_ratio": "early precision over chance",
        "rho": "held-out prediction", "stability": "stability", "overlap": "overlap", "cpu_s": "CPU seconds",
    }  # fmt: skip
    table = table[~table["what"].str.contains("random")]
    order = table.groupby("who")["aupr_ratio"].mean().sort_values(na_position="first").index
    fig, axes = plt.subplots(1, len(panels), figsize=(13, 0.28 * len(order) + 1.4), sharey=True, layout="constrained")
    colours = {"simulated": "#0072B2", "cortex": "#D55E00", "stem cells": "#009E73"}
    colours = {name: colour for name, colour in colours.items() if name in set(table["what"])}
    for ax, (column, title) in zip(axes, panels.items(), strict=True):
        for name, colour in colours.items():
            own = table[table["what"] == name].set_index("who").reindex(order)
            ax.plot(own[column], np.arange(len(order)), "o", ms=5, color=colour, label=name)
            if column == "rho":
                ax.plot(own["rho_null"], np.arange(len(order)), "|", ms=8, color=colour)
        ax.set_title(title, fontsize=9)
        ax.grid(axis="y", color="0.9", lw=0.6)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
        if column.endswith("ratio"):
            ax.axvline(1, color="0.5", lw=0.8, ls=":")
        if column == "cpu_s":
            ax.set_xscale("log")
    axes[0].set_yticks(np.arange(len(order)), order)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    plt.rcParams["svg.hashsalt"] = "compare"
    fig.savefig(FIGURE, metadata={"Date": None})
