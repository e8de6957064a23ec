"""TF -> gene scores on real cells with known links: our default, its parts, GRNBoost2, correlations, chance.

Every contender scores the same cells, regulators and targets. The settings of our default were chosen on the simulator,
other ways to join its parts on simulations and on `beeline_mdc` (docs/explain/truth.md). Intervals come from resampled
regulators. `bench_holdout` asks whether held-out prediction tells which score recovers more links.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from inputs import thin
from joblib import Parallel, delayed
from rivals.sklearn_boosting import GRNBOOST2, STOP_WINDOW, tf_gene
from scipy.sparse import csc_matrix
from scipy.stats import rankdata
from sklearn.ensemble import GradientBoostingRegressor
from threadpoolctl import threadpool_limits
from truth import RealSet, Truth, draws_of_regulators, folder, real_sets, truth_of, weighted_precision

import grnformer_sc as grs
from grnformer_sc._core.checkpoint import Checkpoint

N_DRAWS = 200
RANKED = (
    "default", "ridge", "boosting share", "GRNBoost2", "GRNBoost2, scikit-learn >= 1.3", "Pearson", "Spearman", "random",
)  # fmt: skip
CHOSEN_ON = "beeline_mdc"
SIMULATIONS: dict[str, dict[str, float]] = {
    "even": {},
    "hubs": {"regulated": 0.5, "hubs": 1.0},
    "hubs, one type": {"regulated": 0.5, "hubs": 1.0, "n_types": 1},
}
BEST_TFS = 10  # links per target, from which its held-out expression is predicted
PENALTY = 0.05  # of that ridge prediction, in units of the number of cells
N_PREDICTED = 200  # targets of a set that are predicted

pytestmark = pytest.mark.skipif(not (folder() / "beeline_mdc").is_dir(), reason="GRS_DATA_DIR does not hold the sets")


class SameCellsStop:
    """Early stop of arboreto with scikit-learn up to 1.2: left-out cells of a tree before and after this tree.

    From 1.3 on scikit-learn compares the cells left out of two successive trees, and boosting ends after some 27 trees.
    """

    def __init__(self, y: np.ndarray) -> None:
        self.before = np.full(y.size, y.mean())
        self.gains: list[float] = []

    def __call__(self, i: int, _: GradientBoostingRegressor, state: dict[str, Any]) -> bool:
        after, out, y = state["raw_predictions"].ravel(), ~state["sample_mask"], state["y"]
        self.gains.append(np.mean((y[out] - self.before[out]) ** 2 - (y[out] - after[out]) ** 2))
        self.before = after.copy()
        return i >= STOP_WINDOW - 1 and bool(np.mean(self.gains[-STOP_WINDOW:]) < 0)


def tf_gene_old_stop(x: np.ndarray, y: np.ndarray, seed: int) -> tuple[np.ndarray, int]:
    """Importances of the TFs of one gene as GRNBoost2 gave them before scikit-learn 1.3, and the number of trees."""
    model = GradientBoostingRegressor(**GRNBOOST2, random_state=seed).fit(x, y, monitor=SameCellsStop(y))
    return model.feature_importances_ * model.n_estimators_, model.n_estimators_


def one_gene(data: RealSet, gene: int, fit: Callable[..., tuple[np.ndarray, int]], kept: Checkpoint) -> np.ndarray:
    """Importance of every regulator for a gene; 0 for itself."""
    use = data.regulators != gene

    def boost() -> np.ndarray:
        out = np.zeros(use.size)
        out[use] = fit(data.x[:, data.regulators[use]], data.x[:, gene], 0)[0]
        return out

    return kept.keep(str(gene), boost)


def grnboost2(data: RealSet, fit: Callable[..., tuple[np.ndarray, int]]) -> np.ndarray:
    """Importances of all targets, regulators x genes; `GRS_BENCH_CACHE` may name a folder that keeps them."""
    out = np.zeros((data.regulators.size, data.genes.size))
    kept = Checkpoint.at(os.environ.get("GRS_BENCH_CACHE") or None)
    kept = kept.of(fit.__name__, data.x, data.regulators, sklearn.__version__)
    jobs = (delayed(one_gene)(data, gene, fit, kept) for gene in data.targets)
    found = Parallel(n_jobs=grs.settings.n_jobs)(jobs)
    out[:, data.targets] = np.transpose(found)
    return out


def correlation(x: np.ndarray, regulators: np.ndarray) -> np.ndarray:
    """|Pearson correlation| of regulators and genes."""
    from grnformer_sc.grn.tf_gene import standardise

    z = standardise(x)
    return np.abs(z[:, regulators].T @ z) / len(z)


def ours(data: RealSet) -> dict[str, np.ndarray]:
    """Our default, its parts, and other ways to join them."""
    links = our_links(data)
    squared, product = links.rho**2, np.sqrt(links.ridge) * links.boosting
    total = squared.sum(axis=0)  # what all TFs of a gene explain
    held_out = np.maximum(explained(data, links), 0)
    best = np.maximum(squared.max(axis=0, initial=0), 1e-9)
    votes = np.sqrt(links.ridge) * (links.boosting + per_gene(squared))
    both = per_gene(product) + per_gene(squared)
    size = np.sqrt((both**2).mean(axis=1, keepdims=True))
    return {
        "default": links.importance,
        "ridge": links.ridge,
        "boosting share": links.boosting,
        "default x held-out R2": product * held_out,
        "default x root of held-out R2": product * np.sqrt(held_out),
        "judges weighted by R2": (held_out * per_gene(product) + best * per_gene(squared)) / (held_out + best),
        "votes": per_gene(votes) * total**0.25,
        "votes, equal sums": per_gene(votes),
        "default + correlation, hubs weakened": both / np.sqrt(np.maximum(size, 1e-9)),
        "root of ridge x (boosting + correlation)": votes,
    }


def explained(data: RealSet, links: Any) -> np.ndarray:
    """Share of every gene's variance that our trees explain in the cells that each tree left out."""
    from grnformer_sc.grn.boosting import TF_GENE
    from grnformer_sc.grn.tf_gene import SCREENED, _screen

    itself = data.regulators[:, None] == np.arange(data.genes.size)
    return boosted(data, _screen(links.ridge, np.abs(links.rho), itself, SCREENED), TF_GENE)[2]


