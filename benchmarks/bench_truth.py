"""TF -> gene scores on real cells with known links: our default, its parts, GRNBoost2, correlations, chance.

Every contender scores the same cells, regulators and targets. The choices behind our default were made on the simulator
and on `beeline_mdc`; the other three sets were only looked at to report. Intervals come from resampled regulators.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from rivals.sklearn_boosting import GRNBOOST2, STOP_WINDOW, tf_gene
from scipy.stats import rankdata
from sklearn.ensemble import GradientBoostingRegressor
from threadpoolctl import threadpool_limits
from truth import RealSet, Truth, draws_of_regulators, folder, real_sets, weighted_precision

import grnformer_sc as grs

N_DRAWS = 200
RANKED = (
    "default", "ridge", "boosting share", "GRNBoost2", "GRNBoost2, scikit-learn >= 1.3", "Pearson", "Spearman", "random",
)  # fmt: skip
CHOSEN_ON = "beeline_mdc"


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


def one_gene(data: RealSet, gene: int, fit: Callable[..., tuple[np.ndarray, int]]) -> np.ndarray:
    """Importance of every regulator for a gene; 0 for itself."""
    use = data.regulators != gene
    out = np.zeros(use.size)
    out[use] = fit(data.x[:, data.regulators[use]], data.x[:, gene], 0)[0]
    return out


def grnboost2(data: RealSet, fit: Callable[..., tuple[np.ndarray, int]]) -> np.ndarray:
    """Importances of all targets, regulators x genes."""
    out = np.zeros((data.regulators.size, data.genes.size))
    found = Parallel(n_jobs=grs.settings.n_jobs)(delayed(one_gene)(data, gene, fit) for gene in data.targets)
    out[:, data.targets] = np.transpose(found)
    return out


def correlation(x: np.ndarray, regulators: np.ndarray) -> np.ndarray:
    """|Pearson correlation| of regulators and genes."""
    from grnformer_sc.grn.tf_gene import standardise

    z = standardise(x)
    return np.abs(z[:, regulators].T @ z) / len(z)


def ours(data: RealSet) -> dict[str, np.ndarray]:
    """Our default and its parts."""
    from grnformer_sc._core.rng import as_root, seeds_for
    from grnformer_sc.grn.boosting import TF_GENE
    from grnformer_sc.grn.tf_gene import tf_gene_links

    seeds = seeds_for(as_root(0), "tf_gene", data.genes)
    links = tf_gene_links(data.x, data.regulators, seeds, settings=TF_GENE, n_jobs=grs.settings.n_jobs)
    return {"default": links.importance, "ridge": links.ridge, "boosting share": links.boosting}


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
        rows.append({"who": who, **found[names].to_dict(), "aupr_low": low, "aupr_high": high})
        draws.append(draw)
    sources = int(truth.judged.any(axis=1).sum())
    return pd.DataFrame(rows).assign(sources=sources, links=int(known.sum()), pairs=len(pairs)), np.array(draws)


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
                    record(f"{data.name}, {data.cells} cells, {truth.name}", **figures)
                ranked = table.set_index("who").loc[list(RANKED)]
                point.setdefault(data.name, []).append(places(ranked["aupr"].to_numpy()))
                early.setdefault(data.name, []).append(places(ranked["early_precision"].to_numpy()))
                drawn.setdefault(data.name, []).append(places(draws[: len(RANKED)]))
    for what, names in {
        "mean rank, all sets": list(point),
        "mean rank, test sets": [name for name in point if name != CHOSEN_ON],
    }.items():
        low, high = np.quantile(mean_ranks(drawn, names), (0.025, 0.975), axis=1)
        for i, who in enumerate(RANKED):
            rank = {"rank": mean_ranks(point, names)[i], "rank_early": mean_ranks(early, names)[i]}
            record(what, who, **rank, rank_low=low[i], rank_high=high[i])
