"""From scored links to the edge table: eRegulons, one row per triplet, and its ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float
from scipy.special import comb
from scipy.stats import rankdata

from .._core.tables import edge_table, eregulon_name, places_in
from .eregulons import EregulonSettings, Links, Modules, correlation_regulons, motif_eregulons, supported_links
from .links import Evidence, LinkScores, Pools
from .tf_gene import share_below

REGION_COLUMNS = {"region_gene_importance": "importance", "region_gene_rho": "rho", "distance": "distance"}


def join_links(scores: LinkScores, evidence: Evidence, settings: EregulonSettings) -> Modules:
    """Form the eRegulons that the evidence allows.

    With motif hits, TF-region-gene triplets; otherwise TF -> gene regulons (of the prior's pairs where there is one),
    whose genes bring the regions linked to them.
    """
    links, tf_gene, hits = scores.region_gene, scores.tf_gene, evidence.hits
    if hits is not None and links is not None:
        scored = Links(links["region"].to_numpy(), links["gene"].to_numpy(), links["score"].to_numpy())
        return motif_eregulons(scored, links["rho"].to_numpy(), hits, tf_gene.importance, tf_gene.rho, settings)
    importance = tf_gene.importance
    if evidence.prior is not None:
        importance = importance * (evidence.prior != 0).toarray()
    modules = correlation_regulons(importance, tf_gene.rho, settings)
    return modules if links is None else with_regions(modules, links, settings)


def with_regions(modules: Modules, links: pd.DataFrame, settings: EregulonSettings) -> Modules:
    """Give every TF -> gene link the regions that are linked to its gene (-1 where there is none)."""
    positive = links[links["rho"] > settings.rho]
    scored = Links(positive["region"].to_numpy(), positive["gene"].to_numpy(), positive["score"].to_numpy())
    kept = positive[supported_links(scored, settings)][["gene", "region"]]
    table = modules.table().drop(columns="region").merge(kept, on="gene", how="left")
    table["region"] = table["region"].fillna(-1).astype(np.int64)
    table["region_sign"] = 1
    return Modules(*(table[name].to_numpy() for name in Modules.__dataclass_fields__))


def rows_of(modules: Modules, links: pd.DataFrame, n_regions: int) -> np.ndarray:
    """Row of every triplet in the table of pairs, sorted by gene and region (-1 where it has no region there)."""
    known = links["gene"].to_numpy() * n_regions + links["region"].to_numpy()
    wanted = modules.gene * n_regions + modules.region
    row = np.searchsorted(known, wanted)
    inside = (modules.region >= 0) & (row < known.size)
    inside[inside] = known[row[inside]] == wanted[inside]
    return np.where(inside, row, -1)


def triplet_scores(
    modules: Modules, scores: LinkScores, evidence: Evidence, n_regions: int
) -> Float[np.ndarray, " triplets"]:
    """Strength of a triplet on an absolute scale, so that networks from permuted data can be held against it.

    Votes for TF -> gene x root of the region -> gene score x number of supporting rules x rank of the motif hit among
    those of the TF (chosen on simulations). A link without a region, in a network without motifs, counts like one with
    the weakest region.
    """
    tf, gene, region = modules.tf, modules.gene, modules.region
    score = scores.tf_gene.vote[tf, gene].astype(np.float64) * modules.support
    if scores.region_gene is None or not tf.size:
        return score
    row = rows_of(modules, scores.region_gene, n_regions)
    weight = np.sqrt(scores.region_gene["score"].to_numpy(dtype=np.float64))[row]
    weight[row < 0] = weight[row >= 0].min(initial=1)
    score *= weight
    return score if evidence.ranks is None else score * np.asarray(evidence.ranks[region, tf]).ravel()


def lay_out(
    modules: Modules,
    scores: LinkScores,
    pools: Pools,
    evidence: Evidence,
    rates: Mapping[str, Float[np.ndarray, " triplets"]] | None = None,
) -> pd.DataFrame:
    """Write the triplets as an edge table with their scores, distances, evidence, names and false discovery rates."""
    tf, gene, region = modules.tf, modules.gene, modules.region
    if not tf.size:
        return edge_table({})
    tf_gene, links = scores.tf_gene, scores.region_gene
    columns = {
        "tf": pools.genes[pools.tfs[tf]],
        "gene": pools.genes[gene],
        "tf_gene_importance": tf_gene.importance[tf, gene],
        "tf_gene_rho": tf_gene.rho[tf, gene],
        "sign": modules.sign,
        "region_sign": modules.region_sign,
        "support": modules.support,
    }
    names = zip(columns["tf"], modules.sign, modules.region_sign, strict=True)
    columns["eregulon"] = [eregulon_name(*parts) for parts in names]
    n_regions = 0 if pools.regions is None else len(pools.regions)
    parts = [tf_gene.importance[tf, gene]]
    if links is not None and pools.regions is not None:
        row = rows_of(modules, links, n_regions)
        columns["region"] = np.where(region >= 0, pools.regions.to_numpy(dtype=object)[region], "")
        for name, source in REGION_COLUMNS.items():
            columns[name] = np.where(row >= 0, links[source].to_numpy()[row], np.nan)
        parts.append(np.where(row >= 0, links["score"].to_numpy()[row], 0))
    kind = np.full(tf.size, "none" if evidence.prior is None else "prior", dtype=object)
    if evidence.motifs is not None and evidence.hits is not None:
        columns["motif_score"] = np.asarray(evidence.hits[region, tf]).ravel()
        direct = np.asarray(evidence.motifs[region, tf]).ravel() != 0
        kind = np.where(direct, "direct", "extended")
        parts.append(columns["motif_score"])
    score = share_below(triplet_scores(modules, scores, evidence, n_regions))
    columns |= {"score": score, "triplet_rank": triplet_rank(parts), "evidence": kind, **(rates or {})}
    return edge_table(columns)


def triplet_rank(parts: Sequence[Float[np.ndarray, " triplets"]]) -> Float[np.ndarray, " triplets"]:
    """Rank (1: best) of the order statistic of all parts' rank ratios (Aerts et al. 2006), as SCENIC+ ranks triplets.

    Each part is ranked, largest first, equal values sharing their mean rank. With the ratios r_(1) <= ... <= r_(n) of a
    triplet, w_0 = 1 and w_k = sum_{j<k} (-1)^j C(k, j+1) r_(n-k+1)^(j+1) w_{k-j-1}; the statistic is w_n.
    """
    ratios = np.sort([rankdata(-np.asarray(part, dtype=np.float64)) / len(part) for part in parts], axis=0)
    n = len(parts)
    w = [np.ones(ratios.shape[1])]
    for k in range(1, n + 1):
        r = ratios[n - k]
        w.append(sum((-1) ** j * comb(k, j + 1) * r ** (j + 1) * w[k - j - 1] for j in range(k)))
    return rankdata(w[n])


def weight_matrix(edges: pd.DataFrame, genes: pd.Index) -> sp.csr_matrix:
    """Signed genes x genes matrix TF -> gene: the largest importance of any of its links, times the sign.

    Links with an end that is not among the genes are left out.
    """
    tf, gene = places_in(genes, edges["tf"]), places_in(genes, edges["gene"])
    weight = edges["tf_gene_importance"].to_numpy() * edges["sign"].to_numpy()
    known = (tf >= 0) & (gene >= 0)
    tf, gene, weight = tf[known], gene[known], weight[known]
    order = np.lexsort((-np.abs(weight), gene, tf))
    tf, gene, weight = tf[order], gene[order], weight[order]
    first = np.r_[True, (tf[1:] != tf[:-1]) | (gene[1:] != gene[:-1])] if tf.size else np.empty(0, bool)
    return sp.csr_matrix((weight[first], (tf[first], gene[first])), (genes.size, genes.size), dtype=np.float32)


def edge_frequency(edges: pd.DataFrame, others: Sequence[pd.DataFrame]) -> Float[np.ndarray, " edges"]:
    """Share of other networks that hold the same TF-region-gene link with the same signs."""
    if not others:
        return np.full(len(edges), np.nan)
    on = ["eregulon", "gene", "region"]
    keys = pd.MultiIndex.from_frame(edges[on].astype(str))
    found = [keys.isin(pd.MultiIndex.from_frame(other[on].astype(str))) for other in others]
    return np.mean(found, axis=0)