def our_links(data: RealSet, **options: Any) -> Any:
    """TF -> gene scores with the settings of `build_grn`, or others."""
    from grnformer_sc._core.rng import as_root, seeds_for
    from grnformer_sc.grn.boosting import TF_GENE
    from grnformer_sc.grn.tf_gene import tf_gene_links

    seeds = seeds_for(as_root(0), "tf_gene", data.genes)
    options = {"settings": TF_GENE, "n_jobs": grs.settings.n_jobs, **options}
    return tf_gene_links(data.x, data.regulators, seeds, **options)


def per_gene(score: np.ndarray) -> np.ndarray:
    """Give every gene the sum 1."""
    return score / np.maximum(score.sum(axis=0), 1e-9)


def contenders(data: RealSet) -> dict[str, np.ndarray]:
    """All scores, regulators x genes."""
    scores = {
        **ours(data),
        "GRNBoost2": grnboost2(data, tf_gene_old_stop),
        "GRNBoost2, scikit-learn >= 1.3": grnboost2(data, tf_gene),
        "Pearson": correlation(data.x, data.regulators),
        "Spearman": correlation(rankdata(data.x, axis=0), data.regulators),
        "random": np.zeros((data.regulators.size, data.genes.size)),  # all tied: the expected value
    }
    if data.name == "hipsc_crispr" and data.cells == "all":
        table = pd.read_csv(folder() / "hipsc_crispr" / "A_renge.csv.gz", index_col=0).abs()  # targets x regulators
        published = table.loc[data.genes, data.genes[data.regulators]].to_numpy().T
        scores["RENGE (published, sees the knock-outs)"] = published
    return scores


