"""The plan of a simulation: genome, motifs, enhancers and their TFs, programmes of the cell types."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._core.rng import generator

N_CHROMOSOMES = 4
SPACING = 120_000  # bp between genes
REGIONS_PER_GENE = 10
FARTHEST = 400_000  # bp
REGION_BP = 300
MOTIF_BP = 10
CHANCE_HITS = 0.06  # share of the regions that carry a TF's motif without being its target
MISSED_HITS = 0.1  # share of the true sites that the motif table misses
BASES = np.array(list("ACGT"))


@dataclass(frozen=True, slots=True)
class Blueprint:
    """Everything about a simulation that does not depend on single cells."""

    genes: pd.DataFrame
    regions: pd.DataFrame
    hits: sp.csr_matrix
    pwm: np.ndarray
    enhancers: list[tuple[int, int, np.ndarray, np.ndarray, bool]]
    truth: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
    opens: sp.csr_matrix
    tf_program: np.ndarray
    hidden_program: np.ndarray
    region_base: np.ndarray
    gene_base: np.ndarray

    @property
    def n_regions(self) -> int:
        return len(self.regions)


def draw_blueprint(n_genes: int, n_tfs: int, n_types: int, root: int) -> Blueprint:
    """Draw the plan; TFs are the first genes and are not targets themselves."""
    random = generator(root, "genome")
    genes = _place_genes(n_genes, n_tfs, random)
    regions, owner, distance = _place_regions(genes, random)
    random = generator(root, "network")
    enhancers, truth = _draw_enhancers(owner, distance, n_genes, n_tfs, random)
    tf, region, _, sign = truth
    acts = sign > 0
    opens = sp.csr_matrix((np.ones(acts.sum()), (region[acts], tf[acts])), (len(regions), n_tfs))
    random = generator(root, "programmes")
    tf_program = 1.1 * random.standard_normal((n_types, n_tfs))
    hidden = 1.0 * random.standard_normal((n_types, n_tfs))
    base = -2.6 + 1.0 * random.standard_normal((n_types, len(regions))) + 0.6 * random.standard_normal(len(regions))
    gene_base = random.lognormal(0, 0.7, n_genes)
    random = generator(root, "motifs")
    hits, pwm, sequences = _plant_motifs(len(regions), n_tfs, tf, region, random)
    return Blueprint(
        genes, regions.assign(sequence=sequences), hits, pwm, enhancers, truth, opens, tf_program, hidden, base, gene_base
    )


def _place_genes(n_genes: int, n_tfs: int, random: np.random.Generator) -> pd.DataFrame:
    width = len(str(n_genes))
    names = [f"TF{i + 1:0{len(str(n_tfs))}d}" for i in range(n_tfs)] + [f"G{i + 1:0{width}d}" for i in range(n_genes - n_tfs)]
    slot = random.permutation(n_genes)  # TFs are spread over the genome
    start = 500_000 + (slot // N_CHROMOSOMES) * SPACING + random.integers(0, SPACING // 3, n_genes)
    length = random.integers(3_000, 40_000, n_genes)
    return pd.DataFrame(
        {
            "chrom": np.char.add("chr", (slot % N_CHROMOSOMES + 1).astype(str)).astype(object),
            "start": start,
            "end": start + length,
            "strand": random.choice(np.array(["+", "-"], dtype=object), n_genes),
            "is_tf": np.arange(n_genes) < n_tfs,
        },
        index=pd.Index(names),
    )


def _place_regions(genes: pd.DataFrame, random: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """A promoter and regions at log-uniform distances on both sides of every TSS."""
    n_genes = len(genes)
    tss = np.where(genes["strand"] == "-", genes["end"], genes["start"])
    distance = np.exp(random.uniform(np.log(1_500), np.log(FARTHEST), (n_genes, REGIONS_PER_GENE - 1)))
    distance = np.column_stack([random.uniform(0, 300, n_genes), distance]) * random.choice([-1, 1], (n_genes, REGIONS_PER_GENE))
    start = np.maximum(tss[:, None] + distance.astype(np.int64) - REGION_BP // 2, 1_000)
    chrom = np.repeat(genes["chrom"].to_numpy(), REGIONS_PER_GENE)
    names = pd.Index([f"{c}:{s}-{s + REGION_BP}" for c, s in zip(chrom, start.ravel(), strict=True)])
    first = ~names.duplicated()
    owner = np.repeat(np.arange(n_genes), REGIONS_PER_GENE)[first]
    return pd.DataFrame(index=names[first]), owner, np.abs(distance).ravel()[first]


def _draw_enhancers(
    owner: np.ndarray, distance: np.ndarray, n_genes: int, n_tfs: int, random: np.random.Generator
) -> tuple[list[tuple[int, int, np.ndarray, np.ndarray, bool]], tuple[np.ndarray, ...]]:
    """Choose 1-3 enhancers per target gene, near ones more often, each with 1-2 TFs; a TF keeps its sign everywhere."""
    tf_sign = np.where(random.random(n_tfs) < 0.3, -1, 1)
    popularity = random.permutation(1 / np.arange(1, n_tfs + 1) ** 0.5)
    enhancers, rows = [], []
    for gene in range(n_tfs, n_genes):
        mine = np.flatnonzero(owner == gene)
        near = np.maximum(distance[mine], 5_000) ** -0.87
        n_enhancers = min(mine.size, 1 + int(random.integers(0, 3)))
        for region in random.choice(mine, n_enhancers, replace=False, p=near / near.sum()):
            n_own = min(n_tfs, 1 + int(random.random() < 0.5))
            tfs = random.choice(n_tfs, n_own, replace=False, p=popularity / popularity.sum())
            enhancers.append((gene, int(region), tfs, tf_sign[tfs], bool(random.random() < 0.5)))
            rows.extend((int(tf), int(region), gene, int(tf_sign[tf])) for tf in tfs)
    table = np.unique(np.array(rows, dtype=np.int64).reshape(-1, 4), axis=0)
    return enhancers, (table[:, 0], table[:, 1], table[:, 2], table[:, 3])


def _plant_motifs(
    n_regions: int, n_tfs: int, tf: np.ndarray, region: np.ndarray, random: np.random.Generator
) -> tuple[sp.csr_matrix, np.ndarray, np.ndarray]:
    """Sequences with instances of true and chance sites, the PWMs, and the imperfect hit table."""
    pwm = random.dirichlet(np.full(4, 0.15), (n_tfs, MOTIF_BP))
    letters = random.integers(0, 4, (n_regions, REGION_BP))
    chance_region, chance_tf = np.nonzero(random.random((n_regions, n_tfs)) < CHANCE_HITS)
    site_region, site_tf = np.r_[region, chance_region], np.r_[tf, chance_tf]
    _, unique = np.unique(site_region * n_tfs + site_tf, return_index=True)
    site_region, site_tf = site_region[unique], site_tf[unique]
    at = random.integers(0, REGION_BP - MOTIF_BP, site_region.size)
    cumulative = pwm.cumsum(axis=2)
    drawn = (random.random((site_region.size, MOTIF_BP, 1)) > cumulative[site_tf]).sum(axis=2).clip(0, 3)
    letters[site_region[:, None], at[:, None] + np.arange(MOTIF_BP)] = drawn
    sequences = np.array(["".join(row) for row in BASES[letters]], dtype=object)
    seen = random.random(site_region.size) >= MISSED_HITS
    score = random.gamma(4, 2, site_region.size).astype(np.float32) + 3
    hits = sp.csr_matrix((score[seen], (site_region[seen], site_tf[seen])), (n_regions, n_tfs))
    return hits, pwm, sequences
