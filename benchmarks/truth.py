"""Real expression with known links: matrices, regulators and tables of true links, and the bootstrap over regulators.

Knock-outs become links by one rule (`knockout_targets`). Nothing here is committed data: `GRS_DATA_DIR` holds the files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, ttest_ind

N_CELLS = 4000  # a random part of larger sets, the same for all contenders
N_TARGETS = 600  # of the bacterium: scikit-learn takes a second for each of them
LEVEL = 0.05  # false discovery rate of a knock-out's targets


@dataclass(frozen=True, slots=True)
class Truth:
    """Known links as a matrix regulators x targets of the set's regulators; rows outside `judged` are unknown."""

    name: str
    known: np.ndarray  # bool, regulators x genes
    judged: np.ndarray  # bool, regulators x genes: pairs that count


@dataclass(frozen=True, slots=True)
class RealSet:
    """Cells x genes (log-normalised), places of the regulators, and truths."""

    name: str
    cells: str
    x: np.ndarray
    genes: pd.Index
    regulators: np.ndarray
    truths: tuple[Truth, ...]

    @property
    def targets(self) -> np.ndarray:
        """Genes that any truth judges."""
        return np.flatnonzero(np.any([t.judged.any(axis=0) for t in self.truths], axis=0))


def folder() -> Path:
    """Where the data are."""
    return Path(os.environ.get("GRS_DATA_DIR", "data"))


def real_sets() -> Iterator[RealSet]:
    """All sets, one after the other."""
    yield beeline_mdc()
    yield bsubtilis()
    for load in (hipsc_crispr, papalexi):
        for cells in ("controls", "all"):
            yield load(cells)


def truth_of(
    name: str,
    links: pd.DataFrame,
    genes: pd.Index,
    regulators: np.ndarray,
    *,
    among: np.ndarray | None = None,
    sources: np.ndarray | None = None,
) -> Truth:
    """Links (tf, gene) as a matrix; judged are all pairs of the sources (by default those with a target) and genes."""
    row, column = pd.Index(genes[regulators]).get_indexer(links["tf"]), genes.get_indexer(links["gene"])
    inside = (row >= 0) & (column >= 0)
    known = np.zeros((regulators.size, genes.size), dtype=bool)
    known[row[inside], column[inside]] = True
    known &= regulators[:, None] != np.arange(genes.size)
    rows = known.any(axis=1) if sources is None else np.isin(genes[regulators], sources)
    columns = np.ones(genes.size, dtype=bool) if among is None else among
    judged = rows[:, None] & columns & (regulators[:, None] != np.arange(genes.size))
    return Truth(name, known & judged, judged)


def read_links(path: Path) -> pd.DataFrame:
    """First two columns of a table of links, in capitals."""
    table = pd.read_csv(path, sep=None, engine="python").iloc[:, :2].set_axis(["tf", "gene"], axis=1)
    return table.apply(lambda column: column.astype(str).str.upper()).drop_duplicates()


def beeline_mdc() -> RealSet:
    """Mouse dendritic cells of a time course; networks of ChIP, knock-down and databases."""
    import anndata as ad

    data = ad.read_h5ad(folder() / "beeline_mdc" / "mdc_tfs500.h5ad")
    files = {
        "ChIP of the cell type": "net_chip.csv.gz",
        "ChIP of any cell": "net_nonspec.csv.gz",
        "STRING": "net_string.csv.gz",
        "knock-downs": "mDC_KDUnion.tsv.gz",
        "ChIP union": "mDC_chipunion.tsv.gz",
        "ChIP and knock-down": "mDC_chipunion_KDUnion_intersect.tsv.gz",
    }
    tables = {name: read_links(folder() / "beeline_mdc" / file) for name, file in files.items()}
    genes = pd.Index(data.var_names.str.upper())
    sources = set().union(*(set(table["tf"]) for table in tables.values()))
    listed = {name.strip().upper() for name in (folder() / "regulatory_resources/allTFs_mm.txt").open()}
    regulators = np.flatnonzero(genes.isin(sources | listed))
    truths = tuple(truth_of(name, table, genes, regulators) for name, table in tables.items())
    return RealSet("beeline_mdc", "all", dense(data.X), genes, regulators, truths)