def judge(data: RealSet, truth: Truth, scores: dict[str, np.ndarray]) -> tuple[pd.DataFrame, np.ndarray]:
    """Figures of every contender on one truth, and AUPRC of every draw of regulators (contenders x draws)."""
    row, column = np.nonzero(truth.judged)
    tf, gene = data.genes[data.regulators[row]], data.genes[column]
    pairs = pd.DataFrame({"tf": tf, "gene": gene})
    known = truth.known[row, column]
    drawn = draws_of_regulators(truth, N_DRAWS)[:, row]
    rows, draws = [], []
    for who, score in scores.items():
        value = score[row, column]
        found = grs.metrics.link_recovery(pairs.assign(score=value), pairs[known], universe=len(pairs))
        draw = weighted_precision(known, value, drawn)
        low, high = np.quantile(draw, (0.025, 0.975))
        names = ["aupr", "aupr_ratio", "early_precision", "early_precision_ratio", "random"]
        draws.append(draw)
        versus = found["aupr"] / rows[0]["aupr"] if rows else 1.0  # the default comes first
        from_, to = np.quantile(draw / draws[0], (0.025, 0.975))
        figures = {**found[names].to_dict(), "aupr_low": low, "aupr_high": high}
        rows.append({"who": who, **figures, "to_default": versus, "to_default_low": from_, "to_default_high": to})
    sources = int(truth.judged.any(axis=1).sum())
    return pd.DataFrame(rows).assign(sources=sources, links=int(known.sum()), pairs=len(pairs)), np.array(draws)


def cells_of(data: RealSet) -> str:
    """Which cells were used."""
    return "controls" if data.cells == "controls" else f"{data.cells} cells"


def places(values: np.ndarray) -> np.ndarray:
    """1 for the largest, ties share."""
    return rankdata(-values.round(6), axis=0)


def mean_ranks(of_set: dict[str, list[np.ndarray]], names: list[str]) -> np.ndarray:
    """Mean over the truths of a set, then over these sets."""
    return np.mean([np.mean(of_set[name], axis=0) for name in names], axis=0)


def bench_truth(record: Callable[..., None]) -> None:
    point: dict[str, list[np.ndarray]] = {}
    early: dict[str, list[np.ndarray]] = {}
    drawn: dict[str, list[np.ndarray]] = {}
    with threadpool_limits(1), grs.settings.override(progress=False):
        for data in real_sets():
            scores = contenders(data)
            for truth in data.truths:
                table, draws = judge(data, truth, scores)
                for figures in table.to_dict("records"):
                    record(f"{data.name}, {cells_of(data)}, {truth.name}", **figures)
                ranked = pd.Index(table["who"]).get_indexer(list(RANKED))
                point.setdefault(data.name, []).append(places(table["aupr"].to_numpy()[ranked]))
                early.setdefault(data.name, []).append(places(table["early_precision"].to_numpy()[ranked]))
                drawn.setdefault(data.name, []).append(places(draws[ranked]))
    for what, names in {
        "mean rank, all sets": list(point),
        f"mean rank without {CHOSEN_ON}": [name for name in point if name != CHOSEN_ON],
    }.items():
        low, high = np.quantile(mean_ranks(drawn, names), (0.025, 0.975), axis=1)
        for i, who in enumerate(RANKED):
            rank = {"rank": mean_ranks(point, names)[i], "rank_early": mean_ranks(early, names)[i]}
            record(what, who, **rank, rank_low=low[i], rank_high=high[i])


