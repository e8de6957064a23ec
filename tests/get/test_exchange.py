"""Every export is read by the real library it is made for, and comes back through `priors.read_network`."""

from __future__ import annotations

import re

import anndata
import decoupler as dc
import igraph
import numpy as np
import pandas as pd
import pytest
import torch

import grnformer_sc as grs
from grnformer_sc._core.tables import edge_table, eregulon_name
from grnformer_sc.get import _export
from grnformer_sc.get._network import FORMATS
from grnformer_sc.get._write_network import OF_SUFFIX

PAIR = ["tf", "gene"]
SIGNED = [*PAIR, "tf_gene_importance", "sign"]
NAMED = [*SIGNED, "eregulon"]
ODD = {
    "Nkx2-1": "HLA-A/B",
    "Olig2": 'Krüppel (µ) "2", x',
    "Gm1004Rik": "A<B & C|D",
}  # names that break careless writers


@pytest.fixture
def odd(rna):
    """The stored network with unusual names of TFs and genes."""
    edges = rna.uns["grn"]["edges"]
    edges = edges.assign(**{name: edges[name].astype(str).replace(ODD) for name in PAIR})
    signs = zip(edges["tf"], edges["sign"], edges["region_sign"], strict=True)
    edges["eregulon"] = [eregulon_name(*parts) for parts in signs]
    rna.uns["grn"]["edges"] = edge_table(edges)
    return rna


def strongest(edges: pd.DataFrame) -> pd.DataFrame:
    """One link per TF and gene, found one by one."""
    best: dict[tuple[str, str], tuple[float, int]] = {}
    for row in edges.itertuples():
        if row.tf_gene_importance > best.get((row.tf, row.gene), (0, 0))[0]:
            best[row.tf, row.gene] = row.tf_gene_importance, row.sign
    return pd.DataFrame([(*pair, *values) for pair, values in sorted(best.items())], columns=SIGNED)


