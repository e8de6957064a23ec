"""Networks are read exactly: of a type, of a cell, and by the readers of other tools."""

from __future__ import annotations

import io
import json

import decoupler as dc
import mudata
import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch

import grnformer_sc as grs


def edges_of_cell(adata, cell):
    """Links of a cell, one by one: the eRegulon's bit and the group's bit are on."""
    stored = adata.uns["grn"]
    row = list(adata.obs_names).index(cell)
    names = list(adata.obsm["grn_auc"].columns)
    bits = adata.obsm["grn_active"].toarray()[row]
    held = stored["edge_groups"].toarray()
    column = list(stored["group_names"]).index(adata.obs["grn_group"].iloc[row])
    return [
        position
        for position, eregulon in enumerate(stored["edges"]["eregulon"].astype(str))
        if bits[names.index(eregulon)] and held[position, column]
    ]


def test_links_of_a_cell_are_those_with_both_bits_on(rna):
    for cell in rna.obs_names[:12]:
        expected = rna.uns["grn"]["edges"].iloc[edges_of_cell(rna, cell)]
        pd.testing.assert_frame_equal(grs.get.grn(rna, cell=cell), expected)


def test_links_of_a_group_are_its_column(rna):
    held = rna.uns["grn"]["edge_groups"].toarray()
    for i, name in enumerate(rna.uns["grn"]["group_names"]):
        pd.testing.assert_frame_equal(grs.get.grn(rna, group=name), rna.uns["grn"]["edges"][held[:, i]])


def test_two_cell_types_have_different_networks(rna):
    first, second = (set(grs.get.grn(rna, group=name).index) for name in ("Astro", "L2/3"))
    assert first != second


def test_a_cell_graph_counts_the_regions_of_each_link(rna):
    cell = rna.obs_names[0]
    found = grs.get.cell_graph(rna, cell)
    slow = {}
    for position in edges_of_cell(rna, cell):
        row = rna.uns["grn"]["edges"].iloc[position]
        name = (row["tf"], row["gene"], row["eregulon"])
        weight = np.float32(row["tf_gene_importance"] * row["sign"])
        slow[name] = (weight, row["sign"], slow.get(name, (0, 0, 0))[2] + 1)
    rows = found.itertuples(index=False)
    assert {(r.tf, r.gene, r.eregulon): (np.float32(r.weight), r.sign, r.n_regions) for r in rows} == slow


def test_a_cell_graph_is_the_same_in_every_form(rna):
    cell = rna.obs_names[1]
    frame, graph = grs.get.cell_graph(rna, cell), grs.get.cell_graph(rna, cell, as_="networkx")
    pyg = grs.get.cell_graph(rna, cell, as_="pyg")
    assert set(graph.edges) == set(zip(frame["tf"], frame["gene"], strict=True))
    source, target = (rna.var_names[row.numpy()] for row in pyg.edge_index)
    assert list(source) == list(frame["tf"])
    assert list(target) == list(frame["gene"])
    assert torch.equal(pyg.edge_weight, torch.tensor(frame["weight"].to_numpy(dtype=np.float32)))
    assert torch.equal(pyg.edge_sign, torch.tensor(frame["sign"].to_numpy(dtype=np.int64)))
    assert pyg.num_nodes == rna.n_vars


def test_a_graph_on_the_genes_leaves_out_links_of_others(rna, caplog):
    cell, part = rna.obs_names[0], rna[:, rna.var_names != "Cux1"].copy()
    with caplog.at_level("INFO"):
        pyg = grs.get.cell_graph(part, cell, as_="pyg")
    frame = grs.get.cell_graph(part, cell).query("tf != 'Cux1' and gene != 'Cux1'")
    assert pyg.edge_index.min() >= 0
    assert list(part.var_names[pyg.edge_index[1].numpy()]) == list(frame["gene"])
    assert len(pyg.edge_weight) == len(pyg.edge_sign) == len(frame)
    assert "that the data does not hold" in caplog.text


