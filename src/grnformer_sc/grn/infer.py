"""The default method, `eregulon`: from pooled counts and evidence to the edge table."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float, Int
from scipy.stats import rankdata

from .._core.checkpoint import Checkpoint
from .._core.rng import seeds_for
from .._core.tables import edge_table, eregulon_name, places_in
from .aucell import Norm
from .boosting import REGION_GENE, TF_GENE, BoostSettings
from .eregulons import EregulonSettings, Links, Modules, correlation_regulons, motif_eregulons, supported_links
from .region_gene import DECAY, WINDOW, Anchor, score_pairs
from .tf_gene import TfGeneLinks, tf_gene_links

SELF_MARGIN = 1e-5


@dataclass(frozen=True, slots=True)
class Evidence:
    """What ties TFs to regions (motif hits) or to genes (a prior network); at most one of the two."""

    motifs: sp.csr_matrix | None = None
    prior: sp.csr_matrix | None = None


@dataclass(frozen=True, slots=True)
class Pools:
    """Pooled data in name order: log-normalised expression, and accessibility with its candidate pairs."""

    expression: Float[np.ndarray, "cells genes"]
    genes: pd.Index
    tfs: Int[np.ndarray, " tfs"]
    accessibility: sp.csc_matrix | None = None
    regions: pd.Index | None = None
    pairs: pd.DataFrame | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InferSettings:
    """Settings of all stages; the defaults are the `default` preset.

    `window`, `anchor` and `decay` define the search space. With `contact` region -> gene links are ranked by importance x
    |rho| x distance weight, else by importance alone. With `self_links` every TF is its own best target. `norm` is what
    AUCell divides by.
    """

    eregulons: EregulonSettings = field(default_factory=EregulonSettings)
    region_gene: BoostSettings = REGION_GENE
    tf_gene: BoostSettings = TF_GENE
    window: int = WINDOW
    anchor: Anchor = "tss"
    decay: float = DECAY
    contact: bool = True
    self_links: bool = False
    norm: Norm = "decoupler"


PRESETS = {
    "default": InferSettings(),
    "scenicplus": InferSettings(
        eregulons=EregulonSettings(min_support=1, closed=True, basc="scenicplus"),
        window=150_000,
        anchor="body",
        contact=False,
        self_links=True,
        norm="pyscenic",
    ),
}


@dataclass(frozen=True, slots=True)
class Inferred:
    """Edge table and the scores of all candidate links behind it."""

    edges: pd.DataFrame
    region_gene: pd.DataFrame | None
    tf_gene: TfGeneLinks


def infer_edges(
    pools: Pools, evidence: Evidence, settings: InferSettings, *, root: int, n_jobs: int, checkpoint: Checkpoint
) -> Inferred:
    """Score region -> gene and TF -> gene links, join them to eRegulons, and lay out the edge table."""
    links = None
    if pools.pairs is not None and pools.accessibility is not None:
        seeds = seeds_for(root, "region_gene", pools.genes)
        importance, rho = score_pairs(
            pools.expression, pools.accessibility, pools.pairs["gene"].to_numpy(), pools.pairs["region"].to_numpy(),
            seeds, settings=settings.region_gene, n_jobs=n_jobs, checkpoint=checkpoint,
        )  # fmt: skip
        score = importance * np.abs(rho) * pools.pairs["weight"].to_numpy() if settings.contact else importance
        links = pools.pairs.assign(importance=importance, rho=rho, score=score)
    seeds = seeds_for(root, "tf_gene", pools.genes)
    tf_gene = tf_gene_links(
        pools.expression, pools.tfs, seeds, settings=settings.tf_gene, n_jobs=n_jobs, checkpoint=checkpoint
    )
    if settings.self_links:
        tf_gene = with_self_links(tf_gene, pools.tfs)
    modules = join_links(links, tf_gene, evidence, settings.eregulons)
    return Inferred(lay_out(modules, links, tf_gene, pools, evidence), links, tf_gene)


def with_self_links(links: TfGeneLinks, tfs: Int[np.ndarray, " tfs"]) -> TfGeneLinks:
    """Make every TF its own best target, a little above the others (SCENIC+)."""
    importance, rho = links.importance.copy(), links.rho.copy()
    row = np.arange(tfs.size)
    importance[row, tfs] = links.importance.max(axis=1, initial=0) + SELF_MARGIN
    rho[row, tfs] = 1
    return replace(links, importance=importance, rho=rho)


def join_links(
    links: pd.DataFrame | None, tf_gene: TfGeneLinks, evidence: Evidence, settings: EregulonSettings
) -> Modules:
    """Form the eRegulons that the evidence allows.

    With motif hits, TF-region-gene triplets; otherwise TF -> gene regulons (of the prior's pairs where there is one),
    whose genes bring the regions linked to them.
    """
    if evidence.motifs is not None and links is not None:
        scored = Links(links["region"].to_numpy(), links["gene"].to_numpy(), links["score"].to_numpy())
        rho = links["rho"].to_numpy()
        return motif_eregulons(scored, rho, evidence.motifs, tf_gene.importance, tf_gene.rho, settings)
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


def lay_out(
    modules: Modules, links: pd.DataFrame | None, tf_gene: TfGeneLinks, pools: Pools, evidence: Evidence
) -> pd.DataFrame:
    """Write the triplets as an edge table with their scores, distances, evidence and names.

    `score` is the geometric mean of the ranks (0 to 1) of the link's parts: TF -> gene importance, and where there is a
    region its region -> gene score.
    """
    tf, gene, region = modules.tf, modules.gene, modules.region
    if not tf.size:
        return edge_table({})
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
    score = columns["tf_gene_importance"].astype(np.float64)
    if links is not None and pools.regions is not None:
        n_regions = len(pools.regions)
        row = pd.Index(links["gene"] * n_regions + links["region"]).get_indexer(gene * n_regions + region)
        row = np.where(region >= 0, row, -1)
        columns["region"] = np.where(region >= 0, pools.regions.to_numpy(dtype=object)[region], "")
        for name, source in {
            "region_gene_importance": "importance",
            "region_gene_rho": "rho",
            "distance": "distance",
        }.items():
            columns[name] = np.where(row >= 0, links[source].to_numpy()[row], np.nan)
        rank = rankdata(links["score"]) / len(links)
        score = np.where(row >= 0, np.sqrt(score * rank[row]), score)
    if evidence.motifs is not None:
        columns["motif_score"] = np.asarray(evidence.motifs[region, tf]).ravel()
        kind = "direct"
    else:
        kind = "none" if evidence.prior is None else "prior"
    return edge_table({**columns, "score": score, "evidence": np.full(tf.size, kind)})


def weight_matrix(edges: pd.DataFrame, genes: pd.Index) -> sp.csr_matrix:
    """Signed genes x genes matrix TF -> gene: the largest importance of any of its links, times the sign."""
    tf, gene = places_in(genes, edges["tf"]), places_in(genes, edges["gene"])
    weight = edges["tf_gene_importance"].to_numpy() * edges["sign"].to_numpy()
    order = np.lexsort((-np.abs(weight), gene, tf))
    tf, gene, weight = tf[order], gene[order], weight[order]
    first = np.r_[True, (tf[1:] != tf[:-1]) | (gene[1:] != gene[:-1])] if tf.size else np.empty(0, bool)
    return sp.csr_matrix((weight[first], (tf[first], gene[first])), (genes.size, genes.size), dtype=np.float32)