def plain(edges: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Distinct rows of some columns, free of categories and order."""
    frame = edges[columns].astype({name: str for name in columns if name in (*PAIR, "region", "eregulon", "evidence")})
    return frame.drop_duplicates().sort_values(columns).reset_index(drop=True)


@pytest.mark.parametrize(
    ("name", "format", "kept"),
    [
        ("net.csv", "frame", NAMED),
        ("net.gmt", None, [*PAIR, "sign", "eregulon"]),
        ("net.tsv", "greta", [*PAIR, "region", "tf_gene_importance", "sign"]),
        ("net.tsv", "scenicplus", [*NAMED, "region", "region_sign", "evidence"]),
    ],
)
def test_tables_of_eregulons_come_back_whole(odd, tmp_path, name, format, kept):
    path = tmp_path / name
    grs.get.write_network(odd, path, format=format)
    ours = odd.uns["grn"]["edges"]
    if format == "greta":  # of several eRegulons with the same link the strongest is kept
        order = ours.sort_values("tf_gene_importance", ascending=False, kind="stable").index
        ours = ours.loc[order].drop_duplicates([*PAIR, "region"])
    pd.testing.assert_frame_equal(plain(grs.priors.read_network(path), kept), plain(ours, kept), check_exact=True)


@pytest.mark.parametrize(
    ("name", "format"),
    [("net.csv", "decoupler"), ("net.graphml", None), ("net.cyjs", None), ("net.h5ad", None), ("net.tsv", "decoupler")],
)
def test_networks_of_pairs_come_back_with_the_strongest_links(odd, tmp_path, name, format):
    path = tmp_path / name
    grs.get.write_network(odd, path, format=format)
    back = grs.priors.read_network(path)
    expected = strongest(odd.uns["grn"]["edges"]).astype({"tf_gene_importance": "float32", "sign": "int8"})
    pd.testing.assert_frame_equal(plain(back, SIGNED), plain(expected, SIGNED), check_exact=True)


def test_our_own_table_and_files_come_back_exactly(odd, tmp_path):
    edges = odd.uns["grn"]["edges"]
    edges.to_csv(tmp_path / "edges.csv", index=False)
    odd.write_h5ad(tmp_path / "cells.h5ad")
    for source in (tmp_path / "edges.csv", tmp_path / "cells.h5ad", odd, edges):
        pd.testing.assert_frame_equal(grs.priors.read_network(source), edges, check_exact=True)


def test_igraph_has_the_degrees_names_and_weights(rna):
    graph, net = grs.get.network(rna, format="igraph"), grs.get.network(rna, format="decoupler")
    assert isinstance(graph, igraph.Graph)
    assert graph.is_directed()
    assert set(graph.vs["name"]) == {*net["source"], *net["target"]}
    for tf, degree in net["source"].value_counts().items():
        assert graph.degree(graph.vs.find(name=tf), mode="out") == degree
    ends = {(graph.vs[e.source]["name"], graph.vs[e.target]["name"]): e["weight"] for e in graph.es}
    assert ends == {(r.source, r.target): r.weight for r in net.itertuples()}


def test_pyg_data_have_the_links_weights_and_names(rna):
    data, net = grs.get.network(rna, group="L2/3", format="pyg"), grs.get.network(rna, group="L2/3", format="decoupler")
    assert data.validate()
    assert data.num_nodes == len(data.node_name) == len({*net["source"], *net["target"]})
    ends = [[data.node_name[i] for i in row] for row in data.edge_index.tolist()]
    assert ends == [list(net["source"]), list(net["target"])]
    assert torch.equal(data.edge_attr[:, 0], torch.tensor(net["weight"].to_numpy(dtype=np.float32)))
    assert torch.equal(data.edge_sign, torch.sign(data.edge_attr[:, 0]).long())


def test_decoupler_scores_cells_with_the_file(rna, tmp_path):
    grs.get.write_network(rna, tmp_path / "net.csv", format="decoupler")
    x = pd.DataFrame(rna.X.toarray(), index=rna.obs_names, columns=rna.var_names)
    nets = pd.read_csv(tmp_path / "net.csv"), grs.get.network(rna, format="decoupler")
    read, made = (dc.mt.ulm(x, net, tmin=3)[0] for net in nets)
    pd.testing.assert_frame_equal(read, made, atol=1e-5)  # decoupler computes in the precision of the weights


def test_greta_gets_its_spelling_of_regions(rna):
    table = grs.get.network(rna, format="greta")
    assert list(table.columns) == ["source", "cre", "target", "score"]
    assert table["cre"].str.match(r"^chr[0-9a-zA-Z]+-\d+-\d+$").all()
    assert not table.duplicated(["source", "cre", "target"]).any()


def test_greta_has_no_regions_where_there_are_none(rna, caplog):
    edges = rna.uns["grn"]["edges"]
    rna.uns["grn"]["edges"] = edges.assign(region=edges["region"].astype(str).where(edges["gene"] != "Gm1004Rik", ""))
    with caplog.at_level("INFO"):
        table = grs.get.network(rna, format="greta")
    assert "links without a region" in caplog.text
    assert (table["cre"] != "").all()
    rna.uns["grn"]["edges"] = edges.assign(region="")
    assert list(grs.get.network(rna, format="greta").columns) == ["source", "target", "score"]
    with pytest.raises(ValueError, match=r"without regions.*format='gmt'"):
        grs.get.network(rna, format="scenicplus")


def test_names_of_scenicplus_count_the_genes_and_regions(rna):
    edges = rna.uns["grn"]["edges"]
    borrowed = edges["eregulon"] == "Sox9|act|open"
    rna.uns["grn"]["edges"] = edges.assign(evidence=np.where(borrowed, "extended", "direct"))
    table = grs.get.network(rna, format="scenicplus")
    form = re.compile(r"(.+)_(direct|extended)_([+-])/([+-])")
    for name, part in table.groupby("eRegulon_name"):
        tf, kind, sign, state = form.fullmatch(name).groups()
        assert set(part["TF"]) == {tf}
        assert set(part["is_extended"]) == {kind == "extended"}
        assert set(part["regulation"]) == {1 if sign == "+" else -1}
        assert set(part["Gene_signature_name"]) == {f"{name}_({part['Gene'].nunique()}g)"}
        assert set(part["Region_signature_name"]) == {f"{name}_({part['Region'].nunique()}r)"}
        theirs = edges["eregulon"] == f"{tf}|{'act' if sign == '+' else 'rep'}|{'open' if state == '+' else 'closed'}"
        assert sorted(part["Gene"]) == sorted(edges["gene"][theirs].astype(str))
    assert set(table["eRegulon_name"][table["is_extended"]]) == {"Sox9_extended_+/+"}
    assert sorted(table["triplet_rank"]) == list(range(len(table)))


def test_genernib_gets_the_strongest_links_as_text(rna, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(_export, "MOST_PREDICTED", 7)
    with caplog.at_level("INFO"):
        grs.get.write_network(rna, tmp_path / "prediction.h5ad")
    uns = anndata.read_h5ad(tmp_path / "prediction.h5ad").uns
    assert {"method_id", "dataset_id"} <= set(uns)
    net, found = grs.get.network(rna, format="decoupler"), uns["prediction"]
    assert list(found.columns) == ["source", "target", "weight"]
    assert isinstance(found["weight"].iloc[0], str)
    assert f"the {len(net) - 7} weakest are left out" in caplog.text
    largest = np.sort(net["weight"].abs())[::-1][:7]
    np.testing.assert_array_equal(np.abs(found["weight"].to_numpy(dtype="float32")), largest)


def test_a_gmt_parser_finds_the_sets(odd):
    lines = grs.get.network(odd, format="gmt").splitlines()
    sets = {line.split("\t")[0]: set(line.split("\t")[2:]) for line in lines}
    frame = grs.get.network(odd)
    assert sets == {name: set(part["gene"]) for name, part in frame.groupby("eregulon")}


def test_a_group_is_written_alone(rna, tmp_path):
    grs.get.write_network(rna, tmp_path / "a.gmt", group="Astro")
    grs.get.write_network(rna, tmp_path / "all.gmt")
    one, all_ = (plain(grs.priors.read_network(tmp_path / name), [*PAIR, "eregulon"]) for name in ("a.gmt", "all.gmt"))
    assert len(one) < len(all_)
    assert len(one.merge(all_)) == len(one)


@pytest.mark.parametrize(
    ("name", "format", "message"),
    [
        ("net.xls", None, r"suffix must be one of.*'net\.xls'.*rename"),
        ("net.csv", "gmt", r"'net\.csv' with format='gmt'.*takes format= one of"),
        ("net.gmt", "decoupler", r"'\.gmt' takes format= one of \['gmt'\]"),
    ],
)
def test_a_suffix_must_fit_the_format(rna, tmp_path, name, format, message):
    with pytest.raises(ValueError, match=message):
        grs.get.write_network(rna, tmp_path / name, format=format)
    assert not list(tmp_path.iterdir())


def test_a_cell_without_links_has_an_empty_network_in_every_form(rna, tmp_path):
    bits = rna.obsm["grn_active"].tolil()
    bits[0] = False
    rna.obsm["grn_active"] = bits.tocsr()
    for format in FORMATS:
        assert same_columns(
            grs.get.network(rna, cell="cell0", format=format), grs.get.network(rna, cell="cell1", format=format)
        )
    for suffix in OF_SUFFIX:
        grs.get.write_network(rna, tmp_path / f"net{suffix}", cell="cell0")
        with pytest.raises(ValueError, match=r"at least one link.*an empty table"):
            grs.priors.read_network(tmp_path / f"net{suffix}")


def same_columns(empty, full):
    """The empty form is of the same type; tables have the same columns and no rows."""
    if isinstance(full, pd.DataFrame):
        return empty.empty and list(empty.columns) == list(full.columns)
    return type(empty) is type(full)


def test_a_failed_write_leaves_the_old_file(rna, tmp_path, monkeypatch):
    path = tmp_path / "net.csv"
    path.write_text("old")

    def fail_half_way(self, file, **_):
        file.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(pd.DataFrame, "to_csv", fail_half_way)
    with pytest.raises(OSError, match="disk full"):
        grs.get.write_network(rna, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
