"""Networks in the published layouts of other tools become edge tables; what is lost is counted."""

from __future__ import annotations

import gzip
import json
import pickle

import h5py
import networkx as nx
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from anndata.io import write_elem
from hypothesis import given
from hypothesis import strategies as st
from mudata import MuData

import grnformer_sc as grs
from grnformer_sc._core.tables import EDGE_COLUMNS
from grnformer_sc.priors._regulon_names import Regulon, name_regulon, parse_regulon

SCENICPLUS = pd.DataFrame(
    [
        ("chr1:100-600", "CD19", 0.02, 0.3, "PAX5", False, "PAX5_direct_+/+", 2.5, 1, 0.4, 3),
        ("chr1:900-1400", "CD19", 0.01, 0.2, "PAX5", False, "PAX5_direct_+/+", 2.5, 1, 0.4, 1),
        ("chr2:100-600", "IRF4", 0.03, -0.3, "PAX5", False, "PAX5_direct_-/-", 1.5, -1, -0.2, 0),
        ("chr1:100-600", "CD19", 0.02, 0.3, "PAX5", True, "PAX5_extended_+/+", 2.5, 1, 0.4, 2),
        ("chr3:5-90", "HLA-A", 0.02, 0.3, "NKX2-1", False, "NKX2-1_direct_-/+", 0.5, -1, -0.1, 4),
    ],
    columns=[
        "Region", "Gene", "importance_R2G", "rho_R2G", "TF", "is_extended", "eRegulon_name", "importance_TF2G", "regulation",
        "rho_TF2G", "triplet_rank",
    ],
)  # fmt: skip

CTX = """,,Enrichment,Enrichment,Enrichment,Enrichment,Enrichment,Enrichment,Enrichment,Enrichment
,,AUC,NES,MotifSimilarityQvalue,OrthologousIdentity,Annotation,Context,TargetGenes,RankAtMax
TF,MotifID,,,,,,,,
PAX5,m1,0.1,4.2,0.0,1.0,gene is directly annotated,"frozenset({'activating', 'weight>75.0%'})","[('CD19', 2.5), ('MS4A1', 1.0)]",200
PAX5,m2,0.1,3.2,0.0,0.9,gene is orthologous to Pax5,"frozenset({'activating', 'top50'})","[('CD19', 3.5), ('IRF4', np.float64(0.25))]",300
PAX5,m1,0.1,3.9,0.0,1.0,gene is directly annotated,"frozenset({'repressing', 'top50'})","[('CD3E', 0.5)]",100
SPI1,m3,0.1,3.1,0.0001,,motif similar to m9,"frozenset({'activating', 'top50'})","[('CD14', 0.75)]",250
"""


def rows(edges: pd.DataFrame, *columns: str) -> list[tuple]:
    return [tuple(row) for row in edges[list(columns)].to_numpy().tolist()]


def checked(edges: pd.DataFrame) -> pd.DataFrame:
    """The schema holds: columns, dtypes, order of rows."""
    assert list(edges.columns) == list(EDGE_COLUMNS)
    assert {n: str(d) for n, d in edges.dtypes.items()} == EDGE_COLUMNS
    return edges


# ---- SCENIC+


def test_scenicplus_tables_keep_signs_importances_and_evidence(tmp_path):
    SCENICPLUS.to_csv(tmp_path / "eRegulon_direct.tsv", sep="\t", index=False)
    edges = checked(grs.priors.read_network(tmp_path / "eRegulon_direct.tsv"))
    assert rows(edges, "tf", "eregulon", "gene", "region", "sign", "region_sign", "evidence") == [
        ("NKX2-1", "NKX2-1|rep|open", "HLA-A", "chr3:5-90", -1, 1, "direct"),
        ("PAX5", "PAX5|act|open", "CD19", "chr1:100-600", 1, 1, "direct"),
        ("PAX5", "PAX5|act|open", "CD19", "chr1:900-1400", 1, 1, "direct"),
        ("PAX5", "PAX5|act|open|extended", "CD19", "chr1:100-600", 1, 1, "extended"),
        ("PAX5", "PAX5|rep|closed", "IRF4", "chr2:100-600", -1, -1, "direct"),
    ]
    np.testing.assert_allclose(edges["tf_gene_importance"], [0.5, 2.5, 2.5, 2.5, 1.5])
    np.testing.assert_allclose(edges["region_gene_rho"], [0.3, 0.3, 0.2, 0.3, -0.3])
    np.testing.assert_allclose(edges["score"], [0.2, 0.4, 0.8, 0.6, 1.0])  # by triplet rank, best 1


