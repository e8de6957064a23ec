"""The locus view shows the numbers of the tables: bars, arcs, ticks and dots are compared with plain numpy."""

from __future__ import annotations

import matplotlib.pyplot as plt
import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from matplotlib.colors import to_hex

import grnformer_sc as grs
from grnformer_sc.pl._locus_panels import ROW
from grnformer_sc.pl._style import ACTIVATES, GREY, REPRESSES


@pytest.fixture(scope="module")
def built():
    """Cells with a network, shared by the file: never change it."""
    mdata = grs.datasets.simulate_multiome(240, n_genes=100, n_tfs=10, n_types=3, rng=0)
    grs.tl.build_grn(mdata, groupby="cell_type")
    return mdata


@pytest.fixture
def mdata(built):
    return built.copy()


@pytest.fixture(scope="module")
def gene(built):
    """The gene with most regions."""
    edges = grs.get.grn(built)
    return edges.groupby("gene", observed=True)["region"].nunique().idxmax()


def links_of(mdata, gene, group=None):
    edges = grs.get.grn(mdata, group=group)
    table = edges[edges["gene"] == gene].astype({"region": str}).drop_duplicates("region").set_index("region")
    place = table.index.str.extract(r":(\d+)-(\d+)").astype(int)
    return table.assign(middle=(place[0] + place[1]).to_numpy() / 2)


def tss_of(mdata, gene):
    row = mdata["rna"].var.loc[gene]
    return row["end"] if row["strand"] == "-" else row["start"]


def in_view(mdata, gene, axes):
    low, high = axes["gene"].get_xlim()
    var = mdata["atac"].var_names.to_series().str.extract(r"^(.*):(\d+)-(\d+)$").astype({1: int, 2: int})
    own = var[(var[0] == mdata["rna"].var.loc[gene, "chrom"]) & (var[2] > low) & (var[1] < high)]
    return own.sort_values(1)


def arcs(axes):
    """Middle of the region, height and colour of every arc."""
    lines = [line for line in axes["links"].lines if len(line.get_xdata()) > 2]
    return sorted((line.get_xdata()[0], line.get_ydata().max(), line.get_color()) for line in lines)


def ticks(axes):
    """Row, middle and colour of every motif tick."""
    return [
        (round(np.mean(path[:, 1])), path[0, 0], to_hex(colour))
        for part in axes["motifs"].collections
        for path, colour in zip(part.get_segments(), part.get_colors(), strict=True)
    ]


def labels(ax):
    return [text.get_text() for text in ax.get_yticklabels()]


def test_bars_are_counts_per_million_on_one_scale(mdata, gene):
    axes = grs.pl.region_gene(mdata, gene)
    shown = in_view(mdata, gene, axes)
    x, group = mdata["atac"].to_df(), mdata["rna"].obs["cell_type"].astype(str)
    sums = x.groupby(group.to_numpy()).sum()
    expected = sums[shown.index] / sums.sum(axis=1).to_numpy()[:, None] * 1e6
    names = labels(axes["accessibility"])
    assert names == sorted(group.unique())
    drawn = np.zeros((len(names), len(shown)))
    place = {start: i for i, start in enumerate(shown[1])}
    for bar in axes["accessibility"].patches:
        assert bar.get_width() == shown[2].iloc[place[bar.get_x()]] - bar.get_x()
        drawn[len(names) - 1 - int(bar.get_y()), place[bar.get_x()]] = bar.get_height()
    np.testing.assert_allclose(drawn, ROW * expected / expected.to_numpy().max(), rtol=1e-6)
    assert f"{expected.to_numpy().max():,.0f}" in axes["accessibility"].get_title(loc="left")


def test_arcs_lead_from_regions_to_the_start_and_are_as_high_as_their_importance(mdata, gene):
    axes = grs.pl.region_gene(mdata, gene)
    links = links_of(mdata, gene)
    assert len(links) > 3
    colour = links["region_gene_rho"].map(lambda rho: ACTIVATES if rho > 0 else REPRESSES)
    expected = sorted(zip(links["middle"], links["region_gene_importance"].astype(float), colour, strict=True))
    found = arcs(axes)
    np.testing.assert_allclose([a[:2] for a in found], [a[:2] for a in expected])
    assert [a[2] for a in found] == [a[2] for a in expected]
    for line in axes["links"].lines:
        assert line.get_xdata()[-1] == tss_of(mdata, gene)
    assert {ax.get_xlim() for name, ax in axes.items() if name != "expression"} == {axes["gene"].get_xlim()}


def test_named_types_are_drawn_in_their_order_with_their_links_alone(mdata, gene):
    chosen = ["type3", "type1"]
    axes = grs.pl.region_gene(mdata, gene, groups=chosen)
    assert labels(axes["accessibility"]) == chosen
    expected = set().union(*(links_of(mdata, gene, group)["middle"] for group in chosen))
    assert {arc[0] for arc in arcs(axes)} == expected


