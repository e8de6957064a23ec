"""Recovery of planted links on the simulator, beside random, Pearson and scikit-learn boosting.

Usage: python benchmarks/recovery.py [seed ...]; writes benchmarks/results/recovery.csv.

The simulator's settings were chosen with seed 0 in view, so other seeds are used here.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import GradientBoostingRegressor
from threadpoolctl import threadpool_limits

import grnformer_sc as grs
from grnformer_sc.grn.embedding import log_normalise

RESULTS = Path(__file__).parent / "results"
SEEDS = (11, 12, 13)
GENES_OF_SKLEARN = 100  # genes on which scikit-learn's boosting is run; the others are scored there too


def dense_tables(mdata: object) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Log-normalised expression and accessibility of single cells."""
    rna, atac = mdata["rna"], mdata["atac"]
    expression = pd.DataFrame(log_normalise(rna.X.tocsr()).toarray(), columns=rna.var_names)
    access = pd.DataFrame(log_normalise(atac.X.tocsr()).toarray(), columns=atac.var_names)
    return expression, access, rna.var_names[rna.var["is_tf"]].to_numpy()


def pearson(x: pd.DataFrame, y: pd.DataFrame) -> pd.DataFrame:
    """Absolute correlation of all columns of both tables."""
    a, b = ((t - t.mean()) / t.std().replace(0, np.inf) for t in (x, y))
    return (a.T @ b / len(x)).abs()


def long(scores: pd.DataFrame, names: tuple[str, str]) -> pd.DataFrame:
    """Matrix of scores as a table of links."""
    scores = scores.rename_axis(index=names[0])
    out = scores.reset_index().melt(id_vars=names[0], var_name=names[1], value_name="score")
    return out[out[names[0]] != out[names[1]]]


def boosting(expression: pd.DataFrame, tfs: np.ndarray, genes: list[str]) -> pd.DataFrame:
    """Importances of scikit-learn's stochastic boosting with GRNBoost2's tree settings and 300 trees."""
    found = {}
    for gene in genes:
        own = [tf for tf in tfs if tf != gene]
        model = GradientBoostingRegressor(
            learning_rate=0.01, n_estimators=300, max_features=0.1, subsample=0.9, random_state=0
        )
        found[gene] = pd.Series(model.fit(expression[own], expression[gene]).feature_importances_, index=own)
    return pd.DataFrame(found).fillna(0)


def one_seed(seed: int) -> list[dict[str, object]]:
    """All scores of one simulation."""
    mdata = grs.datasets.simulate_multiome(2000, rng=seed)
    grs.tl.build_grn(mdata, groupby="cell_type")
    rna = mdata["rna"]
    truth, edges = rna.uns["truth"], rna.uns["grn"]["edges"]
    expression, access, tfs = dense_tables(mdata)
    grs.pp.link_regions(mdata)
    pairs = mdata["atac"].uns["region_gene"]
    rows = []

    def add(
        level: str,
        method: str,
        table: pd.DataFrame,
        on: tuple[str, ...],
        known: pd.DataFrame,
        universe: int,
        score: str = "score",
    ) -> None:
        found = grs.metrics.link_recovery(table, known, on=on, score=score, universe=universe)
        rows.append({"seed": seed, "level": level, "method": method, **found[["aupr", "random"]].to_dict()})

    n_all = len(tfs) * (rna.n_vars - 1)
    on = ("tf", "gene")
    add("TF->gene", "eregulon edges", edges, on, truth, n_all, "tf_gene_importance")
    ours = all_tf_gene(mdata)
    add("TF->gene", "ours, all pairs", ours, on, truth, n_all)
    add("TF->gene", "Pearson", long(pearson(expression[tfs], expression), on), on, truth, n_all)
    genes = sorted(
        np.random.default_rng(seed).choice(np.setdiff1d(rna.var_names, tfs), GENES_OF_SKLEARN, replace=False)
    )
    part, n_part = truth[truth["gene"].isin(genes)], len(tfs) * len(genes)
    for name, table in (("ours, all pairs", ours), ("Pearson", long(pearson(expression[tfs], expression), on))):
        add("TF->gene, 100 genes", name, table[table["gene"].isin(genes)], on, part, n_part)
    add("TF->gene, 100 genes", "scikit-learn boosting", long(boosting(expression, tfs, genes), on), on, part, n_part)

    known = truth[["region", "gene"]].drop_duplicates()
    known = known.merge(pairs[["region", "gene"]], on=["region", "gene"])
    on = ("region", "gene")
    add("region->gene", "eregulon edges", edges[edges["region"].astype(str) != ""], on, known, len(pairs))
    add("region->gene", "distance", pairs, on, known, len(pairs), "weight")
    gene, region = expression.columns.get_indexer(pairs["gene"]), access.columns.get_indexer(pairs["region"])
    e, a = (((t - t.mean()) / t.std().replace(0, np.inf)).to_numpy() for t in (expression, access))
    rho = pairs.assign(score=np.abs(np.einsum("cp,cp->p", e[:, gene], a[:, region]) / len(e)))
    add("region->gene", "Pearson", rho, on, known, len(pairs))

    on, n_triplets = ("tf", "region", "gene"), len(tfs) * len(pairs)
    known = truth.merge(pairs[["region", "gene"]], on=["region", "gene"])
    add("triplet", "eregulon edges", edges, on, known, n_triplets)
    return rows


def all_tf_gene(mdata: object) -> pd.DataFrame:
    """Our TF -> gene score of every pair, before eRegulons are cut."""
    from grnformer_sc._core.rng import as_root, seeds_for
    from grnformer_sc.grn.boosting import TF_GENE
    from grnformer_sc.grn.tf_gene import link_table, tf_gene_links

    rna = mdata["rna"]
    genes = rna.var_names.sort_values()
    x = log_normalise(rna[:, genes].X.tocsr()).toarray()
    tfs = genes.get_indexer(rna.var_names[rna.var["is_tf"]].sort_values())
    seeds = seeds_for(as_root(0), "tf_gene", genes)
    links = tf_gene_links(x, tfs, seeds, settings=TF_GENE, n_jobs=grs.settings.n_jobs)
    return link_table(links, genes[tfs], genes).rename(columns={"importance": "score"})


def main() -> None:
    seeds = [int(s) for s in sys.argv[1:]] or SEEDS
    with threadpool_limits(1), grs.settings.override(progress=False):
        table = pd.DataFrame([row for seed in seeds for row in one_seed(seed)])
    mean = table.groupby(["level", "method"], sort=False)[["aupr", "random"]].agg(["mean", "min", "max"]).round(3)
    print(mean.to_string())
    RESULTS.mkdir(exist_ok=True)
    table.round(4).to_csv(RESULTS / "recovery.csv", index=False)


if __name__ == "__main__":
    main()