def test_scenicplus_h5mu_joins_direct_and_extended(tmp_path):
    direct, extended = (SCENICPLUS[SCENICPLUS["is_extended"] == kind] for kind in (False, True))
    with h5py.File(tmp_path / "scplusmdata.h5mu", "w") as file:
        for name, part in (("direct", direct), ("extended", extended)):
            stored = part.astype({"TF": "category"}).set_axis([str(i) for i in range(len(part))])
            write_elem(file, f"uns/{name}_e_regulon_metadata", stored)
    whole = grs.priors.read_network(SCENICPLUS)
    pd.testing.assert_frame_equal(grs.priors.read_network(tmp_path / "scplusmdata.h5mu"), whole)
    memory = AnnData(uns={"direct_e_regulon_metadata": direct, "extended_e_regulon_metadata": extended})
    pd.testing.assert_frame_equal(grs.priors.read_network(memory), whole)


def test_earlier_scenicplus_tables_have_other_names():
    old = SCENICPLUS.rename(
        columns={
            "importance_R2G": "R2G_importance", "rho_R2G": "R2G_rho", "importance_TF2G": "TF2G_importance",
            "rho_TF2G": "TF2G_rho", "regulation": "TF2G_regulation",
        }
    )  # fmt: skip
    names = ["PAX5_+_+_(2r)", "PAX5_+_+_(2r)", "PAX5_-_-_(1r)", "PAX5_extended_+_+_(1r)", "NKX2-1_-_+_(1r)"]
    old = old.drop(columns=["eRegulon_name", "is_extended"]).assign(Region_signature_name=names)
    pd.testing.assert_frame_equal(grs.priors.read_network(old), grs.priors.read_network(SCENICPLUS))


def test_without_names_the_correlations_give_the_signs():
    bare = SCENICPLUS.drop(columns="eRegulon_name")
    pd.testing.assert_frame_equal(grs.priors.read_network(bare), grs.priors.read_network(SCENICPLUS))


# ---- pySCENIC


@pytest.mark.parametrize("form", ["csv", "tsv", "csv.gz", "flat"])
def test_ctx_regulons_are_the_union_over_motifs(tmp_path, form):
    path = tmp_path / f"regulons.{form if form != 'flat' else 'csv'}"
    if form == "csv":
        path.write_text(CTX)
    elif form == "csv.gz":
        path.write_bytes(gzip.compress(CTX.encode()))
    else:
        (tmp_path / "plain.csv").write_text(CTX)
        frame = pd.read_csv(tmp_path / "plain.csv", header=[0, 1], index_col=[0, 1])
        if form == "tsv":
            frame.to_csv(path, sep="\t")
        else:
            frame.droplevel(0, axis=1).reset_index().to_csv(path, index=False)
    edges = checked(grs.priors.read_network(path))
    assert rows(edges, "tf", "eregulon", "gene", "tf_gene_importance", "sign", "evidence") == [
        ("PAX5", "PAX5|act", "CD19", 3.5, 1, "direct"),
        ("PAX5", "PAX5|act", "IRF4", 0.25, 1, "extended"),
        ("PAX5", "PAX5|act", "MS4A1", 1.0, 1, "direct"),
        ("PAX5", "PAX5|rep", "CD3E", 0.5, -1, "direct"),
        ("SPI1", "SPI1|act", "CD14", 0.75, 1, "extended"),
    ]


def test_target_genes_are_never_evaluated(tmp_path):
    path = tmp_path / "regulons.csv"
    path.write_text(CTX.replace("[('CD3E', 0.5)]", "__import__('os').mkdir('x')"))
    with pytest.raises(ValueError, match=r"list of \(gene, weight\).*__import__"):
        grs.priors.read_network(path)


