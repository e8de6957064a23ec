"""A multiome with a known network: non-linear regulation, TF activity that mRNA shows only in part, decoy evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float, Int

from .._core.checks import fail, listing, need_between
from .._core.inputs import as_mudata
from .._core.keys import GENOME, MOTIFS, TRUTH, TRUTH_ACTIVITY
from .._core.rng import RngLike, as_root, generator
from ._layout import WIDTH, Layout, lay_out_genome, numbered
from ._regulation import Regulation, cut_links, draw_regulation, draw_states, true_links
from ._sequence import draw_motifs, draw_sequences, scan, to_text

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

CELL_TYPE = "cell_type"
CHUNK = 2048  # cells drawn at once; nothing larger than a chunk is ever dense
DISPERSION = 0.3  # of the negative binomial: variance = mean + DISPERSION * mean ** 2
ATAC_DEPTH = 0.12  # mean counts per region and cell


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
        layout, plan = cut_links(layout, plan)
    plan = replace(plan, knocked_out=_tf_numbers(knockout, layout))
    types = draw_types(n_cells, n_types, generator(root, "types"))
    starts = range(0, n_cells, CHUNK)
    chunks = [_draw_cells(types[s : s + CHUNK], layout, plan, generator(root, "cells", s)) for s in starts]
    activity, rna, atac = zip(*chunks, strict=True)
    labels = pd.Categorical.from_codes(types, numbered("type", n_types, 1))
    obs = pd.DataFrame({CELL_TYPE: labels}, index=pd.Index(numbered("cell", n_cells, 5)))
    first = _rna(sp.vstack(rna, "csr"), obs, layout, plan, np.concatenate(activity))
    return as_mudata({"rna": first, "atac": _atac(sp.vstack(atac, "csr"), obs, layout, plan, root)})


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
