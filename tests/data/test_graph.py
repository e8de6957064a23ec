from __future__ import annotations

import logging
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from grnformer_sc.data.fields import read_network
from grnformer_sc.data.graph import structure_graph
from grnformer_sc.grn.coexpression import Partners

toy_rna = runpy.run_path(str(Path(__file__).with_name("toy.py")))["toy_rna"]


def partners_of(rows):
    group, tf, gene = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return Partners(group, tf, gene, np.linspace(-0.5, 0.5, len(rows)).astype(np.float32))


def test_edges_of_a_cell_equal_the_tables():
    adata = toy_rna()
    network, genes = read_network(adata, "grn"), pd.Index(adata.var_names)
    graph = structure_graph(network, genes, partners_of([]))
    bits = adata.obsm["grn_active"].toarray()
    codes = adata.obs["grn_group"].cat.codes.to_numpy().astype(np.int64)
    got = graph.edges(torch.from_numpy(codes), torch.from_numpy(bits))
    holds = network.edge_groups.toarray()
    for cell in range(0, adata.n_obs, 17):
        on = bits[cell][network.eregulon_of_edge] & holds[:, codes[cell]]
        slow = set(zip(network.edges["tf"][on], network.edges["gene"][on], strict=True))
        mine = got.graph == cell
        fast = set(zip(genes[got.tf[mine]], genes[got.gene[mine]], strict=True))
        assert fast == slow
        assert mine.sum() == len(slow)


def test_links_without_their_genes_are_dropped_and_counted(caplog):
    adata = toy_rna()
    genes = pd.Index(adata.var_names).drop(["TF0", "g000", "g010"])
    with caplog.at_level(logging.INFO, logger="grnformer_sc"):
        graph = structure_graph(read_network(adata, "grn"), genes, partners_of([]))
    assert "9 of 40 links" in caplog.text  # eight of TF0 (g000 among them) and one to g010
    assert not torch.isin(graph.row_eregulon, torch.tensor([0])).any()


def test_coexpressed_pairs_that_are_links_are_left_out():
    adata = toy_rna()
    graph = structure_graph(
        read_network(adata, "grn"),
        pd.Index(adata.var_names),
        partners_of([(0, 0, 5), (0, 0, 50), (1, 0, 5), (2, 3, 9)]),
    )
    pairs = graph.partners(torch.tensor([0, 1, 2]))
    found = list(zip(pairs.graph.tolist(), pairs.tf.tolist(), pairs.gene.tolist(), strict=True))
    assert found == [(0, 0, 50), (1, 0, 5), (2, 3, 9)]  # TF0 -> gene 5 is a link of group 0 only
    assert (pairs.weight >= 0).all()


def test_links_weigh_their_best_score_over_the_mean_of_their_row():
    adata = toy_rna()
    edges = adata.uns["grn"]["edges"]
    edges["score"] = np.arange(1, len(edges) + 1, dtype=np.float32)
    edges.loc[edges["tf"] == "TF1", "score"] = np.nan
    network, genes = read_network(adata, "grn"), pd.Index(adata.var_names)
    graph = structure_graph(network, genes, partners_of([]), weighted=True)
    rows = network.edges[network.edges["tf"] == "TF3"].set_index("gene")["score"]
    row = int(((graph.row_tf == genes.get_loc("TF3")).nonzero())[0])
    own = slice(int(graph.indptr[row]), int(graph.indptr[row + 1]))
    expected = rows[genes[graph.targets[own].numpy()]] / rows.mean()
    np.testing.assert_allclose(graph.weight[own].numpy(), expected, rtol=1e-6)
    without = int(((graph.row_tf == genes.get_loc("TF1")).nonzero())[0])
    assert (graph.weight[int(graph.indptr[without]) : int(graph.indptr[without + 1])] == 1).all()
    assert (structure_graph(network, genes, partners_of([])).weight == 1).all()


def test_a_network_of_other_genes_is_an_error():
    with pytest.raises(
        ValueError, match=r"at least 5% of the network's links.*0 of 40; genes like \[a, b\].*use_grn=False"
    ):
        structure_graph(read_network(toy_rna(), "grn"), pd.Index(["a", "b"]), partners_of([]))