def test_gmt_names_tell_tf_and_sign(tmp_path, caplog):
    lines = [
        "PAX5(+)\tgene_set\tCD19\tMS4A1", "SPI1_(-)\tgene_set\tCD3E", "GATA3 (2g)\tx\tIL7R\tTCF7",
        "IRF4_extended (1g)\tx\tPRDM1", "# a comment", "", "HALLMARK\thttp://x\tA\tB\t", "NOGENES\tx",
    ]  # fmt: skip
    (tmp_path / "sets.gmt").write_text("\n".join(lines))
    with caplog.at_level("INFO"):
        edges = checked(grs.priors.read_network(tmp_path / "sets.gmt"))
    assert rows(edges, "eregulon", "tf", "gene", "sign") == [
        ("GATA3|act", "GATA3", "IL7R", 1), ("GATA3|act", "GATA3", "TCF7", 1),
        ("HALLMARK|act", "HALLMARK", "A", 1), ("HALLMARK|act", "HALLMARK", "B", 1),
        ("IRF4|act|extended", "IRF4", "PRDM1", 1), ("PAX5|act", "PAX5", "CD19", 1), ("PAX5|act", "PAX5", "MS4A1", 1),
        ("SPI1|rep", "SPI1", "CD3E", -1),
    ]  # fmt: skip
    assert (edges["tf_gene_importance"] == 1).all()
    assert "5 without a sign taken as activation" in caplog.text
    assert "1 of 6 gene sets hold no gene" in caplog.text


def test_loom_fields_are_regulons(tmp_path):
    genes = ["CD19", "MS4A1", "CD3E"]
    members = np.array([(1, 0), (1, 0), (0, 1)], dtype=[("PAX5(+)", "i8"), ("SPI1_(-)", "i8")])
    with h5py.File(tmp_path / "aucell.loom", "w") as file:
        file["row_attrs/Gene"] = np.array(genes, dtype=object)
        file["row_attrs/Regulons"] = members
    edges = grs.priors.read_network(tmp_path / "aucell.loom")
    assert rows(edges, "tf", "gene", "sign") == [("PAX5", "CD19", 1), ("PAX5", "MS4A1", 1), ("SPI1", "CD3E", -1)]
    with h5py.File(tmp_path / "bare.loom", "w") as file:
        file["row_attrs/Gene"] = np.array(genes, dtype=object)
    with pytest.raises(ValueError, match=r"'Gene' and 'Regulons'.*\[Gene\]"):
        grs.priors.read_network(tmp_path / "bare.loom")


@pytest.mark.parametrize(
    ("name", "regulon"),
    [
        ("TF|rep|closed", Regulon("TF", -1, -1)),
        ("TF|act", Regulon("TF", 1, 0)),
        ("A_B_direct_-/+_(12g)", Regulon("A_B", -1, 1)),
        ("NKX2-1_extended_+/+_(3r)", Regulon("NKX2-1", 1, 1, extended=True)),
        ("ATF3_(+)", Regulon("ATF3", 1)),
        ("ATF3_extended (45g)", Regulon("ATF3", 0, extended=True)),
        ("Regulon for Sox9", Regulon("Sox9")),
        ("HIF1A", Regulon("HIF1A")),
    ],
)
def test_names_of_regulons(name, regulon):
    assert parse_regulon(name) == regulon


@given(
    tf=st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=12),
    sign=st.sampled_from([1, -1]), state=st.sampled_from([0, 1, -1]), extended=st.booleans(),
)  # fmt: skip
def test_our_names_of_regulons_are_read_back_for_any_tf(tf, sign, state, extended):
    name = name_regulon(tf, sign, state, extended=extended)
    assert "/" not in name
    assert parse_regulon(name, tf) == Regulon(tf, sign, state, extended)


# ---- CellOracle

BASE = pd.DataFrame(
    {
        "peak_id": ["chr1_100_600", "chr1_900_1400", "chr2_5_90"], "gene_short_name": ["Kitl", "Kitl", "Gad1"],
        "Sox9": [1.0, 0.0, 1.0], "Cux1": [True, True, False], "Nkx2-1": [0, 0, 0],
    }
)  # fmt: skip
BASE_LINKS = [
    ("Cux1", "chr1:100-600", "Kitl"), ("Cux1", "chr1:900-1400", "Kitl"), ("Sox9", "chr2:5-90", "Gad1"),
    ("Sox9", "chr1:100-600", "Kitl"),
]  # fmt: skip