def simulated(n_cells: int, seed: int, kind: str = "even", depth: float = 1.0) -> RealSet:
    """Cells with planted links; of their counts a share `depth` is kept."""
    from grnformer_sc.grn.embedding import log_normalise

    rna = grs.datasets.simulate_multiome(n_cells, rng=seed, **SIMULATIONS[kind])["rna"]
    genes, tfs = rna.var_names.sort_values(), rna.var_names[rna.var["is_tf"]]
    regulators = np.sort(genes.get_indexer(tfs))
    links = rna.uns["truth"][["tf", "gene"]].drop_duplicates()
    truth = truth_of("planted links", links, genes, regulators, sources=np.asarray(tfs))
    counts = rna[:, genes].X.tocsr()
    if depth < 1:
        thin(counts, depth, np.random.default_rng(seed))
    name = ["simulator", *[kind] * (kind != "even"), *["a quarter of the counts"] * (depth < 1), f"seed {seed}"]
    return RealSet(", ".join(name), f"{n_cells:,}", log_normalise(counts).toarray(), genes, regulators, (truth,))


def bench_planted(record: Callable[..., None]) -> None:
    """Our scores and correlations on seeds on which nothing was chosen: few cells, shallow cells, and many deep ones."""
    with threadpool_limits(1), grs.settings.override(progress=False):
        for kind in SIMULATIONS:
            for n_cells, depth in ((400, 1.0), (2000, 0.25), (2000, 1.0)):
                for seed in (11, 12):
                    data = simulated(n_cells, seed, kind, depth)
                    scores = {
                        **ours(data),
                        "GRNBoost2's settings, our trees": grnboost2_binned(data),
                        "Pearson": correlation(data.x, data.regulators),
                        "Spearman": correlation(rankdata(data.x, axis=0), data.regulators),
                    }
                    for figures in judge(data, data.truths[0], scores)[0].to_dict("records"):
                        record(f"{data.name}, {cells_of(data)}, planted links", **figures)


