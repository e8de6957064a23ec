"""False discovery rates: the whole method is run on data in which one part of every triplet is broken by permutation.

A triplet says that a TF binds a region (evidence), that the region acts on a gene, and that the TF and the gene go
together. Each null breaks one of the three and keeps the others with all their dependence:

- ``genes``: the locus of every gene is given the expression of a gene on another chromosome, the same one for both kinds
  of links. Co-expression, cell types and motifs stay as they are.
- ``tfs``: the TFs swap their motif hits (or their rows of the prior).
- ``cells``: the expression of the TFs is shuffled over the cells of each group, all TFs alike.

A rate is the number of links that the null runs find at a score or above, over the number found in the data (Tusher et
al. 2001, with one more null link for finite permutations); that of a triplet is the largest of its nulls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float, Int
from scipy.stats import false_discovery_control

from .._core.rng import generator, seeds_for
from .._core.tables import eregulon_name
from .eregulons import Modules
from .layout import join_links, rows_of, triplet_scores
from .links import Evidence, LinkScores, PartScores, Pools, Work, average_tfs, score_swapped_regions
from .region_gene import parse_regions
from .tf_gene import TfGeneLinks, combine_parts


@dataclass(frozen=True, slots=True)
class Fdr:
    """False discovery rates of triplets, of their two kinds of links, and of eRegulons (by name)."""

    triplet: Float[np.ndarray, " triplets"]
    region_gene: Float[np.ndarray, " triplets"]
    tf_gene: Float[np.ndarray, " triplets"]
    eregulon: dict[str, float]


@dataclass(frozen=True, slots=True)
class NullNetwork:
    """A network found where the part `kind` is broken."""

    kind: str
    modules: Modules
    score: Float[np.ndarray, " triplets"]


def false_discovery(
    batches: Sequence[Pools], evidence: Evidence, scores: PartScores, modules: Modules, work: Work
) -> Fdr:
    """Run `n_perm` nulls of every kind that the data allow and count what they find."""
    pools, n_perm = batches[0], work.settings.n_perm
    n_regions = 0 if pools.regions is None else len(pools.regions)
    networks: list[NullNetwork] = []
    null_pairs, null_tfs = [], []

    def add(kind: str, null: LinkScores, known: Evidence) -> None:
        found = join_links(null, known, work.settings.eregulons)
        networks.append(NullNetwork(kind, found, triplet_scores(found, null, known, n_regions)))

    located = None if pools.regions is None or pools.pairs is None else gene_chromosomes(pools.pairs, pools.regions)
    if pools.pairs is not None and located is not None:
        swaps = [
            swap_genes(pools.genes.size, located, generator(work.root, "null genes", run)) for run in range(n_perm)
        ]
        for donors, links in zip(
            swaps, score_swapped_regions(batches, pools.pairs, work, np.stack(swaps)), strict=True
        ):
            null_pairs.append(_eligible(links, work))
            if evidence.hits is not None:
                add("genes", LinkScores(links, _of_donors(scores.tf_gene, donors)), evidence)
    for number in range(n_perm):
        if evidence.hits is not None or evidence.prior is not None:
            add(
                "tfs", scores, _swap_tfs(evidence, generator(work.root, "null tfs", number).permutation(pools.tfs.size))
            )
        shuffled = score_shuffled(batches, work, scores.tf_gene, number)
        null_tfs.append(shuffled.vote.ravel())
        add("cells", replace(scores, tf_gene=shuffled), evidence)
    real = triplet_scores(modules, scores, evidence, n_regions)
    kinds = sorted({network.kind for network in networks})
    by_kind = [[network for network in networks if network.kind == kind] for kind in kinds]
    tf_rate = tail_rate(scores.tf_gene.vote.ravel(), null_tfs)
    pair_rate = np.full(real.size, np.nan)
    pairs = scores.region_gene
    if pairs is not None:
        row = rows_of(modules, pairs, n_regions)
        pair_rate = np.where(row >= 0, tail_rate(_eligible(pairs, work), null_pairs)[row], np.nan)
    return Fdr(
        triplet=np.max([tail_rate(real, [network.score for network in part]) for part in by_kind], axis=0),
        region_gene=pair_rate,
        tf_gene=tf_rate.reshape(scores.tf_gene.importance.shape)[modules.tf, modules.gene],
        eregulon=_of_eregulons(NullNetwork("", modules, real), by_kind, pools),
    )


def _eligible(links: pd.DataFrame, work: Work) -> Float[np.ndarray, " pairs"]:
    """Score of the pairs whose correlation has a sign that eRegulons use; 0 for the others."""
    settings = work.settings.eregulons
    used = np.abs(links["rho"]) > settings.rho if settings.closed else links["rho"] > settings.rho
    return np.where(used, links["score"], 0.0)


def tail_rate(real: Float[np.ndarray, " links"], nulls: Sequence[Float[np.ndarray, "..."]]) -> np.ndarray:
    """Expected share of false links among those with at least the score of each link; falls as scores rise."""
    order = np.argsort(-real, kind="stable")
    found = np.searchsorted(np.sort(-real), -real[order], side="right")
    null = np.sort(np.concatenate([np.empty(0), *nulls]))
    false = null.size - np.searchsorted(null, real[order], side="left")
    rate = np.minimum((false + 1) / (len(nulls) * found), 1)
    out = np.empty(real.size)
    out[order] = np.minimum.accumulate(rate[::-1])[::-1]
    return out


def gene_chromosomes(pairs: pd.DataFrame, regions: pd.Index) -> pd.Series:
    """Chromosome of every gene that has candidate regions, by row number."""
    first = pairs.drop_duplicates("gene")
    chrom = parse_regions(regions)["chrom"].to_numpy()
    return pd.Series(chrom[first["region"]], index=first["gene"].to_numpy())


def swap_genes(n_genes: int, chromosome: pd.Series, rng: np.random.Generator) -> Int[np.ndarray, " genes"]:
    """Give every gene with candidate regions another such gene, on another chromosome where none holds half of them.

    Genes are laid out in random order within chromosomes, the chromosomes one after the other, and rotated by at least
    the size of the largest chromosome.
    """
    linked, size = chromosome.index.to_numpy(), len(chromosome)
    order = np.lexsort((rng.random(size), chromosome.to_numpy()))
    largest = int(chromosome.value_counts().max())
    low, high = (largest, size - largest) if 2 * largest <= size else (1, max(1, size - 1))
    donors = np.arange(n_genes)
    donors[linked[order]] = np.roll(linked[order], int(rng.integers(low, high + 1)))
    return donors


def _of_donors(links: TfGeneLinks, donors: Int[np.ndarray, " genes"]) -> TfGeneLinks:
    return TfGeneLinks(**{name: getattr(links, name)[:, donors] for name in TfGeneLinks.__dataclass_fields__})


def _swap_tfs(evidence: Evidence, order: Int[np.ndarray, " tfs"]) -> Evidence:
    def columns(hits: sp.csr_matrix | None) -> sp.csr_matrix | None:
        return None if hits is None else sp.csr_matrix(hits[:, order])

    prior = None if evidence.prior is None else sp.csr_matrix(evidence.prior[order])
    return Evidence(columns(evidence.motifs), columns(evidence.extended), prior)


def score_shuffled(batches: Sequence[Pools], work: Work, real: TfGeneLinks, number: int) -> TfGeneLinks:
    """TF -> gene links of TFs whose expression is shuffled over the cells of each group; ranks are those of the data."""
    parts = []
    for place, pools in enumerate(batches):
        x, codes = pools.for_tfs
        rng = generator(work.root, "null cells", number, place)
        mixed = np.lexsort((rng.random(codes.size), codes))
        source = np.empty(codes.size, dtype=np.int64)
        source[np.argsort(codes, kind="stable")] = mixed
        n_genes = x.shape[1]
        given = np.concatenate([x, x[source][:, pools.tfs]], axis=1)
        names = [*pools.genes, *(f"{pools.genes[tf]} shuffled" for tf in pools.tfs)]
        seeds = seeds_for(work.root, f"null tf_gene {number}", names)
        links = work.tf_links(given, np.arange(n_genes, given.shape[1]), seeds, n_targets=n_genes)
        parts.append(_of_donors(links, np.arange(n_genes)))
    found = average_tfs(parts, batches)
    return combine_parts(ridge=found.ridge, boosting=found.boosting, rho=found.rho, among=real)


def _of_eregulons(real: NullNetwork, by_kind: Sequence[Sequence[NullNetwork]], pools: Pools) -> dict[str, float]:
    """Benjamini-Hochberg rates of the eRegulons' sums of gene scores, against those of all TFs in the null runs."""
    own = _sums(real)
    rates = []
    for part in by_kind:
        nulls = [_sums(network) for network in part]
        drawn = pd.concat(nulls)
        p = pd.Series(1.0, index=own.index)
        for signs in {key[1:] for key in own.index}:
            same = [key for key in own.index if key[1:] == signs]
            null = drawn[[key[1:] == signs for key in drawn.index]].to_numpy()
            n_all = len(part) * pools.tfs.size  # TFs without this eRegulon count as well: their sum is 0
            p[same] = (1 + (null[None, :] >= own[same].to_numpy()[:, None]).sum(axis=1)) / (1 + n_all)
        n_tested = pools.tfs.size * max(len({key[1:] for key in own.index}), 1)
        padded = np.r_[p.to_numpy(), np.ones(n_tested - len(p))]
        rates.append(false_discovery_control(padded)[: len(p)] if len(p) else np.empty(0))
    names = [eregulon_name(pools.genes[pools.tfs[tf]], sign, state) for tf, sign, state in own.index]
    return dict(zip(names, np.max(rates, axis=0).tolist(), strict=True))


def _sums(network: NullNetwork) -> pd.Series:
    """Sum over the genes of every eRegulon (TF, sign, region sign) of the gene's best score."""
    table = network.modules.table().assign(score=network.score)
    best = table.groupby(["tf", "sign", "region_sign", "gene"])["score"].max()
    return best.groupby(level=["tf", "sign", "region_sign"]).sum()