def test_columns_that_are_no_tfs_are_named(caplog):
    with caplog.at_level("INFO"):
        edges = grs.priors.read_network(BASE.assign(strand=["+", "-", "+"]))
    assert set(edges["tf"]) == {"Sox9", "Cux1"}
    assert "left out: [strand]" in caplog.text


@pytest.mark.parametrize("form", ["parquet", "indexed.parquet", "csv", "memory"])
def test_celloracle_base_networks(tmp_path, form):
    source = tmp_path / f"base.{form}"
    if form == "parquet":
        BASE.to_parquet(source)
    elif form == "indexed.parquet":  # pandas stores such an index as one more column
        BASE.set_axis([3, 5, 9]).to_parquet(source)
    elif form == "csv":
        BASE.to_csv(source)  # with its unnamed index
    else:
        source = BASE
    edges = checked(grs.priors.read_network(source))
    assert rows(edges, "tf", "region", "gene") == BASE_LINKS
    assert set(rows(edges, "sign", "region_sign", "tf_gene_importance")) == {(1, 0, 1.0)}
    pairs = grs.priors.prior_network(source)
    assert rows(pairs, "tf", "gene") == [("Cux1", "Kitl"), ("Sox9", "Gad1"), ("Sox9", "Kitl")]


def test_other_parquet_tables_are_read_as_they_are(tmp_path):
    net = pd.DataFrame({"source": ["B", "A"], "target": ["x", "y"], "weight": [-1.0, 0.5]})
    net.to_parquet(tmp_path / "net.parquet")
    assert rows(grs.priors.prior_network(tmp_path / "net.parquet"), "tf", "weight") == [("A", 0.5), ("B", -1.0)]
    assert rows(grs.priors.read_network(tmp_path / "net.parquet"), "tf", "sign") == [("A", 1), ("B", -1)]


def test_a_network_is_built_on_a_base_network_without_atac(toy_mdata, tmp_path):
    rna = toy_mdata["rna"].copy()
    tfs, genes = rna.var_names[:10], rna.var_names[10:]
    allowed = np.random.default_rng(0).random((len(genes), len(tfs))) < 0.7
    base = pd.DataFrame(allowed, columns=tfs).assign(peak_id=[f"chr1_{i}00_{i}50" for i in range(len(genes))])
    base.assign(gene_short_name=genes).to_parquet(tmp_path / "base.parquet")
    grs.tl.build_grn(rna, prior=str(tmp_path / "base.parquet"), groupby="cell_type")
    edges = rna.uns["grn"]["edges"]
    held = {(tf, gene) for tf in tfs for gene, yes in zip(genes, base[tf], strict=True) if yes}
    assert set(zip(edges["tf"].astype(str), edges["gene"].astype(str), strict=True)) <= held
    assert set(edges["evidence"]) == {"prior"}


# ---- GRETA, decoupler, graphs


def test_greta_tables(tmp_path):
    table = pd.DataFrame(
        {"source": ["A", "A", "B"], "cre": ["chr1-5-90", "chr1-5-90", "chrX-1-2"], "target": ["x", "y", "x"],
         "score": [0.5, -2.0, 0.0], "pval": 0.01}
    )  # fmt: skip
    table.to_csv(tmp_path / "a.grn.csv", index=False)
    edges = grs.priors.read_network(tmp_path / "a.grn.csv")
    assert rows(edges, "tf", "region", "gene", "sign", "tf_gene_importance") == [
        ("A", "chr1:5-90", "x", 1, 0.5), ("A", "chr1:5-90", "y", -1, 2.0),
    ]  # fmt: skip
    assert set(grs.priors.read_network(table.drop(columns="score"))["tf_gene_importance"]) == {1}


