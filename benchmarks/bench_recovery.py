"""Recovery of planted links on the simulator, beside random, Pearson and scikit-learn boosting.

Writes results/recovery.csv.

The simulator's settings were chosen with seed 0 in view, so other seeds are used here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.ensemble import GradientBoostingRegressor
from threadpoolctl import threadpool_limits

import grnformer_sc as grs
from grnformer_sc.grn.embedding import log_normalise

RESULTS = Path(__file__).parent / "results"
SEEDS = (11, 12)
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


def boosted(x: np.ndarray, y: np.ndarray, n_trees: int, subsample: float) -> np.ndarray:
    """Importances of scikit-learn's boosting with the tree settings of GRNBoost2 and SCENIC+."""
    model = GradientBoostingRegressor(
        learning_rate=0.01, n_estimators=n_trees, max_features=0.1, subsample=subsample, random_state=0
    )
    return model.fit(x, y).feature_importances_


def boosting(
    x: pd.DataFrame,
    y: pd.DataFrame,
    candidates: dict[str, list[str]],
    *,
    names: tuple[str, str],
    n_trees: int,
    subsample: float,
) -> pd.DataFrame:
    """Scored links of every target (column of `y`) with its candidates (columns of `x`)."""
    jobs = (
        delayed(boosted)(x[own].to_numpy(), y[gene].to_numpy(), n_trees, subsample) for gene, own in candidates.items()
    )
    found = Parallel(n_jobs=grs.settings.n_jobs)(jobs)
    parts = [
        pd.DataFrame({names[0]: own, names[1]: gene, "score": score})
        for (gene, own), score in zip(candidates.items(), found, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


def triplets(tf_gene: pd.DataFrame, region_gene: pd.DataFrame, hits: pd.DataFrame) -> pd.DataFrame:
    """Motif hits whose TF -> gene and region -> gene scores are multiplied."""
    both = hits.merge(region_gene, on="region").merge(tf_gene, on=["tf", "gene"], suffixes=("_r", "_t"))
    return both.assign(score=both["score_r"] * both["score_t"])


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
    own = {gene: list(tfs) for gene in genes}
    sk_tf = boosting(expression, expression, own, names=on, n_trees=300, subsample=0.9)
    add("TF->gene, 100 genes", "scikit-learn boosting", sk_tf, on, part, n_part)

    known = truth[["region", "gene"]].drop_duplicates()
    known = known.merge(pairs[["region", "gene"]], on=["region", "gene"])
    on = ("region", "gene")
    add("region->gene", "eregulon edges", edges[edges["region"].astype(str) != ""], on, known, len(pairs))
    add("region->gene", "distance", pairs, on, known, len(pairs), "weight")
    gene, region = expression.columns.get_indexer(pairs["gene"]), access.columns.get_indexer(pairs["region"])
    e, a = (((t - t.mean()) / t.std().replace(0, np.inf)).to_numpy() for t in (expression, access))
    rho = pairs.assign(score=np.abs(np.einsum("cp,cp->p", e[:, gene], a[:, region]) / len(e)))
    add("region->gene", "Pearson", rho, on, known, len(pairs))

    near = pairs[pairs["gene"].isin(genes)]
    part = known[known["gene"].isin(genes)]
    own = {gene: table["region"].tolist() for gene, table in near.groupby("gene")}
    sk_region = boosting(access, expression, own, names=on, n_trees=500, subsample=1.0)
    for name, table in (
        ("eregulon edges", edges[edges["gene"].isin(genes) & (edges["region"].astype(str) != "")]),
        ("Pearson", rho[rho["gene"].isin(genes)]), ("scikit-learn boosting", sk_region),
    ):  # fmt: skip
        add("region->gene, 100 genes", name, table, on, part, len(near))

    on, n_triplets = ("tf", "region", "gene"), len(tfs) * len(pairs)
    known = truth.merge(pairs[["region", "gene"]], on=["region", "gene"])
    add("triplet", "eregulon edges", edges, on, known, n_triplets)
    at, tf = mdata["atac"].varm["motifs"].nonzero()
    hits = pd.DataFrame({"region": mdata["atac"].var_names[at], "tf": mdata["atac"].uns["motifs"]["tfs"][tf]})
    r_tf = long(pearson(expression[tfs], expression), ("tf", "gene"))
    add("triplet", "Pearson", triplets(r_tf, rho[["region", "gene", "score"]], hits), on, known, n_triplets)
    part, n_part = known[known["gene"].isin(genes)], len(tfs) * len(near)
    add("triplet, 100 genes", "eregulon edges", edges[edges["gene"].isin(genes)], on, part, n_part)
    add("triplet, 100 genes", "scikit-learn boosting", triplets(sk_tf, sk_region, hits), on, part, n_part)
    return rows


def all_tf_gene(mdata: object) -> pd.DataFrame:
    """Our TF -> gene score of every pair, before eRegulons are cut."""
    from grnformer_sc._core.rng import as_root, seeds_for
    from grnformer_sc.grn.boosting import TF_GENE
    from grnformer_sc.grn.tf_gene import tf_gene_links

    rna = mdata["rna"]
    genes = rna.var_names.sort_values()
    x = log_normalise(rna[:, genes].X.tocsr()).toarray()
    tfs = genes.get_indexer(rna.var_names[rna.var["is_tf"]].sort_values())
    seeds = seeds_for(as_root(0), "tf_gene", genes)
    links = tf_gene_links(x, tfs, seeds, settings=TF_GENE, n_jobs=grs.settings.n_jobs)
    tf, gene = np.nonzero(links.importance)
    return pd.DataFrame({"tf": genes[tfs[tf]], "gene": genes[gene], "score": links.importance[tf, gene]})


def bench_recovery() -> None:
    with threadpool_limits(1), grs.settings.override(progress=False):
        table = pd.DataFrame([row for seed in SEEDS for row in one_seed(seed)])
    mean = table.groupby(["level", "method"], sort=False)[["aupr", "random"]].agg(["mean", "min", "max"]).round(3)
    print(mean.to_string())
    RESULTS.mkdir(exist_ok=True)
    table.round(4).to_csv(RESULTS / "recovery.csv", index=False)
