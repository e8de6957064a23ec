"""A multiome with a known network: non-linear regulation, TF activity that mRNA shows only in part, decoy evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float, Int
from scipy.special import expit

from .._core.checks import fail, listing, need_between
from .._core.inputs import as_mudata
from .._core.keys import GENOME, MOTIFS, TRUTH, TRUTH_ACTIVITY
from .._core.rng import RngLike, as_root, generator
from ._layout import WIDTH, Layout, lay_out_genome, numbered
from ._sequence import draw_motifs, draw_sequences, scan, to_text

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

CELL_TYPE = "cell_type"
CHUNK = 2048  # cells drawn at once; nothing larger than a chunk is ever dense
REPRESSORS = 0.3  # share of TFs that mostly repress
TURNED = 0.1  # share of sites that act against their TF's main sign
BOUND = 0.15  # share of the decoy regions that a TF opens without any gene responding
COPIED = 0.4  # share of the decoy regions that are open where some enhancer is
TFS_PER_FACTOR = 5  # cell states within a type: one hidden programme per so many TFs
REGULATED, UNREGULATED = 0.2, 0.8  # spread over cell types of the own level of a gene with and without an enhancer
KNOCKED_OUT = -4.0  # activity of a TF that is not there: below what any cell has
DISPERSION = 0.3  # of the negative binomial: variance = mean + DISPERSION * mean ** 2
ATAC_DEPTH = 0.12  # mean counts per region and cell


@dataclass(frozen=True, slots=True)
class Regulation:
    """Parameters of the planted network.

    `sites` has one row per TF bound to a region (`region, tf, sign, both`; `both`: its activators act together, AND,
    else each suffices, OR); enhancers are the regions of `layout.links`, the other regions with sites are decoys.
    """

    sites: pd.DataFrame
    slope: Float[np.ndarray, " sites"]
    middle: Float[np.ndarray, " sites"]
    strength: Float[np.ndarray, " links"]
    opening: sp.csr_matrix
    profile: Float[np.ndarray, "regions types"]
    region_rate: Float[np.ndarray, " regions"]
    gene_base: Float[np.ndarray, " genes"]
    gene_types: Float[np.ndarray, "genes types"]
    gene_factors: Float[np.ndarray, "genes factors"]
    tf_types: Float[np.ndarray, "types tfs"]
    hidden_types: Float[np.ndarray, "types tfs"]
    coupling: Float[np.ndarray, " tfs"]
    tf_factors: Float[np.ndarray, "factors tfs"]
    knocked_out: Int[np.ndarray, " absent"] = field(default_factory=lambda: np.empty(0, dtype=np.int64))


def simulate_multiome(
    n_cells: int = 2000,
    *,
    n_genes: int = 500,
    n_tfs: int = 40,
    n_types: int = 5,
    regulated: float = 0.8,
    hubs: float = 0.0,
    planted: bool = True,
    knockout: str | Sequence[str] = (),
    rng: RngLike = 0,
) -> MuData:
    """Simulate paired RNA and ATAC counts of cells whose regulatory network is known.

    Genes, enhancers and decoy regions lie on a small genome, enhancers at distances that follow d ** -0.87. A TF's
    activity is a mixture of its mRNA level and a hidden factor. Activators and repressors at an enhancer open or close
    it and act through Hill functions, alone or combined by AND or OR; the sum over the enhancers of a gene saturates.
    RNA counts are negative binomial, ATAC counts sparse Poisson. Motif hits come from a scan of the region sequences:
    planted instances (some too weak to be found), planted decoys, hits by chance, and TFs with almost equal motifs.
    Some decoy regions are open in the same cell types as an enhancer, others are opened by a TF without any gene
    responding, and some genes follow the cell type without any enhancer.

    Parameters
    ----------
    n_cells
        Cells; every type gets some.
    n_genes
        Genes, TFs included.
    n_tfs
        TFs.
    n_types
        Cell types; 1 gives cells of one line, in which a gene without an enhancer follows nothing but weak shared factors.
    regulated
        Share of the genes, TFs aside, that have an enhancer.
    hubs
        How unevenly sites are shared among TFs: the k-th most frequent TF has a share proportional to k ** -hubs. With 0 all
        TFs have about as many targets, with 1 a few have a large part of them and most have a handful, as in real networks.
    planted
        `False` cuts every link: TFs neither open a region nor act on a gene. Genes, regions and TFs still follow cell
        types and shared factors, each in its own way, and motifs stay where they are; the table of true links is empty.
        What is found in such cells is false.
    knockout
        Names of TFs that every cell lacks: no mRNA and no activity. All else is drawn as without it, so that the mean
        difference from the cells of the same `rng` is the response. TFs regulate no other TF here.
    rng
        The same number gives the same bytes.

    Returns
    -------
    MuData with the modalities `rna` and `atac`, raw counts in `X` (CSR float32), `obs["cell_type"]` in both. Sets:

    `mdata["rna"].var` : chrom, start, end, strand, is_tf
    `mdata["rna"].uns["truth"]` : DataFrame tf, region, gene, sign (+1/-1), logic ("and", "or", "single")
    `mdata["rna"].obsm["truth_activity"]` : DataFrame cells x TFs, float32, the latent activity
    `mdata["atac"].var` : chrom, start, end, sequence
    `mdata["atac"].varm["motifs"]` : CSR regions x TFs, float32, log-odds (bits) of the best hit with p <= 5e-5
    `mdata["atac"].uns["motifs"]` : tfs, source, pwm (float64, TFs x 10 x ACGT)
    `mdata["atac"].uns["genome"]` : what `simulated_genome` needs

    Raises
    ------
    ValueError
        A number is too small: a network needs 2 TFs and more genes than TFs, and every type 2 cells. `regulated` is no
        share, `hubs` is not between 0 and 5, or `knockout` names a gene that is no TF.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(200, n_genes=60, n_tfs=6, n_types=3, rng=0)
    >>> mdata["rna"].shape
    (200, 60)
    >>> mdata["rna"].uns["truth"].columns.tolist()
    ['tf', 'region', 'gene', 'sign', 'logic']
    """
    _check_sizes(n_cells, n_genes, n_tfs, n_types)
    need_between(regulated, 0, 1, name="regulated")
    need_between(hubs, 0, 5, name="hubs")
    root = as_root(rng)
    layout = lay_out_genome(n_genes, n_tfs, regulated, generator(root, "layout"))
    plan = draw_regulation(layout, n_tfs, n_types, hubs, generator(root, "regulation"))
    if not planted:
        layout, plan = _cut_links(layout, plan)
    plan = replace(plan, knocked_out=_tf_numbers(knockout, layout))
    types = draw_types(n_cells, n_types, generator(root, "types"))
    starts = range(0, n_cells, CHUNK)
    chunks = [_draw_cells(types[s : s + CHUNK], layout, plan, generator(root, "cells", s)) for s in starts]
    activity, rna, atac = zip(*chunks, strict=True)
    labels = pd.Categorical.from_codes(types, numbered("type", n_types, 1))
    obs = pd.DataFrame({CELL_TYPE: labels}, index=pd.Index(numbered("cell", n_cells, 5)))
    first = _rna(sp.vstack(rna, "csr"), obs, layout, plan, np.concatenate(activity))
    return as_mudata({"rna": first, "atac": _atac(sp.vstack(atac, "csr"), obs, layout, plan, root)})


def _cut_links(layout: Layout, plan: Regulation) -> tuple[Layout, Regulation]:
    """Nothing is regulated; the genes that were follow the cell types as much as the others."""
    regulated = np.unique(layout.links["gene"])
    gene_types = plan.gene_types.copy()
    gene_types[regulated] *= UNREGULATED / REGULATED
    return replace(layout, links=layout.links[:0]), replace(
        plan, opening=plan.opening * 0, strength=plan.strength[:0], gene_types=gene_types
    )


def _tf_numbers(names: str | Sequence[str], layout: Layout) -> Int[np.ndarray, " absent"]:
    tfs = layout.genes.index[layout.genes["is_tf"].to_numpy()]
    wanted = [names] if isinstance(names, str) else list(names)
    unknown = [name for name in wanted if name not in tfs]
    if unknown:
        raise fail(ValueError, f"knockout must name TFs: {listing(tfs)}.", f"{listing(unknown)}.", "name some of them.")
    return tfs.get_indexer(wanted).astype(np.int64)


def _check_sizes(n_cells: int, n_genes: int, n_tfs: int, n_types: int) -> None:
    need_between(n_types, 1, 1000, name="n_types")
    need_between(n_tfs, 2, 10_000, name="n_tfs")
    need_between(n_genes, n_tfs + 2, 1_000_000, name="n_genes")
    if n_cells < 2 * n_types:
        raise fail(ValueError, "every type needs 2 cells.", f"{n_cells} cells, {n_types} types.", "give more cells.")


def draw_types(n_cells: int, n_types: int, rng: np.random.Generator) -> Int[np.ndarray, " cells"]:
    """Type of every cell: unequal sizes, none below a third of the mean, in random order."""
    size = rng.uniform(0.4, 1.6, n_types)
    edges = np.rint(np.cumsum(size) / size.sum() * n_cells).astype(np.int64)
    return rng.permutation(np.searchsorted(edges, np.arange(n_cells), side="right"))


def draw_regulation(layout: Layout, n_tfs: int, n_types: int, hubs: float, rng: np.random.Generator) -> Regulation:
    n_regions, n_genes = len(layout.regions), len(layout.genes)
    enhancers = np.unique(layout.links["region"])
    rest = np.setdiff1d(np.flatnonzero(~layout.regions["promoter"].to_numpy()), enhancers)
    kind = rng.random(rest.size)
    bound, copies = rest[kind < BOUND], rest[(kind >= BOUND) & (kind < BOUND + COPIED * min(enhancers.size, 1))]
    sites = _draw_sites(np.r_[enhancers, bound], n_tfs, hubs, rng)
    per_region = sites.groupby("region")["tf"].transform("size").to_numpy()
    pull = 1.2 * sites["sign"].to_numpy() / np.sqrt(per_region)
    opening = sp.csr_matrix((pull, (sites["tf"], sites["region"])), (n_tfs, n_regions))
    # a TF is on in about a third of the types; its mRNA shows 70-95 % of its activity
    tf_types = np.where(rng.random((n_types, n_tfs)) < 0.35, 0.9, -0.5) + rng.normal(0, 0.2, (n_types, n_tfs))
    hidden_types = rng.normal(0, 0.5, (n_types, n_tfs))
    coupling = rng.uniform(0.7, 0.95, n_tfs)
    n_factors = max(2, n_tfs // TFS_PER_FACTOR)
    tf_factors = rng.normal(0, 0.15, (n_factors, n_tfs))
    tf_factors[rng.permutation(n_tfs) % n_factors, np.arange(n_tfs)] += rng.choice([-0.8, 0.8], n_tfs)
    profile = rng.normal(-0.5, 0.5, (n_regions, 1)) + np.where(rng.random((n_regions, n_types)) < 0.25, -2.5, 0.0)
    mean_activity = _mix(tf_types, hidden_types, coupling)
    model = rng.choice(enhancers, copies.size)
    profile[copies] = profile[model] + (mean_activity @ opening).T[model] + rng.normal(0, 0.3, (copies.size, n_types))
    profile[layout.regions["promoter"].to_numpy()] = rng.normal(0.5, 0.5)
    regulated = np.zeros(n_genes, dtype=bool)
    regulated[layout.links["gene"]] = True
    is_tf = layout.genes["is_tf"].to_numpy()
    own = np.where(regulated, REGULATED, np.where(is_tf, 0.0, UNREGULATED))
    return Regulation(
        sites=sites,
        slope=rng.uniform(1.5, 4, len(sites)),
        middle=rng.normal(0.2, 0.4, len(sites)),
        strength=rng.lognormal(0, 0.4, len(layout.links)),
        opening=opening,
        profile=profile,
        region_rate=rng.lognormal(0, 0.5, n_regions),
        gene_base=np.where(is_tf, 0.5, 2.0) * rng.lognormal(0, 0.7, n_genes),
        gene_types=rng.normal(0, 1, (n_genes, n_types)) * own[:, None],
        gene_factors=rng.normal(0, 0.25 / np.sqrt(len(tf_factors)), (n_genes, len(tf_factors))) * ~is_tf[:, None],
        tf_types=tf_types,
        hidden_types=hidden_types,
        coupling=coupling,
        tf_factors=tf_factors,
    )


def _draw_sites(regions: Int[np.ndarray, " bound"], n_tfs: int, hubs: float, rng: np.random.Generator) -> pd.DataFrame:
    """TFs bound to each region: one to three different ones, most with the main sign of the TF."""
    count = 1 + (rng.random(regions.size) < 0.5) + (rng.random(regions.size) < 0.1)
    main = np.where(rng.permutation(n_tfs) < REPRESSORS * n_tfs, -1, 1)
    sites = pd.DataFrame({"region": np.repeat(regions, count), "tf": _draw_tfs(n_tfs, hubs, int(count.sum()), rng)})
    sites["sign"] = main[sites["tf"]] * np.where(rng.random(len(sites)) < TURNED, -1, 1)
    sites["both"] = np.repeat(rng.random(regions.size) < 0.5, count)
    return sites.drop_duplicates(["region", "tf"]).sort_values(["region", "tf"], ignore_index=True)


def _draw_tfs(n_tfs: int, hubs: float, size: int, rng: np.random.Generator) -> Int[np.ndarray, " sites"]:
    """TF of every site; the k-th most frequent one (which, is random) has a share proportional to k ** -hubs."""
    if hubs == 0:
        return rng.integers(0, n_tfs, size)
    share = rng.permutation(np.arange(1, n_tfs + 1) ** -hubs)
    return rng.choice(n_tfs, size, p=share / share.sum())


def _mix(shown: np.ndarray, hidden: np.ndarray, coupling: np.ndarray) -> np.ndarray:
    """TF activity: the part that mRNA shows and the part that it does not."""
    return coupling * shown + np.sqrt(1 - coupling**2) * hidden


def _draw_cells(
    types: Int[np.ndarray, " cells"], layout: Layout, plan: Regulation, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "cells tfs"], sp.csr_matrix, sp.csr_matrix]:
    """Latent activity, RNA counts and ATAC counts of one chunk of cells."""
    activity, opened, rate = draw_states(types, layout, plan, rng)
    size = rng.lognormal(0, 0.35, (types.size, 1))
    rna = rng.poisson(rate * size * rng.gamma(1 / DISPERSION, DISPERSION, rate.shape))
    mean = opened * plan.region_rate * rng.lognormal(0, 0.4, (types.size, 1))
    atac = rng.poisson(mean * (ATAC_DEPTH / max(float((opened * plan.region_rate).mean()), 1e-9)))
    return activity.astype(np.float32), sp.csr_matrix(rna, dtype=np.float32), sp.csr_matrix(atac, dtype=np.float32)


def draw_states(
    types: Int[np.ndarray, " cells"], layout: Layout, plan: Regulation, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "cells tfs"], Float[np.ndarray, "cells regions"], Float[np.ndarray, "cells genes"]]:
    """Latent activity, openness and expected RNA counts (of a cell of mean depth), before anything is measured."""
    n, n_tfs = types.size, plan.coupling.size
    factors = rng.normal(size=(n, len(plan.tf_factors)))
    shown = plan.tf_types[types] + factors @ plan.tf_factors + rng.normal(0, 0.5, (n, n_tfs))
    hidden = plan.hidden_types[types] + rng.normal(0, 0.7, (n, n_tfs))
    activity = _mix(shown, hidden, plan.coupling)
    activity[:, plan.knocked_out] = KNOCKED_OUT
    opened = expit(plan.profile.T[types] + activity @ plan.opening)
    regulated = _regulate(activity, opened, layout, plan)
    regulated[:, :n_tfs] = np.exp(0.9 * shown)
    regulated[:, plan.knocked_out] = 0
    return (
        activity,
        opened,
        plan.gene_base * regulated * np.exp(plan.gene_types.T[types] + factors @ plan.gene_factors.T),
    )


def _regulate(
    activity: Float[np.ndarray, "cells tfs"],
    opened: Float[np.ndarray, "cells regions"],
    layout: Layout,
    plan: Regulation,
) -> Float[np.ndarray, "cells genes"]:
    """Expression relative to the base rate: Hill functions, AND/OR, openness, saturating sum over enhancers.

    With the activity on a log scale the Hill function a^n / (k^n + a^n) is a logistic function of it.
    """
    sites, links = plan.sites, layout.links
    hill = expit(plan.slope * (activity[:, sites["tf"].to_numpy()] - plan.middle))
    on, off = np.log(np.maximum(hill, 1e-6)), np.log(np.maximum(1 - hill, 1e-6))
    activates, both = sites["sign"].to_numpy() > 0, sites["both"].to_numpy()
    shape = len(sites), opened.shape[1]

    def total(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        rows = np.flatnonzero(chosen)
        return values @ sp.csr_matrix((np.ones(rows.size), (rows, sites["region"].to_numpy()[rows])), shape)

    joint = np.exp(total(on, activates & both))
    some = np.zeros(opened.shape[1], dtype=bool)
    some[sites["region"][activates & ~both]] = True
    either = np.where(some, 1 - np.exp(total(off, activates & ~both)), 1.0)
    drive = opened * joint * either * np.exp(total(off, ~activates))
    pull = sp.csr_matrix((plan.strength, (links["region"], links["gene"])), (opened.shape[1], len(layout.genes)))
    x = drive @ pull
    has = np.asarray(pull.sum(axis=0)).ravel() > 0
    return np.where(has, 0.05 + 1.6 * x / (0.35 + x), 0.5)


def true_links(layout: Layout, plan: Regulation) -> pd.DataFrame:
    table = layout.links.merge(plan.sites, on="region")
    activators = table.assign(n=table["sign"] > 0).groupby(["region", "gene"])["n"].transform("sum")
    logic = np.where((table["sign"] < 0) | (activators < 2), "single", np.where(table["both"], "and", "or"))
    frame = pd.DataFrame(
        {
            "tf": layout.genes.index.to_numpy()[table["tf"]],
            "region": layout.regions.index.to_numpy()[table["region"]],
            "gene": layout.genes.index.to_numpy()[table["gene"]],
            "sign": table["sign"].to_numpy(dtype=np.int8),
            "logic": logic,
        }
    )
    frame = frame.sort_values(["tf", "gene", "region"], ignore_index=True)
    frame.index = frame.index.astype(str)
    return frame


def _rna(counts: sp.csr_matrix, obs: pd.DataFrame, layout: Layout, plan: Regulation, activity: np.ndarray) -> AnnData:
    from anndata import AnnData

    out = AnnData(counts, obs=obs.copy(), var=layout.genes.copy())
    tfs = out.var_names[out.var["is_tf"].to_numpy()]
    out.uns[TRUTH] = true_links(layout, plan)
    out.obsm[TRUTH_ACTIVITY] = pd.DataFrame(activity, index=obs.index, columns=tfs)
    return out


def _atac(counts: sp.csr_matrix, obs: pd.DataFrame, layout: Layout, plan: Regulation, root: int) -> AnnData:
    """ATAC counts with sequences and their motif hits; as many decoy instances are planted as there are sites."""
    from anndata import AnnData

    rng = generator(root, "sequence")
    tfs = layout.genes.index[layout.genes["is_tf"].to_numpy()]
    n_regions, n_decoys = len(layout.regions), len(plan.sites)
    motifs = draw_motifs(tfs.size, rng)
    region = np.r_[plan.sites["region"], rng.integers(0, n_regions, n_decoys)]
    tf = np.r_[plan.sites["tf"], rng.integers(0, tfs.size, n_decoys)]
    sequence = draw_sequences((n_regions, WIDTH), region, tf, motifs, rng)
    var = layout.regions.drop(columns="promoter").assign(sequence=to_text(sequence))
    out = AnnData(counts, obs=obs.copy(), var=var)
    out.varm[MOTIFS] = scan(sequence, motifs)
    out.uns[MOTIFS] = {"tfs": tfs.to_numpy(dtype=object), "source": "simulate_multiome", "pwm": motifs}
    out.uns[GENOME] = {
        "root": f"{root:032x}",
        "chrom": np.array(list(layout.lengths), dtype=object),
        "length": np.array(list(layout.lengths.values()), dtype=np.int64),
    }
    return out
