"""RNA cells with every slot that `get` reads, made without running anything: small, known, and with awkward names."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from grnformer_sc._core.keys import GrnKeys, ModelKeys
from grnformer_sc._core.params import recipe
from grnformer_sc._core.tables import edge_table, eregulon_name
from grnformer_sc.grn.network import Network

GROUPS = ("Astro", "L2/3", "Oligo")
TFS = ("Sox9", "Cux1", "Olig2", "Nkx2-1")
STATES = ((1, 1), (1, -1), (-1, 1))  # sign of TF -> gene, of region -> gene


def stored_rna(n_cells: int = 60, n_genes: int = 40, seed: int = 0) -> AnnData:
    """Cells, a network of three cell types and a fitted model's results."""
    rng = np.random.default_rng(seed)
    genes = [*TFS, *(f"Gm{1000 + i}Rik" for i in range(n_genes - len(TFS)))]
    cells = [f"cell{i}" for i in range(n_cells)]
    network = _network(rng, genes)
    codes = np.arange(n_cells) % len(GROUPS)
    names = network.eregulons["name"].tolist()
    auc = pd.DataFrame(rng.random((n_cells, len(names)), dtype=np.float32), index=cells, columns=names)
    active = (auc.to_numpy() > network.eregulons["threshold"].to_numpy()) & network.kept()[codes]
    adata = AnnData(
        sp.csr_matrix(rng.poisson(1.0, (n_cells, n_genes)).astype(np.float32)),
        obs=pd.DataFrame(index=cells), var=pd.DataFrame(index=genes),
    )  # fmt: skip
    keys = GrnKeys()
    adata.obs[keys.group] = pd.Categorical.from_codes(codes, categories=list(GROUPS))
    for auc_key, active_key in ((keys.auc, keys.active), (keys.auc_region, keys.active_region)):
        adata.obsm[auc_key] = auc.copy() if auc_key == keys.auc else auc / 2
        adata.obsm[active_key] = sp.csr_matrix(active)
    adata.obsm["X_umap"] = rng.random((n_cells, 2))
    adata.obsp[keys.connectivities] = sp.random(n_cells, n_cells, 0.1, format="csr", random_state=0)
    adata.uns[keys.cells] = {"connectivities_key": keys.connectivities, "params": {"method": "umap"}}
    adata.uns[f"{keys.group}_colors"] = ["#111111", "#222222", "#333333"]
    record = recipe("build_grn", {"method": "eregulon"}, inputs={"rna": "X"}, dropped={})
    adata.uns[keys.uns] = {**network.to_uns(), "params": record}
    _add_model(adata, network, rng)
    return adata


def _network(rng: np.random.Generator, genes: list[str]) -> Network:
    rows = []
    for i, tf in enumerate(TFS):
        for sign, state in STATES[: 1 + i % 3]:
            for gene in rng.choice([g for g in genes if g != tf], 12, replace=False):
                link = {
                    "tf": tf, "gene": gene, "sign": sign, "region_sign": state, "tf_gene_importance": rng.random(),
                    "evidence": "direct", "eregulon": eregulon_name(tf, sign, state),
                }  # fmt: skip
                rows += [{**link, "region": f"chr1:{at}-{at + 1}"} for at in range(1 + int(rng.integers(3)))]
    edges = edge_table(pd.DataFrame(rows))
    parts = edges.assign(eregulon=edges["eregulon"].astype(str)).groupby("eregulon")
    eregulons = parts.agg(
        tf=("tf", "first"), sign=("sign", "first"), region_sign=("region_sign", "first")
    ).reset_index()
    eregulons = eregulons.rename(columns={"eregulon": "name"}).assign(
        n_genes=parts["gene"].nunique().to_numpy(), n_regions=parts["region"].nunique().to_numpy(), threshold=0.5,
        threshold_rule="mixture", threshold_region=0.25, threshold_rule_region="unimodal",
    )  # fmt: skip
    grid = pd.MultiIndex.from_product([GROUPS, eregulons["name"]], names=["group", "eregulon"]).to_frame(index=False)
    kept = rng.random(len(grid)) < 0.8
    numbers = {name: rng.random(len(grid)) for name in ("active_fraction", "mean_auc", "rss")}
    groups = grid.astype("category").assign(kept=kept, **numbers)
    return Network(edges, eregulons, groups, sp.csr_matrix(rng.random((len(edges), len(GROUPS))) < 0.6), GROUPS)


def _add_model(adata: AnnData, network: Network, rng: np.random.Generator) -> None:
    keys = ModelKeys()
    received = rng.random((adata.n_vars, len(GROUPS)), dtype=np.float32)
    received[20:] = 0  # outside the network
    pairs = pd.DataFrame(
        [(group, tf, gene) for group in GROUPS for tf in TFS for gene in adata.var_names[4:12]],
        columns=["group", "regulator", "target"],
    )
    pairs = pairs.assign(weight=rng.random(len(pairs)).astype(np.float32), in_network=rng.random(len(pairs)) < 0.5)
    pairs = pairs.sort_values(["group", "weight"], ascending=[True, False], ignore_index=True)
    columns = (
        "rho",
        "p_value",
        "rho_degree_matched",
        "p_degree_matched",
        "rho_expression_matched",
        "p_expression_matched",
    )
    history = pd.DataFrame(
        {"epoch": range(5), "train_loss": [5.0, 4, 3, 2, 1], "validation_loss": [5.0, 4, 3.5, 3.6, 3.7]}
    )
    adata.varm[keys.attention] = received
    adata.uns[keys.uns] = {
        "params": recipe("tl.fit", {}, inputs={"counts": "X", "network": "grn"}, dropped={}),
        "history": history,
        "group_names": np.asarray(network.group_names, dtype=object),
        "attention": pairs.astype({"group": "category", "regulator": "category", "target": "category"}),
        "enrichment": pd.DataFrame({"group": GROUPS, **{name: rng.random(len(GROUPS)) + 0.01 for name in columns}}),
    }
