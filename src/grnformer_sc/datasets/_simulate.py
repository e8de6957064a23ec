"""A simulated multiome with a planted regulatory network: the embedded default data set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._core.checks import fail
from .._core.keys import MOTIFS, TRUTH
from .._core.params import recipe
from .._core.rng import RngLike, as_root, generator
from ._blueprint import REGION_BP, Blueprint, draw_blueprint

UMI = 900.0  # mean RNA counts per cell and 500 genes
FRAGMENTS = 700.0  # mean ATAC counts per cell and 500 genes
DISPERSION = 0.25  # of the negative-binomial RNA counts
CHUNK = 2000  # cells simulated at a time
COOPERATIVITY = 3.0  # Hill exponent
HALF = 0.5  # activity of half effect


def simulate_multiome(
    n_cells: int = 2000, *, n_genes: int = 500, n_tfs: int = 40, n_types: int = 5, rng: RngLike = 0
) -> Any:
    """Simulate paired RNA and ATAC counts of cells whose regulatory network is known.

    Regulation is non-linear (Hill functions of both signs, AND and OR at enhancers, closed enhancers are silent) and the
    activity of a TF only partly follows its mRNA, so linear methods are not favoured. Regions lie around genes with an
    enhancer-like decay of distance, many are decoys that open in some cell types without regulating anything, and motif
    hits hold true sites, chance hits and misses, planted as instances in the sequences of the regions.

    Parameters
    ----------
    n_cells
        Number of cells.
    n_genes
        Number of genes, TFs included.
    n_tfs
        Number of TFs.
    n_types
        Number of cell types.
    rng
        Seed or numpy Generator; the same seed gives the same bytes.

    Returns
    -------
    MuData with raw counts (CSR float32) in both modalities and `obs["cell_type"]`.

    `rna.var` : `chrom`, `start`, `end`, `strand`, `is_tf`
    `rna.uns["truth"]` : `edges` (table tf, region, gene, sign) and `params`
    `atac.var["sequence"]` : DNA of each region, with the planted motif instances
    `atac.varm["motifs"]` : CSR float32 regions x TFs, score of the hit; `atac.uns["motifs"]` : `tfs`, `pwm`, `source`

    Raises
    ------
    ValueError
        Sizes do not fit (at least 2 genes per TF, 2 cells per type).

    Examples
    --------
    >>> import grnformer_sc as grs
    >>> mdata = grs.datasets.simulate_multiome(60, n_genes=60, n_tfs=8, n_types=2, rng=0)
    >>> mdata["rna"].shape, list(mdata["rna"].uns["truth"]["edges"].columns)
    ((60, 60), ['tf', 'region', 'gene', 'sign'])
    """
    if n_types < 1 or n_cells < 2 * n_types or n_tfs < 2 or n_genes < 2 * n_tfs:
        raise fail(
            ValueError, "a simulation needs 2 cells per type, 2 TFs and 2 genes per TF.",
            f"{n_cells} cells, {n_types} types, {n_tfs} TFs, {n_genes} genes.", "raise n_cells or n_genes.",
        )  # fmt: skip
    root = as_root(rng)
    plan = draw_blueprint(n_genes, n_tfs, n_types, root)
    random = generator(root, "cells")
    types = np.sort(random.permutation(n_cells) % n_types)
    names = pd.Index([f"cell{i:0{len(str(n_cells))}d}" for i in range(n_cells)])
    obs = pd.DataFrame({"cell_type": pd.Categorical.from_codes(types, [f"type{t + 1}" for t in range(n_types)])}, index=names)
    parts = [_simulate_cells(plan, types[a : a + CHUNK], random) for a in range(0, n_cells, CHUNK)]
    rna, atac = (sp.vstack(part, format="csr") for part in zip(*parts, strict=True))
    params = {"n_cells": n_cells, "n_genes": n_genes, "n_tfs": n_tfs, "n_types": n_types, "rng_root": f"{root:032x}"}
    return _as_mudata(plan, rna, atac, obs, recipe("simulate_multiome", params, inputs={}, dropped={}))


def _simulate_cells(
    plan: Blueprint, types: np.ndarray, random: np.random.Generator
) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    n_cells, n_tfs = types.size, plan.tf_program.shape[1]
    message = plan.tf_program[types] + 0.6 * random.standard_normal((n_cells, n_tfs))
    hidden = plan.hidden_program[types] + 0.8 * random.standard_normal((n_cells, n_tfs))
    activity = 1 / (1 + np.exp(-1.6 * (0.75 * message + 0.65 * hidden)))
    bound = activity @ plan.opens.T.toarray() if plan.opens.nnz else np.zeros((n_cells, plan.n_regions))
    logit = plan.region_base[types] + 2.2 * bound + 0.5 * random.standard_normal((n_cells, 1))
    openness = 1 / (1 + np.exp(-logit))
    drive = _drive(plan, activity, openness)
    rate = plan.gene_base * (0.08 + drive)
    rate[:, :n_tfs] = plan.gene_base[:n_tfs] * np.exp(0.9 * message)
    size = random.lognormal(0, 0.35, (n_cells, 1)) * UMI * rate.shape[1] / 500
    mean = rate / rate.sum(axis=1, keepdims=True) * size
    counts = random.poisson(mean * random.gamma(1 / DISPERSION, DISPERSION, mean.shape))
    depth = random.lognormal(0, 0.4, (n_cells, 1)) * FRAGMENTS * rate.shape[1] / 500
    reads = random.poisson(openness / openness.sum(axis=1, keepdims=True) * depth)
    return sp.csr_matrix(counts, dtype=np.float32), sp.csr_matrix(reads, dtype=np.float32)


def _drive(plan: Blueprint, activity: np.ndarray, openness: np.ndarray) -> np.ndarray:
    """Transcription drive of every gene: enhancers add up, each limited by its openness and its TFs."""
    power = activity**COOPERATIVITY
    hill = power / (HALF**COOPERATIVITY + power)
    out = np.zeros((activity.shape[0], plan.gene_base.size))
    for gene, region, tfs, signs, needs_all in plan.enhancers:  # enhancers, not cells
        on = hill[:, tfs[signs > 0]]
        off = hill[:, tfs[signs < 0]]
        push = np.ones(activity.shape[0]) if on.shape[1] == 0 else on.prod(axis=1) if needs_all else 1 - (1 - on).prod(axis=1)
        out[:, gene] += openness[:, region] * push * (1 - 0.9 * off).prod(axis=1)
    return out / (1 + 0.4 * out)


def _as_mudata(plan: Blueprint, rna: sp.csr_matrix, atac: sp.csr_matrix, obs: pd.DataFrame, record: dict[str, Any]) -> Any:
    import mudata
    from anndata import AnnData

    first = AnnData(X=rna, obs=obs.copy(), var=plan.genes.copy())
    tf, region, gene, sign = plan.truth
    first.uns[TRUTH] = {
        "edges": pd.DataFrame(
            {
                "tf": plan.genes.index[tf].to_numpy(dtype=object),
                "region": plan.regions.index[region].to_numpy(dtype=object),
                "gene": plan.genes.index[gene].to_numpy(dtype=object),
                "sign": sign.astype(np.int8),
            },
            index=pd.RangeIndex(tf.size).astype(str),
        ),
        "params": record,
    }
    second = AnnData(X=atac, obs=obs.copy(), var=plan.regions[["sequence"]].copy())
    second.varm[MOTIFS] = plan.hits
    tfs = plan.genes.index[: plan.hits.shape[1]].to_numpy(dtype=object)
    second.uns[MOTIFS] = {"tfs": tfs, "pwm": plan.pwm, "source": f"simulated, {REGION_BP} bp regions"}
    with mudata.set_options(pull_on_update=False):
        return mudata.MuData({"rna": first, "atac": second}, obs=obs.copy())