def test_graphs_of_other_programs(tmp_path):
    """Cytoscape numbers its nodes and keeps names apart; igraph does so in GraphML."""
    nodes = [{"data": {"id": str(i), "shared_name": n, "name": n}} for i, n in enumerate(("Sox9", "Aqp4"))]
    edge = {"data": {"id": "9", "source": "0", "target": "1", "weight": -0.5, "interaction": "x"}}
    (tmp_path / "a.cyjs").write_text(
        json.dumps({"format_version": "1.0", "elements": {"nodes": nodes, "edges": [edge]}})
    )
    graph = nx.DiGraph()
    graph.add_node("n0", name="Sox9")
    graph.add_node("n1", name="Aqp4")
    graph.add_edge("n0", "n1", weight=-0.5)
    nx.write_graphml(graph, tmp_path / "a.graphml")
    for name in ("a.cyjs", "a.graphml"):
        found = grs.priors.read_network(tmp_path / name)
        assert rows(found, "tf", "gene", "sign", "tf_gene_importance") == [("Sox9", "Aqp4", -1, 0.5)]
    (tmp_path / "b.json").write_text("[1, 2]")
    with pytest.raises(ValueError, match="'elements'"):
        grs.priors.read_network(tmp_path / "b.json")


# ---- errors and losses


def test_losses_are_counted(caplog):
    table = SCENICPLUS.assign(importance_TF2G=[2.5, np.nan, 1.5, 0.0, 0.5])
    table.loc[4, "Gene"] = None
    with caplog.at_level("INFO"):
        edges = grs.priors.read_network(pd.concat([table, table], ignore_index=True))
    assert len(edges) == 2
    for text in (
        "10 rows, 2 links",
        "2 without a TF or gene lost",
        "4 without a weight lost",
        "2 repeated links merged",
    ):
        assert text in caplog.text


@pytest.mark.parametrize("name", ["regulons.pkl", "regulons.p", "regulons.csv"])
def test_pickles_are_refused_whatever_their_name(tmp_path, name):
    (tmp_path / name).write_bytes(pickle.dumps({"a": 1}))
    for read in (grs.priors.read_network, grs.priors.prior_network):
        with pytest.raises(ValueError, match=r"never from pickles.*ctx --output regulons\.csv"):
            read(tmp_path / name)


@pytest.mark.parametrize(
    ("table", "format", "message"),
    [
        (pd.DataFrame({"a": [1], "b": [2]}), None, r"TF and a gene column.*\[a, b\].*prior_network"),
        (SCENICPLUS.drop(columns="Region"), "scenicplus", r"needs the columns.*'Region'\] missing among"),
        (SCENICPLUS, "greta", r"\['source', 'cre', 'target'\] missing"),
        (SCENICPLUS.iloc[:0], None, r"at least one link.*an empty table"),
        (SCENICPLUS.assign(TF=""), None, "none in 5: 5 without a TF or gene"),
        (SCENICPLUS, "excel", "format must be one of"),
    ],
)
def test_unusable_tables_are_named(table, format, message):
    with pytest.raises(ValueError, match=message):
        grs.priors.read_network(table, format=format)


def test_unusable_sources_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="must exist"):
        grs.priors.read_network(tmp_path / "nowhere.csv")
    (tmp_path / "net.xls").write_text("x")
    with pytest.raises(ValueError, match=r"suffixes.*net\.xls.*format="):
        grs.priors.read_network(tmp_path / "net.xls")
    with pytest.raises(FileNotFoundError, match="must exist"):
        grs.priors.read_network(tmp_path)
    (tmp_path / "empty.csv").touch()
    with pytest.raises(ValueError, match=r"must hold a table.*empty\.csv"):
        grs.priors.read_network(tmp_path / "empty.csv")
    with pytest.raises(TypeError, match="list"):
        grs.priors.read_network([1])
    with pytest.raises(ValueError, match=r"uns must hold a network.*MuData"):
        grs.priors.read_network(MuData({"rna": AnnData(np.ones((2, 2)))}))


def test_a_named_format_overrules_suffix_and_columns(tmp_path):
    (tmp_path / "sets.list").write_text("PAX5(+)\tx\tCD19\n")
    assert rows(grs.priors.read_network(tmp_path / "sets.list", format="gmt"), "tf", "gene") == [("PAX5", "CD19")]
    table = pd.DataFrame({"source": ["A"], "cre": ["chr1-5-90"], "target": ["x"], "weight": [1.0]})
    assert rows(grs.priors.read_network(table, format="decoupler"), "tf", "region") == [("A", "")]


