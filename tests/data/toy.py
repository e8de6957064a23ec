"""A small RNA AnnData with a network in its slots: three types, five TFs, known regulons."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from grnformer_sc._core.rows import Rows
from grnformer_sc._core.tables import edge_table, eregulon_name
from grnformer_sc.data.visible import count_rates
from grnformer_sc.grn.network import Network
from grnformer_sc.grn.score import eregulon_table

N_TFS, N_TARGETS, GROUPS = 5, 8, ("A", "B/C", "D")


def toy_rna(n_cells: int = 120, n_genes: int = 60, *, seed: int = 0, region: bool = True) -> ad.AnnData:
    """Counts from TF activities; bits are the true activities (gene) and a noisy copy of them (region)."""
    rng = np.random.default_rng(seed)
    genes = np.array([f"TF{i}" for i in range(N_TFS)] + [f"g{i:03d}" for i in range(n_genes - N_TFS)])
    codes = rng.integers(3, size=n_cells)
    prefers = np.array([[1, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 1, 1]], dtype=bool)
    active = prefers[codes] & (rng.random((n_cells, N_TFS)) < 0.8)
    targets = N_TFS + np.arange(N_TFS * N_TARGETS).reshape(N_TFS, N_TARGETS)
    mean = np.full((n_cells, n_genes), 0.6)
    for tf in range(N_TFS):
        mean[:, [tf, *targets[tf]]] += 3.0 * active[:, [tf]]
    mean *= rng.gamma(8, 1 / 8, size=(n_cells, 1))
    counts = sp.csr_matrix(rng.poisson(mean), dtype=np.float32)
    adata = ad.AnnData(counts, obs=pd.DataFrame(index=[f"c{i}" for i in range(n_cells)]), var=pd.DataFrame(index=genes))
    network = toy_network(genes, targets, prefers)
    adata.uns["grn"] = network.to_uns()
    adata.obs["grn_group"] = pd.Categorical.from_codes(codes, categories=list(GROUPS))
    adata.obsm["grn_active"] = sp.csr_matrix(active)
    names = network.eregulons["name"].to_numpy()
    adata.obsm["grn_auc"] = pd.DataFrame(active.astype(np.float32), index=adata.obs_names, columns=names)
    if region:
        noisy = active ^ (rng.random(active.shape) < 0.1) & prefers[codes]
        adata.obsm["grn_active_region"] = sp.csr_matrix(noisy)
    return adata


def toy_network(genes: np.ndarray, targets: np.ndarray, prefers: np.ndarray) -> Network:
    """One activating eRegulon per TF, kept by the groups that prefer it."""
    n_tfs, n_targets = targets.shape
    tfs = np.repeat(genes[:n_tfs], n_targets)
    edges = edge_table({
        "tf": tfs, "gene": genes[targets.ravel()], "sign": np.int8(1), "score": np.float32(0.5),
        "tf_gene_rho": np.float32(0.3), "evidence": "none", "eregulon": [eregulon_name(tf, 1, 0) for tf in tfs],
    })  # fmt: skip
    eregulons = eregulon_table(edges)
    groups = pd.DataFrame({
        "group": np.repeat(GROUPS, n_tfs), "eregulon": np.tile(eregulons["name"], len(GROUPS)), "kept": prefers.ravel(),
    })  # fmt: skip
    edge_groups = sp.csr_matrix(np.repeat(prefers, n_targets, axis=1).T)
    return Network(edges, eregulons, groups, edge_groups, GROUPS)


def rates_of(counts: sp.csr_matrix) -> np.ndarray:
    """Share of each gene in all counts."""
    n_cells = counts.shape[0]
    return count_rates(Rows(counts), np.zeros(n_cells, dtype=np.int64), 1, np.arange(n_cells)).genes