def bsubtilis() -> RealSet:
    """Bacillus subtilis arrays with the curated regulon database; only genes with a known regulator are judged."""
    at = folder() / "bsubtilis"
    table = pd.read_csv(at / "expression.tsv.gz", sep="\t", index_col=0)
    gold = pd.read_csv(at / "gold_standard.tsv.gz", sep="\t", index_col=0)
    gold = gold.loc[gold.index.intersection(table.index), gold.columns.intersection(table.index)]
    tfs = pd.read_csv(at / "tf_names.tsv", header=None)[0]
    target, tf = np.nonzero(gold.to_numpy())
    links = pd.DataFrame({"tf": gold.columns[tf], "gene": gold.index[target]})
    names = table.index[table.index.isin(tfs) | table.index.isin(links["gene"])]
    table = table.loc[names]
    regulators, judged = np.flatnonzero(names.isin(tfs)), names[names.isin(links["gene"])]
    among = names.isin(np.random.default_rng(0).choice(judged, N_TARGETS, replace=False))
    truth = truth_of("curated regulons", links, names, regulators, among=among)
    return RealSet("bsubtilis", "all", table.to_numpy(np.float32).T.copy(), names, regulators, (truth,))


def hipsc_crispr(cells: str) -> RealSet:
    """Human iPSC, knock-outs of 23 genes, days 2 to 5."""
    return knockout_set("hipsc_crispr", "hipsc_crispr/hipsc_crispr.h5ad", cells, by="knockout", stratum="day")


def papalexi(cells: str) -> RealSet:
    """THP-1 with knock-outs of genes around interferon and PD-L1; nine of them are among the measured genes."""
    at = "papalexi_thp1_eccite/papalexi_299genes.h5ad"
    return knockout_set("papalexi_thp1_eccite", at, cells, by="perturbation", stratum="replicate")


def knockout_set(name: str, at: str, cells: str, *, by: str, stratum: str) -> RealSet:
    """Cells with one knock-out each; regulators are the listed TFs and the knocked-out genes that were measured."""
    import anndata as ad

    from grnformer_sc.grn.embedding import log_normalise

    data = ad.read_h5ad(folder() / at)
    x = dense(log_normalise(data.X.tocsr()))
    genes, label = pd.Index(data.var_names), data.obs[by].astype(str).to_numpy()
    listed = {line.strip() for line in (folder() / "regulatory_resources/lambert2018_human_tfs.txt").open()}
    regulators = np.flatnonzero(genes.isin(listed | set(label)))
    links = knockout_targets(x, genes, label, data.obs[stratum].astype(str).to_numpy())
    truth = truth_of("knock-outs", links, genes, regulators, sources=np.unique(label))
    kept = np.flatnonzero(label == "control") if cells == "controls" else np.arange(label.size)
    if kept.size > N_CELLS:
        kept = np.sort(np.random.default_rng(0).choice(kept, N_CELLS, replace=False))
    return RealSet(name, cells, x[kept], genes, regulators, (truth,))


def knockout_targets(x: np.ndarray, genes: pd.Index, label: np.ndarray, stratum: np.ndarray) -> pd.DataFrame:
    """Genes that differ between the cells of a knock-out and the controls.

    Welch's t-test on log-normalised expression, from which the mean of the controls of the same stratum (day, replicate)
    was taken; Benjamini-Hochberg over all knock-outs and genes but the knocked-out gene itself, at 5 %.
    """
    x = x.astype(np.float64)
    for name in np.unique(stratum):
        of = stratum == name
        x[of] -= x[of & (label == "control")].mean(axis=0)
    tables = []
    for gene in np.intersect1d(np.unique(label), genes):
        p = ttest_ind(x[label == gene], x[label == "control"], equal_var=False).pvalue
        tables.append(pd.DataFrame({"tf": gene, "gene": genes, "p": np.nan_to_num(p, nan=1.0)}))
    found = pd.concat(tables, ignore_index=True)
    found = found[found["tf"] != found["gene"]]
    return found[false_discovery_control(found["p"]) < LEVEL]


def dense(x: object) -> np.ndarray:
    """Array of float32."""
    return np.asarray(x.toarray() if hasattr(x, "toarray") else x, dtype=np.float32)


def weighted_precision(known: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average precision of one ranking for many weightings of its pairs (draws x pairs); ties enter together."""
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.r_[np.diff(score[order]) != 0, True])
    out = np.empty(len(weights))
    for i, weight in enumerate(weights):
        w = weight[order].astype(np.float64)
        true, found = np.cumsum(w * known[order])[last], np.cumsum(w)[last]
        gain = np.diff(true, prepend=0)
        out[i] = (gain * true / np.maximum(found, 1)).sum() / max(true[-1], 1)
    return out


def draws_of_regulators(truth: Truth, n_draws: int, seed: int = 0) -> np.ndarray:
    """How often every judged regulator was drawn (draws x regulators), in as many draws with replacement as there are."""
    rows = np.flatnonzero(truth.judged.any(axis=1))
    drawn = np.random.default_rng(seed).multinomial(rows.size, np.full(rows.size, 1 / rows.size), size=n_draws)
    out = np.zeros((n_draws, truth.judged.shape[0]), dtype=np.int32)
    out[:, rows] = drawn
    return out