def test_a_cell_with_no_bit_has_an_empty_graph(rna):
    bits = rna.obsm["grn_active"].tolil()
    bits[0] = False
    rna.obsm["grn_active"] = bits.tocsr()
    cell = rna.obs_names[0]
    assert grs.get.cell_graph(rna, cell).empty
    assert grs.get.cell_graph(rna, cell, as_="networkx").number_of_edges() == 0
    assert grs.get.cell_graph(rna, cell, as_="pyg").edge_index.shape == (2, 0)


def test_the_strongest_of_several_eregulons_stands_for_a_pair(rna):
    frame, best = grs.get.network(rna), grs.get.network(rna, format="decoupler")
    assert frame.duplicated(["tf", "gene"]).any()  # otherwise this proves nothing
    largest = frame.assign(size=frame["weight"].abs()).groupby(["tf", "gene"])["size"].max()
    np.testing.assert_array_equal(best["weight"].abs(), largest.to_numpy())
    graph = grs.get.network(rna, format="networkx")
    assert {(a, b): w for a, b, w in graph.edges(data="weight")} == {
        (r.source, r.target): r.weight for r in best.itertuples()
    }


def test_decoupler_scores_with_the_exported_network(rna):
    net = grs.get.network(rna, format="decoupler")
    x = pd.DataFrame(rna.X.toarray(), index=rna.obs_names, columns=rna.var_names)
    scores, _ = dc.mt.ulm(x, net, tmin=3)
    assert set(scores.columns) == set(net["source"])


def test_graphml_is_read_back_by_networkx(rna):
    graph = grs.get.network(rna, group="L2/3", format="networkx")
    again = nx.read_graphml(io.BytesIO(grs.get.network(rna, group="L2/3", format="graphml").encode()))
    assert dict(again.edges) == dict(graph.edges)


def test_cytoscape_json_is_read_back_by_networkx(rna):
    graph = grs.get.network(rna, format="networkx")
    again = nx.cytoscape_graph(json.loads(grs.get.network(rna, format="cyjs")))
    read = {pair: {name: values[name] for name in graph.edges[pair]} for pair, values in again.edges.items()}
    assert read == dict(graph.edges)


def test_gmt_is_read_back_by_decoupler(rna, tmp_path):
    path = tmp_path / "sets.gmt"
    path.write_text(grs.get.network(rna, format="gmt"))
    sets, frame = dc.pp.read_gmt(str(path)), grs.get.network(rna)
    assert set(zip(sets["source"], sets["target"], strict=True)) == set(
        zip(frame["eregulon"], frame["gene"], strict=True)
    )


def test_a_mudata_reads_like_its_rna(rna):
    mdata = mudata.MuData({"gex": rna})
    pd.testing.assert_frame_equal(grs.get.grn(mdata, rna="gex"), grs.get.grn(rna))
    with pytest.raises(KeyError, match=r"needs 'rna'.*\[gex\].*rna='\.\.\.'"):
        grs.get.grn(mdata)


@pytest.mark.parametrize("read", [grs.get.grn, grs.get.eregulons, grs.get.groups])
def test_changing_what_was_read_leaves_the_object_alone(rna, read):
    before, found = read(rna).copy(), read(rna)
    found["new"] = 1
    found.iloc[:, 0] = found.iloc[0, 0]
    pd.testing.assert_frame_equal(read(rna), before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group": "L5"}, r"group='L5' is no cell type.*Astro, L2/3, Oligo"),
        ({"cell": "nobody"}, r"cell='nobody' is no barcode.*cell0, cell1, cell2"),
        ({"key": "grn_other"}, r"needs 'grn_other'.*grn.*grs\.tl\.build_grn"),
    ],
)
def test_unknown_names_are_answered_with_those_that_exist(rna, options, message):
    with pytest.raises(KeyError, match=message):
        grs.get.grn(rna, **options)


def test_a_group_and_a_cell_exclude_each_other(rna):
    with pytest.raises(ValueError, match="group= or cell="):
        grs.get.grn(rna, group="Astro", cell="cell0")


def test_unknown_forms_are_refused(rna):
    with pytest.raises(ValueError, match="format must be one of"):
        grs.get.network(rna, format="xls")
    with pytest.raises(ValueError, match="as_ must be one of"):
        grs.get.cell_graph(rna, "cell0", as_="xls")
