"""Networks of random parts of the mouse cortex cells, by our regressions and by those of SCENIC+, on some target genes.

All else is the same: cells, candidate links, motif hits, seeds, and the eRegulons that are made of the scores. The rows of
the regressions are those of `build_grn` (single cells for TF -> gene links, pools of neighbours for region -> gene links),
or, as in SCENIC+, single cells with smooth accessibility; a mean over neighbours takes the place of its topic model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from rivals.sklearn_boosting import region_gene, tf_gene
from sklearn.neighbors import NearestNeighbors

N_TARGETS = 600
N_PARTS, SHARE = 5, 0.9
NEIGHBOURS = 31  # cells that accessibility is averaged over in the rows of SCENIC+
SEED = 666  # of every tree of SCENIC+
Networks = dict[str, list[pd.DataFrame]]


def networks(
    preset: str, promoters: Callable[[pd.Index], pd.DataFrame], *, theirs: bool, smooth: bool, n_runs: int = 1
) -> Callable[[], Networks]:
    """Edge tables of five random 90 % of the cells, without motifs and with hits in promoters.

    `theirs` asks for the regressions of SCENIC+, `smooth` for its rows. With several runs a network is the consensus of that
    of the part and those of random 90 % of it, as `grs.tl.consensus_grn` joins them.
    """
    import grnformer_sc as grs
    from grnformer_sc.grn.consensus import consensus_edges
    from grnformer_sc.grn.layout import join_links, lay_out
    from grnformer_sc.grn.links import Evidence, LinkScores, Work
    from grnformer_sc.grn.settings import PRESETS

    mdata = grs.datasets.snare_cortex(subset="small")
    rna, atac = mdata["rna"], mdata["atac"]
    rna = rna[:, rna.var_names.sort_values()].copy()
    hits = promoters(atac.var_names)
    hits = hits.loc[:, hits.columns.isin(rna.var_names)]
    evidence = {
        "no motifs": (grs.priors.tf_names(rna.var_names), Evidence()),
        "promoter motifs": (hits.columns, Evidence(motifs=sp.csr_matrix(hits.sparse.to_coo(), dtype=np.float32))),
    }
    settings = PRESETS[preset]
    fewest = -(-settings.eregulons.min_targets * N_TARGETS // rna.n_vars)  # an eRegulon has as many fewer genes
    settings = replace(settings, eregulons=replace(settings.eregulons, min_targets=fewest))
    work = Work(settings=settings, root=0, n_jobs=1)
    targets = np.sort(np.random.default_rng(0).permutation(rna.n_vars)[:N_TARGETS])
    pairs = candidates(rna, atac, targets, settings)

    def of_cells(keep: np.ndarray) -> dict[str, pd.DataFrame]:
        pools, found = replace((smoothed if smooth else pooled)(rna[keep], atac[keep]), pairs=pairs), {}
        regions = score_regions(pools, work, theirs=theirs)
        for name, (tfs, known) in evidence.items():
            pools = replace(pools, tfs=pools.genes.get_indexer(tfs))
            scores = LinkScores(regions, score_tfs(pools, work, targets, theirs=theirs))
            found[name] = lay_out(join_links(scores, known, settings.eregulons), scores, pools, known)
        return found

    def call() -> Networks:
        found: Networks = {name: [] for name in evidence}
        for number in range(N_PARTS):
            part = part_of(np.arange(rna.n_obs), number)
            cells = [part, *(part_of(part, 100 * number + run) for run in range(1, n_runs))]
            runs = [of_cells(some) for some in cells]
            for name, tables in found.items():
                own = [run[name] for run in runs]
                tables.append(own[0] if n_runs == 1 else consensus_edges(own, min_targets=fewest))
        return found

    return call


def part_of(cells: np.ndarray, seed: int) -> np.ndarray:
    """A random 90 % of the cells."""
    return np.sort(np.random.default_rng(seed).permutation(cells)[: round(SHARE * cells.size)])


def candidates(rna: Any, atac: Any, targets: np.ndarray, settings: Any) -> pd.DataFrame:
    """Pairs of the target genes and their regions."""
    from grnformer_sc.pp._link_regions import region_pairs

    pairs, _ = region_pairs(rna, atac, None, window=settings.window, decay=settings.decay, anchor=settings.anchor)
    return pairs[pairs["gene"].isin(targets)].sort_values(["gene", "region"], ignore_index=True)


def pooled(rna: Any, atac: Any) -> Any:
    """Rows as `build_grn` takes them."""
    from grnformer_sc._core.rng import as_root, seeds_for
    from grnformer_sc.grn.embedding import log_normalise, pca_scores
    from grnformer_sc.grn.links import Pools
    from grnformer_sc.grn.metacells import median_depth
    from grnformer_sc.grn.pooling import cells_by_seed, neighbour_pools, plan_rows

    counts, access = sp.csr_matrix(rna.X), sp.csr_matrix(atac.X)
    codes = rna.obs["cell_type"].astype("category").cat.codes.to_numpy().astype(np.int64)
    seeds = seeds_for(as_root(0), "rows", rna.obs_names)
    depths = (np.asarray(x.sum(axis=1)).ravel() for x in (counts, access))
    plan = plan_rows(rna.n_obs, median_depth(*depths))
    assert plan.n_single  # these cells are shallow
    centres = cells_by_seed(codes, plan.n_pools, seeds)
    weights = neighbour_pools(pca_scores(counts)[0], codes, centres, plan.n_neighbours)
    single = cells_by_seed(codes, plan.n_single, seeds)
    return Pools(
        expression=log_normalise(sp.csr_matrix(weights @ counts)).toarray(), codes=codes[centres], genes=rna.var_names,
        tfs=np.empty(0, dtype=np.int64), accessibility=sp.csc_matrix(log_normalise(sp.csr_matrix(weights @ access))),
        regions=atac.var_names, single=log_normalise(counts[single]).toarray(), single_codes=codes[single],
    )  # fmt: skip


def smoothed(rna: Any, atac: Any) -> Any:
    """Single cells; a region is as open as it is often open in the cell and its nearest neighbours by RNA."""
    from grnformer_sc.grn.embedding import log_normalise, pca_scores
    from grnformer_sc.grn.links import Pools

    counts, is_open = sp.csr_matrix(rna.X), sp.csr_matrix(atac.X, dtype=np.float32)
    is_open.data[:] = 1
    near = NearestNeighbors(n_neighbors=NEIGHBOURS - 1).fit(pca_scores(counts)[0]).kneighbors_graph() + sp.eye(
        rna.n_obs
    )
    access = sp.csc_matrix(near.astype(np.float32) @ is_open / np.float32(NEIGHBOURS))
    access.sort_indices()
    return Pools(
        expression=log_normalise(counts).toarray(), codes=np.zeros(rna.n_obs, dtype=np.int64), genes=rna.var_names,
        tfs=np.empty(0, dtype=np.int64), accessibility=access, regions=atac.var_names,
    )  # fmt: skip


def score_regions(pools: Any, work: Any, *, theirs: bool) -> pd.DataFrame:
    """Importance and Spearman correlation of the pairs."""
    from grnformer_sc.grn import links
    from grnformer_sc.grn.spearman import spearman_pairs

    if not theirs:
        return links.score_regions([pools], pools.pairs, work)
    gene, region = pools.pairs["gene"].to_numpy(), pools.pairs["region"].to_numpy()
    importance = [
        region_gene(pools.accessibility[:, own["region"]].toarray(), pools.expression[:, place], SEED)
        for place, own in pools.pairs.groupby("gene")
    ]
    score = np.concatenate(importance)
    rho = spearman_pairs(pools.expression, pools.accessibility, gene, region, n_jobs=1)
    return pools.pairs.assign(importance=score, rho=rho, score=score)


def score_tfs(pools: Any, work: Any, targets: np.ndarray, *, theirs: bool) -> Any:
    """Importance and Pearson correlation of all TFs; genes that are no targets have correlation 0 and no link."""
    from grnformer_sc.grn import links

    found = boosted_tfs(pools.for_tfs[0], pools.tfs, targets) if theirs else links.score_tfs([pools], work)
    if work.settings.self_links:
        found = links.with_self_links(found, pools.tfs)
    rho = np.zeros_like(found.rho)
    rho[:, targets] = found.rho[:, targets]
    return replace(found, rho=rho)


def boosted_tfs(x: np.ndarray, tfs: np.ndarray, targets: np.ndarray) -> Any:
    """GRNBoost2's importances in the form of our scores."""
    from grnformer_sc.grn.tf_gene import TfGeneLinks, standardise

    z = standardise(x)
    rho = (z[:, tfs].T @ z / len(z)).astype(np.float32)
    rho[np.arange(tfs.size), tfs] = 0
    importance = np.zeros_like(rho)
    for place in targets:
        others = np.flatnonzero(tfs != place)
        importance[others, place] = tf_gene(x[:, tfs[others]], x[:, place], SEED)[0]
    return TfGeneLinks(importance=importance, ridge=importance, boosting=importance, rho=rho, vote=importance)
