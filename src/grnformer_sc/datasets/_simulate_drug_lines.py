"""Cell lines with measured drug response and single cells without, which share one network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float, Int

from .._core.checks import need_between
from .._core.keys import TRUTH, TRUTH_ACTIVITY
from .._core.rng import RngLike, as_root, generator
from .._core.typing import Number
from ._layout import Layout, lay_out_genome, numbered
from ._regulation import Regulation, draw_regulation, draw_states, true_links
from ._simulate import CELL_TYPE, DISPERSION, draw_types

if TYPE_CHECKING:
    from anndata import AnnData

DRUGS = "drugs"  # uns: TFs that each drug depends on
DEPTH_OF_LINES = 3_000.0  # counts of a line, in units of a cell's
REGULATED = 0.8  # share of the genes with an enhancer


@dataclass(frozen=True, slots=True)
class World:
    """What lines and cells have in common, and the TFs that make them sensitive to each drug (drugs x targets)."""

    layout: Layout
    plan: Regulation
    targets: Int[np.ndarray, "drugs targets"]
    root: int

    @property
    def names(self) -> list[str]:
        return numbered("drug", len(self.targets), 1)


def simulate_drug_lines(
    n_lines: int = 300,
    n_cells: int = 1000,
    *,
    n_genes: int = 300,
    n_tfs: int = 24,
    n_types: int = 4,
    n_drugs: int = 2,
    n_targets: int = 2,
    shift: Number = 0.5,
    depth: Number = 1.0,
    noise: Number = 0.5,
    missing: Number = 0.1,
    confounding: Number = 0.0,
    planted: bool = True,
    rng: RngLike = 0,
) -> tuple[AnnData, AnnData]:
    """Simulate bulk profiles of cell lines with drug response, and single cells that one network regulates as well.

    A line or cell is sensitive to a drug when its targets, some TFs, are more active than in the median one. That activity
    is a latent state (`simulate_multiome`): mRNA of the TF shows it in part, the genes that it regulates show it together.
    Lines are measured deeply on another platform, on which every gene has a factor of its own; cells are sparse counts of
    two batches.

    Parameters
    ----------
    n_lines, n_cells
        Lines and cells.
    n_genes, n_tfs, n_types
        Genes (TFs included), TFs, and tissues, which lines and cells share.
    n_drugs, n_targets
        Drugs, and TFs that each depends on.
    shift
        Standard deviation of the log factor of a gene between the platforms, and half of it between the two batches.
    depth
        Counts of a cell, in units of `simulate_multiome`'s.
    noise
        Standard deviation of what response depends on besides, in units of that of the TFs' activity.
    missing
        Share of the lines without a measurement, drawn anew for each drug.
    confounding
        Share of the cells whose batch is their response to the first drug; the others are dealt at random. With 1 the label
        is the batch.
    planted
        `False` draws the response of lines and cells at random: nothing can be learnt.
    rng
        The same number gives the same bytes.

    Returns
    -------
    Cells and lines, two AnnData. Cells have raw counts in `X` (CSR float32), `obs["cell_type"]`, `obs["batch"]`; lines
    log2(counts per million + 1) in `X` (float32) and `obs["tissue"]`. Both have columns `drug1`, `drug2`, ... in `obs`: 1 is
    sensitive, 0 resistant, NaN not measured (those of the cells are the truth). Sets in the cells:

    `uns["truth"]` : DataFrame of true links, as `simulate_multiome`
    `uns["drugs"]` : DataFrame drug, tf
    `obsm["truth_activity"]` : DataFrame cells x TFs, float32

    Raises
    ------
    ValueError
        A number is too small, or a share is none.

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> cells, lines = grs.datasets.simulate_drug_lines(60, 100, n_genes=60, n_tfs=8, rng=0)
    >>> cells.shape, lines.shape, int(lines.obs["drug1"].isna().sum())
    ((100, 60), (60, 60), 6)
    """
    need_between(n_types, 1, 1000, name="n_types")
    need_between(n_tfs, 2, 10_000, name="n_tfs")
    need_between(n_genes, n_tfs + 2, 1_000_000, name="n_genes")
    for name, size in (("n_lines", n_lines), ("n_cells", n_cells)):
        need_between(size, 2 * n_types, 100_000_000, name=name)
    need_between(n_drugs, 1, 1000, name="n_drugs")
    need_between(n_targets, 1, n_tfs, name="n_targets")
    for name, share in (("missing", missing), ("confounding", confounding)):
        need_between(share, 0, 1, name=name)
    for name, amount in (("shift", shift), ("noise", noise)):
        need_between(amount, 0, 100, name=name)
    need_between(depth, 1e-3, 1e3, name="depth")
    root = as_root(rng)
    layout = lay_out_genome(n_genes, n_tfs, REGULATED, generator(root, "layout"))
    plan = draw_regulation(layout, n_tfs, n_types, 0.0, generator(root, "regulation"))
    random = generator(root, "targets")
    targets = np.stack([_chosen(plan, n_tfs, n_targets, random) for _ in range(n_drugs)])
    world = World(layout, plan, targets, root)
    strength = float(noise) if planted else float("inf")
    lines = _lines(world, n_lines, n_types, float(shift), strength, float(missing))
    cells = _cells(world, n_cells, n_types, float(shift) / 2, strength, float(depth), float(confounding))
    return cells, lines


def _chosen(plan: Regulation, n_tfs: int, n: int, rng: np.random.Generator) -> Int[np.ndarray, " targets"]:
    """TFs of one drug, among the half with most sites: a TF that regulates nothing leaves no trace."""
    sites = np.bincount(plan.sites["tf"].to_numpy(), minlength=n_tfs)
    busy = np.argsort(-sites, kind="stable")[: max(n, n_tfs // 2)]
    return np.sort(rng.choice(busy, n, replace=False))


def _response(world: World, activity: Float[np.ndarray, "rows tfs"], noise: float, name: str) -> pd.DataFrame:
    """1 where the targets are more active than in the median row, after noise; at random for endless noise."""
    out = {}
    for drug, tfs in zip(world.names, world.targets, strict=True):
        driven = activity[:, tfs].mean(axis=1)
        own = generator(world.root, "noise", name, drug).normal(size=driven.size)
        total = own if np.isinf(noise) else driven + noise * driven.std() * own
        out[drug] = (total > np.median(total)).astype(np.float64)
    return pd.DataFrame(out)


def _lines(world: World, n: int, n_types: int, shift: float, noise: float, missing: float) -> AnnData:
    from anndata import AnnData

    rng = generator(world.root, "lines")
    types = draw_types(n, n_types, rng)
    activity, _, rate = draw_states(types, world.layout, world.plan, rng)
    counts = rng.poisson(rate * np.exp(rng.normal(0, shift, rate.shape[1])) * DEPTH_OF_LINES)
    x = np.log2(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) * 1e6 + 1).astype(np.float32)
    obs = _response(world, activity, noise, "lines").set_axis(pd.Index(numbered("line", n, 3)))
    tissue = pd.Categorical.from_codes(types, numbered("type", n_types, 1))
    for drug in world.names:
        gone = generator(world.root, "missing", drug).permutation(n)[: round(missing * n)]
        obs.iloc[gone, obs.columns.get_loc(drug)] = np.nan
    return AnnData(x, obs=obs.assign(tissue=tissue), var=pd.DataFrame(index=world.layout.genes.index))


def _cells(world: World, n: int, n_types: int, shift: float, noise: float, depth: float, confounding: float) -> AnnData:
    from anndata import AnnData

    rng = generator(world.root, "cells")
    types = draw_types(n, n_types, rng)
    activity, _, rate = draw_states(types, world.layout, world.plan, rng)
    obs = _response(world, activity, noise, "cells").set_axis(pd.Index(numbered("cell", n, 5)))
    batch = rng.integers(0, 2, n)
    follows = rng.random(n) < confounding
    batch[follows] = obs[world.names[0]].to_numpy(dtype=np.int64)[follows]
    factor = np.exp(rng.normal(0, shift, (2, rate.shape[1])))[batch]
    size = depth * rng.lognormal(0, 0.35, (n, 1))
    counts = rng.poisson(rate * factor * size * rng.gamma(1 / DISPERSION, DISPERSION, rate.shape))
    obs[CELL_TYPE] = pd.Categorical.from_codes(types, numbered("type", n_types, 1))
    obs["batch"] = pd.Categorical.from_codes(batch, ["batch1", "batch2"])
    out = AnnData(sp.csr_matrix(counts, dtype=np.float32), obs=obs, var=world.layout.genes.copy())
    tfs = out.var_names[out.var["is_tf"].to_numpy()]
    out.uns[TRUTH] = true_links(world.layout, world.plan)
    pairs = [(drug, tfs[tf]) for drug, row in zip(world.names, world.targets, strict=True) for tf in row]
    out.uns[DRUGS] = pd.DataFrame(pairs, columns=["drug", "tf"]).set_axis([str(i) for i in range(len(pairs))])
    out.obsm[TRUTH_ACTIVITY] = pd.DataFrame(activity.astype(np.float32), index=obs.index, columns=tfs)
    return out