def test_names_that_look_like_missing_values_are_names(tmp_path):
    """`nan` is a gene of the fly."""
    (tmp_path / "net.csv").write_text("source,target,weight\nnan,NA,1\nA,null,-1\n,x,1\n")
    for read in (grs.priors.read_network, grs.priors.prior_network):
        assert rows(read(tmp_path / "net.csv"), "tf", "gene") == [("A", "null"), ("nan", "NA")]


def test_an_edge_table_made_by_hand_needs_few_columns(tmp_path):
    hand = pd.DataFrame(
        {"tf": ["A", "B"], "gene": ["x", "y"], "tf_gene_importance": [0.5, 2], "sign": [1, -1], "eregulon": ["A/1", ""],
         "support": [3, None], "evidence": ["guess", "direct"]}
    )  # fmt: skip
    for source in (hand, tmp_path / "hand.csv"):
        hand.to_csv(tmp_path / "hand.csv", index=False)
        edges = checked(grs.priors.read_network(source))
        assert rows(edges, "tf", "eregulon", "support", "evidence") == [
            ("A", "A_1", 3, "none"),
            ("B", "B|rep", 0, "direct"),
        ]


# ---- real files


@pytest.mark.realdata
def test_published_networks_of_pairs(data_dir):
    for name, n_pairs, weight in (("collectri_human", 43_178, "weight"), ("dorothea_hs", 454_504, "mor")):
        path = data_dir / "networks" / f"{name}.csv.gz"
        edges, pairs = grs.priors.read_network(path), grs.priors.prior_network(path)
        assert len(edges) == len(pairs) == n_pairs
        merged = edges.astype({"tf": str, "gene": str}).sort_values(["tf", "gene"], ignore_index=True)
        np.testing.assert_array_equal(merged["tf"], pairs["tf"])
        np.testing.assert_allclose(merged["tf_gene_importance"] * merged["sign"], pairs["weight"], rtol=1e-6)
        assert (edges["sign"] < 0).sum() == (pd.read_csv(path)[weight] < 0).sum() > 5_000


@pytest.mark.realdata
def test_the_signs_of_trrust_and_collectri_agree(data_dir):
    trrust = pd.read_csv(data_dir / "networks" / "trrust_v2_human.tsv.gz", sep="\t").iloc[1:]
    with pytest.raises(ValueError, match="Regulation"):  # the file has a second header
        grs.priors.read_network(data_dir / "networks" / "trrust_v2_human.tsv.gz")
    first = grs.priors.read_network(trrust[trrust["mode"] != "Unknown"])
    second = grs.priors.read_network(data_dir / "networks" / "collectri_human.csv.gz")
    both = first.astype({"tf": str, "gene": str}).merge(second.astype({"tf": str, "gene": str}), on=["tf", "gene"])
    assert len(both) > 2_000
    assert (both["sign_x"] == both["sign_y"]).mean() > 0.8


@pytest.mark.realdata
def test_the_celloracle_promoters_of_mm10(data_dir, tmp_path):
    """The matrix as published (parquet of promoters x TFs); 4,000 promoters of 29,308."""
    held = np.load(data_dir / "regulatory_resources" / "celloracle_mm10_promoter_base_grn.npz", allow_pickle=False)
    n = 4_000
    ends = held["indptr"][: n + 1]
    dense = np.zeros((n, held["tf"].size), dtype=bool)
    row = np.repeat(np.arange(n), np.diff(ends))
    dense[row, held["data_indices"][: ends[-1]]] = True
    base = pd.DataFrame(dense, columns=held["tf"])
    base.insert(0, "peak_id", held["peak_id"][:n])
    base.insert(1, "gene_short_name", held["gene"][:n])
    base.to_parquet(tmp_path / "base.parquet")
    edges = grs.priors.read_network(tmp_path / "base.parquet")
    repeated = base.duplicated(["peak_id", "gene_short_name"]).to_numpy()
    assert not repeated.any()
    assert len(edges) == ends[-1]
    counts = edges["tf"].value_counts()
    np.testing.assert_array_equal(counts.reindex(held["tf"], fill_value=0), dense.sum(axis=0))
    assert edges["region"].astype(str).str.match(r"^chr\w+:\d+-\d+$").all()
