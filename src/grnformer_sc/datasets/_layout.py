"""The mini genome of the simulator: where genes and regions lie, and which regions carry enhancers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Int

SPACING = 60_000  # bp of chromosome per gene
WIDTH = 500  # bp of a region
STEP = 600  # regions start on a grid, so that they never overlap
OFFSET = 100  # first start of that grid
GENES_PER_CHROM = 125
REGIONS_PER_GENE = 6
DECAY = 0.87  # enhancer distances follow d ** -0.87 (contact probability, CRISPRi screens)
NEAREST, FARTHEST = 2_000, 300_000  # bp between an enhancer and its TSS


@dataclass(frozen=True, slots=True)
class Layout:
    """Genes and regions with their positions, and the true region -> gene links.

    Attributes
    ----------
    genes
        `chrom`, `start`, `end`, `strand`, `is_tf`, indexed by gene name.
    regions
        `chrom`, `start`, `end`, `promoter`, indexed by region name, in genome order.
    links
        `region`, `gene` (row numbers) of the enhancers.
    lengths
        bp per chromosome.
    """

    genes: pd.DataFrame
    regions: pd.DataFrame
    links: pd.DataFrame
    lengths: dict[str, int]


def numbered(prefix: str, count: int, digits: int) -> list[str]:
    """Names with zero-padded numbers: `TF01`, `TF02`, ..."""
    width = max(digits, len(str(count)))
    return [f"{prefix}{i:0{width}d}" for i in range(1, count + 1)]


def lay_out_genome(n_genes: int, n_tfs: int, regulated: float, rng: np.random.Generator) -> Layout:
    """Draw positions of genes, enhancers (of a share `regulated` of the genes), promoters and decoy regions."""
    n_chroms = max(2, round(n_genes / GENES_PER_CHROM))
    slots = np.full(n_chroms, -(-n_genes // n_chroms) * SPACING // STEP)
    genes = _draw_genes(n_genes, n_tfs, n_chroms, int(slots[0]) * STEP, rng)
    tss = np.where(genes["strand"] == "+", genes["start"], genes["end"])
    chrom = genes["chrom"].cat.codes.to_numpy().astype(np.int64)
    gene = _enhancer_owners(genes["is_tf"].to_numpy(), regulated, rng)
    near = rng.random(gene.size)
    enhancers = _slot(chrom[gene], tss[gene] + _distances(near, rng), slots)
    promoters = _slot(chrom, tss, slots)
    n_decoys = max(REGIONS_PER_GENE * n_genes - gene.size - n_genes, 0)
    beside = rng.integers(0, n_genes, n_decoys)
    around = tss[beside] + _distances(rng.random(n_decoys), rng)
    anywhere = rng.integers(0, slots[0] * STEP, n_decoys)
    decoys = _slot(chrom[beside], np.where(rng.random(n_decoys) < 0.5, around, anywhere), slots)
    slot = np.unique(np.concatenate([enhancers, promoters, decoys]))
    names = genes["chrom"].cat.categories.to_numpy()
    place = pd.DataFrame({"chrom": names[slot // slots[0]], "start": slot % slots[0] * STEP + OFFSET})
    place["end"] = place["start"] + WIDTH
    place["promoter"] = np.isin(slot, promoters)
    place.index = pd.Index(place["chrom"] + ":" + place["start"].astype(str) + "-" + place["end"].astype(str))
    links = pd.DataFrame({"region": np.searchsorted(slot, enhancers), "gene": gene}).drop_duplicates(ignore_index=True)
    genes["chrom"] = genes["chrom"].astype(str)
    lengths = dict.fromkeys(names.tolist(), int(slots[0]) * STEP)
    return Layout(genes, place, links.sort_values(["region", "gene"], ignore_index=True), lengths)


def _draw_genes(n_genes: int, n_tfs: int, n_chroms: int, length: int, rng: np.random.Generator) -> pd.DataFrame:
    size = np.clip(rng.lognormal(9.3, 0.8, n_genes), 1_000, 100_000).astype(np.int64)
    tss = (
        rng.integers(FARTHEST // 3, length - FARTHEST // 3, n_genes)
        if length > FARTHEST
        else rng.integers(0, length, n_genes)
    )
    forward = rng.random(n_genes) < 0.5
    return pd.DataFrame(
        {
            "chrom": pd.Categorical.from_codes(
                rng.permutation(np.arange(n_genes) % n_chroms), numbered("chr", n_chroms, 1)
            ),
            "start": np.where(forward, tss, np.maximum(tss - size, 0)),
            "end": np.where(forward, np.minimum(tss + size, length), tss),
            "strand": np.where(forward, "+", "-"),
            "is_tf": np.arange(n_genes) < n_tfs,
        },
        index=pd.Index(numbered("TF", n_tfs, 2) + numbered("G", n_genes - n_tfs, 4)),
    )


def _enhancer_owners(is_tf: np.ndarray, regulated: float, rng: np.random.Generator) -> Int[np.ndarray, " enhancers"]:
    """Gene of every enhancer: none for TFs and the genes that are not regulated, else 1 to 3."""
    count = 1 + rng.binomial(2, 0.3, is_tf.size)
    count[is_tf | (rng.random(is_tf.size) < 1 - regulated)] = 0
    return np.repeat(np.arange(is_tf.size), count)


def _distances(uniform: np.ndarray, rng: np.random.Generator) -> Int[np.ndarray, " draws"]:
    """Signed distances with density d ** -DECAY between NEAREST and FARTHEST (inverse distribution function)."""
    power = 1 - DECAY
    low, high = NEAREST**power, FARTHEST**power
    size = (low + uniform * (high - low)) ** (1 / power)
    return np.where(rng.random(uniform.size) < 0.5, -size, size).astype(np.int64)


def _slot(chrom: np.ndarray, at: np.ndarray, slots: np.ndarray) -> Int[np.ndarray, " regions"]:
    """Genome-wide grid cell of a position; positions beyond an end of the chromosome are mirrored back."""
    last = slots[0] * STEP - 1
    at = np.abs(at)
    at = np.clip(np.where(at > last, 2 * last - at, at), 0, last)
    return chrom * slots[0] + at // STEP