def test_a_window_says_how_many_links_it_leaves_out(mdata, gene):
    tss, links = tss_of(mdata, gene), links_of(mdata, gene)
    window = int(np.sort(np.abs(links["middle"] - tss))[-2]) + 300
    axes = grs.pl.region_gene(mdata, gene, window=window)
    assert axes["gene"].get_xlim() == (tss - window, tss + window)
    assert len(arcs(axes)) == len(links) - 1
    assert axes["links"].get_title(loc="right") == f"{len(links) - 1} of {len(links)} linked regions"


def test_a_gene_without_links_has_a_locus_and_no_arcs(mdata, gene):
    uns = mdata["rna"].uns["grn"]
    others = (uns["edges"]["gene"] != gene).to_numpy()
    uns["edges"], uns["edge_groups"] = uns["edges"][others], uns["edge_groups"][others]
    axes = grs.pl.region_gene(mdata, gene)
    assert arcs(axes) == []
    assert [text.get_text() for text in axes["links"].texts] == ["no linked region"]
    assert axes["accessibility"].patches
    assert "motifs" not in axes


def test_links_without_an_importance_are_equally_high(mdata, gene):
    edges = mdata["rna"].uns["grn"]["edges"]
    edges["region_gene_importance"] = np.float32(np.nan)
    axes = grs.pl.region_gene(mdata, gene)
    assert {arc[1] for arc in arcs(axes)} == {1.0}
    assert axes["links"].get_ylabel() == "Links"


def test_ticks_are_motifs_and_coloured_where_the_network_uses_them(mdata, gene):
    axes = grs.pl.region_gene(mdata, gene)
    edges = grs.get.grn(mdata).query("gene == @gene")
    strength = edges.groupby(edges["tf"].astype(str))["tf_gene_importance"].max()
    names = labels(axes["motifs"])
    assert names == list(strength.sort_values(ascending=False, kind="stable").index[:5])
    shown = in_view(mdata, gene, axes)
    atac = mdata["atac"]
    hits = pd.DataFrame(atac.varm["motifs"].toarray(), index=atac.var_names, columns=atac.uns["motifs"]["tfs"])
    expected = []
    for row, tf in enumerate(names):
        own = edges[edges["tf"] == tf]
        sign = dict(zip(own["region"].astype(str), own["sign"], strict=True))
        for region in shown.index[hits.loc[shown.index, tf] > 0]:
            colour = {1: ACTIVATES, -1: REPRESSES, 0: GREY}[sign.get(region, 0)]
            expected.append((len(names) - 1 - row, shown.loc[region, [1, 2]].mean(), colour.lower()))
    assert sorted(ticks(axes)) == sorted(expected)


def test_tfs_can_be_chosen_or_left_out(mdata, gene):
    assert "motifs" not in grs.pl.region_gene(mdata, gene, tfs=[])
    assert labels(grs.pl.region_gene(mdata, gene, tfs=["TF07", "TF02"])["motifs"]) == ["TF07", "TF02"]
    del mdata["atac"].varm["motifs"]
    linked = list(grs.get.grn(mdata).query("gene == @gene")["tf"].unique())
    axes = grs.pl.region_gene(mdata, gene, tfs=linked)
    links = grs.get.grn(mdata).query("gene == @gene").drop_duplicates(["tf", "region"])
    assert len(ticks(axes)) == len(links)


def test_dots_are_mean_expression_and_share_of_cells(mdata, gene):
    axes = grs.pl.region_gene(mdata, gene)
    x = mdata["rna"].to_df()
    log = np.log1p(1e4 * x[gene] / x.sum(axis=1))
    by = log.groupby(mdata["rna"].obs["cell_type"].astype(str))
    dots = axes["expression"].collections[0]
    np.testing.assert_allclose(dots.get_offsets()[:, 0], by.mean(), rtol=1e-5)
    share = by.agg(lambda v: (v > 0).mean())
    np.testing.assert_allclose(dots.get_sizes() / dots.get_sizes()[0], share / share.iloc[0])
    np.testing.assert_allclose(dots.get_offsets()[:, 1], axes["accessibility"].get_yticks())


@pytest.mark.parametrize("column", ["grn_group", "cell_type"])
def test_cell_types_keep_the_colours_they_have(mdata, gene, column):
    mdata["rna"].obs["cell_type"] = mdata["rna"].obs["cell_type"].astype("category")
    mdata["rna"].uns[f"{column}_colors"] = ["#112233", "#445566", "#778899"]
    axes = grs.pl.region_gene(mdata, gene, groups=["type2"])
    assert {to_hex(bar.get_facecolor()) for bar in axes["accessibility"].patches} == {"#445566"}
    assert to_hex(axes["expression"].collections[0].get_facecolors()[0]) == "#445566"


@pytest.mark.parametrize("strand", ["+", "-"])
def test_the_arrow_leaves_the_start_along_the_strand(mdata, gene, strand):
    mdata["rna"].var["strand"] = strand
    axes = grs.pl.region_gene(mdata, gene)
    arrow = axes["gene"].texts[0]
    start, end = mdata["rna"].var.loc[gene, ["start", "end"]]
    assert arrow.xyann[0] == (start if strand == "+" else end)
    assert (arrow.xy[0] > arrow.xyann[0]) == (strand == "+")
    body = axes["gene"].patches[0]
    assert (body.get_x(), body.get_x() + body.get_width()) == (start, end)