def boosted(data: RealSet, pairs: np.ndarray, settings: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Our trees on some pairs: shares (regulators x genes), trees and explained variance of every gene."""
    from grnformer_sc._core.rng import as_root, seeds_for
    from grnformer_sc.grn.boosting import bin_columns, boost_block

    columns = data.x[:, data.regulators]
    gene, tf = np.nonzero(pairs.T)
    start = np.searchsorted(gene, np.arange(data.genes.size + 1)).astype(np.int64)
    features = bin_columns(csc_matrix(columns - columns.min(axis=0)), settings.n_bins)
    seeds = seeds_for(as_root(0), "tf_gene", data.genes)
    share, *of_genes = boost_block(features, start, tf, np.ascontiguousarray(data.x.T), seeds, settings)
    out = np.zeros(pairs.shape)
    out[tf, gene] = share
    return out, *of_genes


def grnboost2_binned(data: RealSet) -> np.ndarray:
    """GRNBoost2's settings and scale (trees x share) with our trees, which take a tenth of the time."""
    from grnformer_sc.grn.boosting import BoostSettings

    settings = BoostSettings(n_trees=5000, rate=0.01, max_features=0.1, subsample=0.9)
    share, trees, _ = boosted(data, data.regulators[:, None] != np.arange(data.genes.size), settings)
    return share * trees


def five_scores(data: RealSet) -> dict[str, np.ndarray]:
    """Our default and four others, regulators x genes."""
    links = our_links(data)
    return {
        "default": links.importance,
        "ridge": links.ridge,
        "GRNBoost2's settings, our trees": grnboost2_binned(data),
        "Pearson": correlation(data.x, data.regulators),
        "Spearman": correlation(rankdata(data.x, axis=0), data.regulators),
    }


def judges(data: RealSet) -> dict[str, np.ndarray]:
    """Five scores, and their consensus: the mean place of a pair (Borda), as `tl.consensus_grn` ranks."""
    scores = five_scores(data)
    asked = np.zeros(scores["ridge"].shape, dtype=bool)
    asked[:, data.targets] = data.regulators[:, None] != np.asarray(data.targets)
    place = np.zeros(asked.shape)
    for score in scores.values():
        place[asked] += rankdata(-score[asked])
    scores["consensus"] = np.where(asked, place.max() - place, 0)
    return scores


def bench_consensus(record: Callable[..., None]) -> None:
    """Is the consensus of five scores better than each of them, on real and on planted links?"""
    ranks: dict[str, list[np.ndarray]] = {}
    with threadpool_limits(1), grs.settings.override(progress=False):
        for data in (*real_sets(), *(simulated(n, 11, kind) for kind in SIMULATIONS for n in (400, 2000))):
            scores = judges(data)
            for truth in data.truths:
                table, _ = judge(data, truth, scores)
                for figures in table.to_dict("records"):
                    record(f"joined: {data.name}, {cells_of(data)}, {truth.name}", **figures)
                known = "planted" if data.name.startswith("simulator") else data.name
                ranks.setdefault(known, []).append(places(table["aupr"].to_numpy()))
    for what, names in {
        "real sets": [name for name in ranks if name != "planted"],
        "planted links": ["planted"],
    }.items():
        for who, rank in zip(scores, mean_ranks(ranks, names), strict=True):
            record(f"joined: mean rank, {what}", who, rank=rank)


def best_links(score: np.ndarray, regulators: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As many links as `BEST_TFS` per gene: the best of every gene, and the best of all."""
    score = np.where(regulators[:, None] != np.arange(score.shape[1]), score, 0)
    per_gene, overall = np.zeros(score.shape, dtype=bool), np.zeros(score.size, dtype=bool)
    np.put_along_axis(per_gene, np.argsort(-score, axis=0, kind="stable")[:BEST_TFS], values=True, axis=0)
    overall[np.argsort(-score.ravel(), kind="stable")[: BEST_TFS * score.shape[1]]] = True
    return per_gene & (score > 0), overall.reshape(score.shape) & (score > 0)


def predicted(x: np.ndarray, regulators: np.ndarray, links: np.ndarray, genes: np.ndarray, n_train: int) -> float:
    """Mean R2 of genes in the cells from `n_train` on, by ridge on their linked TFs in the cells before."""
    z = (x - x[:n_train].mean(axis=0)) / np.maximum(x[:n_train].std(axis=0), 1e-6)
    out = []
    for gene in genes:
        best = regulators[links[:, gene]]
        a, y, rest = z[:n_train, best], z[:n_train, gene], z[n_train:, gene]
        slope = np.linalg.solve(a.T @ a + PENALTY * n_train * np.eye(best.size), a.T @ y)
        error = ((rest - z[n_train:, best] @ slope) ** 2).sum()
        out.append(1 - error / max((rest**2).sum(), 1e-9))
    return float(np.mean(out))


def bench_holdout(record: Callable[..., None]) -> None:
    """R2 in half of the cells of links from the other half, beside how many known links these scores recover."""
    with threadpool_limits(1), grs.settings.override(progress=False):
        for data in (*(simulated(n, seed) for n in (400, 2000) for seed in (11, 12)), *real_sets()):
            rng = np.random.default_rng(0)
            x, n_train = data.x[rng.permutation(len(data.x))], len(data.x) // 2
            half = replace(data, x=x[:n_train])
            genes = rng.choice(data.targets, min(N_PREDICTED, data.targets.size), replace=False)
            scores = five_scores(half)
            for who, score in scores.items():
                r2 = [
                    predicted(x, data.regulators, links, genes, n_train) for links in best_links(score, data.regulators)
                ]
                found = float(np.mean([precision_ratio(truth, score) for truth in data.truths]))
                record(
                    f"held-out half: {data.name}, {cells_of(data)}", who, r2=r2[0], r2_overall=r2[1], aupr_ratio=found
                )


def precision_ratio(truth: Truth, score: np.ndarray) -> float:
    """AUPRC over chance."""
    known = truth.known[truth.judged]
    return grs.metrics.average_precision(known, score[truth.judged].astype(float)) / float(known.mean())
