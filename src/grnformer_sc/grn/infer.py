"""From the rows of the regressions and evidence to the edge table: the default method, and any score of TF -> gene links."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from .layout import join_links, lay_out
from .links import Evidence, LinkScores, Pools, Work, mean_of_batches, score_links
from .nulls import false_discovery
from .tf_gene import TfScores, correlations, share_below, standardise


@dataclass(frozen=True, slots=True)
class Inferred:
    """Edge table, the scores of all candidate links behind it, and the number of edges before each filter."""

    edges: pd.DataFrame
    scores: LinkScores
    eregulon_fdr: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


def infer_edges(batches: Sequence[Pools], evidence: Evidence, work: Work) -> Inferred:
    """Score region -> gene and TF -> gene links, join them to eRegulons, and lay out the edge table."""
    settings = work.settings
    if not settings.extended:
        evidence = Evidence(motifs=evidence.motifs, prior=evidence.prior)
    scores = score_links(batches, work)
    modules = join_links(scores, evidence, settings.eregulons)
    if not settings.n_perm or not modules.tf.size:
        edges = lay_out(modules, scores, batches[0], evidence)
        return Inferred(edges, scores, counts={"joined": len(edges)})
    fdr = false_discovery(batches, evidence, scores, modules, work)
    rates = {"fdr": fdr.triplet, "region_gene_fdr": fdr.region_gene, "tf_gene_fdr": fdr.tf_gene}
    edges = lay_out(modules, scores, batches[0], evidence, rates)
    rate = edges["eregulon"].astype(str).map(fdr.eregulon)
    kept = _rows(edges, rate.to_numpy() <= settings.max_fdr)
    counts = {"joined": len(edges), f"in eRegulons of fdr <= {settings.max_fdr:g}": len(kept)}
    return Inferred(kept, scores, fdr.eregulon, counts)


def infer_scored(
    batches: Sequence[Pools], evidence: Evidence, work: Work, *, score: Callable[[Pools, Work], np.ndarray]
) -> Inferred:
    """Make a network of another score of TF -> gene links: no regions, links of a prior where there is one.

    The score is averaged over batches; the rules that turn links into regulons and the sign (Pearson's) are those of the
    default method, so that networks of different methods can be compared.
    """
    value = mean_of_batches([score(pools, work) for pools in batches], batches)
    rho = [correlations(standardise(pools.for_tfs[0]), pools.tfs) for pools in batches]
    importance = np.where(value > 0, share_below(value), 0).astype(np.float32)
    tf_gene = TfScores(importance=importance, rho=mean_of_batches(rho, batches, correlation=True), vote=value)
    scores = LinkScores(None, tf_gene)
    modules = join_links(scores, Evidence(prior=evidence.prior), work.settings.eregulons)
    edges = lay_out(modules, scores, batches[0], Evidence(prior=evidence.prior))
    return Inferred(edges, scores, counts={"joined": len(edges)})


def _rows(edges: pd.DataFrame, keep: np.ndarray) -> pd.DataFrame:
    """Some rows, numbered anew, without names that are no longer used."""
    out = edges[keep].reset_index(drop=True)
    out.index = out.index.astype(str)
    for name in ("tf", "region", "gene", "eregulon"):
        out[name] = out[name].cat.remove_unused_categories()
    return out