def test_positions_can_come_from_an_annotation(mdata, gene):
    table = mdata["rna"].var[["chrom", "start", "end", "strand"]].copy()
    shift = table.assign(start=table["start"] + 500, end=table["end"] + 500)
    mdata["rna"].var = mdata["rna"].var.drop(columns=["start", "end"])
    axes = grs.pl.region_gene(mdata, gene, annotation=shift)
    assert axes["gene"].patches[0].get_x() == shift.loc[gene, "start"]
    with pytest.raises(KeyError, match=r"needs a position.*annotation="):
        grs.pl.region_gene(mdata, gene)


def test_every_kind_of_data_gives_the_same_picture(mdata, gene):
    first = [bar.get_height() for bar in grs.pl.region_gene(mdata, gene)["accessibility"].patches]
    pair = mdata["rna"], mdata["atac"]
    other = mdata.copy()
    for part in other.mod.values():
        part.layers["counts"], part.X = sp.csc_matrix(part.X), None
    renamed = mudata.MuData({"gex": mdata["rna"], "peaks": mdata["atac"]})
    turned = mdata["rna"], mdata["atac"][::-1]
    for data, options in (
        (pair, {}), (turned, {}), (other, {"layer": "counts", "atac_layer": "counts"}),
        (renamed, {"rna": "gex", "atac": "peaks"}),
    ):  # fmt: skip
        axes = grs.pl.region_gene(data, gene, **options)
        assert [bar.get_height() for bar in axes["accessibility"].patches] == first


def test_it_stays_in_its_figure_and_leaves_the_data_alone(mdata, gene):
    before = [str(part) + str(part.uns) + str(part.obs) for part in mdata.mod.values()]
    figure = plt.figure(figsize=(12, 4))
    left, right = figure.subfigures(1, 2)
    axes = grs.pl.region_gene(mdata, gene, figure=left)
    assert plt.get_fignums() == [figure.number]
    assert set(left.axes) == set(axes.values())
    assert right.axes == []
    assert [str(part) + str(part.uns) + str(part.obs) for part in mdata.mod.values()] == before


def test_no_label_lies_on_another(mdata, gene, overlaps):
    for options in ({}, {"groups": ["type1"]}, {"tfs": []}):
        axes = grs.pl.region_gene(mdata, gene, **options)
        figure = axes["gene"].figure
        figure.canvas.draw()
        legends = [text for ax in axes.values() if ax.get_legend() for text in ax.get_legend().findobj(plt.Text)]
        texts = [text for ax in axes.values() for text in (*ax.texts, ax.xaxis.label, ax.title, *ax.get_yticklabels())]
        texts += [text for ax in (axes["gene"], axes["expression"]) for text in ax.get_xticklabels()]
        texts += [getattr(ax, side) for ax in axes.values() for side in ("_left_title", "_right_title")]
        assert overlaps([*texts, *legends], figure) == []


def test_wrong_input_is_named(mdata, gene):
    for options, error, text in (
        ({"gene": "Nothing"}, KeyError, "gene='Nothing' must be a gene of the data"),
        ({"groups": ["type1", "Astro"]}, KeyError, r"unknown \[Astro\]; known \[type1, type2, type3\]"),
        ({"groups": []}, KeyError, "cell types of the network"),
        ({"tfs": ["Pax6"]}, KeyError, r"unknown \[Pax6\]"),
        ({"window": 0}, ValueError, "window must be at least 1 bp"),
        ({"atac": "peaks"}, KeyError, "needs the modality 'peaks'"),
        ({"key": "other"}, KeyError, r"grs\.tl\.build_grn"),
    ):
        with pytest.raises(error, match=text):
            grs.pl.region_gene(mdata, **{"gene": gene, **options})
    far = mdata["rna"].var[["chrom", "start", "end", "strand"]]
    with pytest.raises(ValueError, match=r"a region must lie in the window.*chr2:\d+-\d+\. Found: none\. Fix: widen"):
        grs.pl.region_gene(mdata, gene, window=1000, annotation=far.assign(start=10**8, end=10**8 + 9))
    mdata["rna"].var["chrom"] = "1"
    with pytest.raises(ValueError, match="make the chromosome names of genes and regions equal"):
        grs.pl.region_gene(mdata, gene, window=1000)


def test_motifs_cannot_be_named_where_there_are_none(mdata, gene):
    del mdata["atac"].varm["motifs"]
    edges = mdata["rna"].uns["grn"]["edges"]
    edges["evidence"] = pd.Categorical(["none"] * len(edges), categories=edges["evidence"].cat.categories)
    assert "motifs" not in grs.pl.region_gene(mdata, gene)
    with pytest.raises(ValueError, match="build the network with motifs"):
        grs.pl.region_gene(mdata, gene, tfs=["TF01"])
