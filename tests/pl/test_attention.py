"""The attention figure shows the stored numbers, in one order of cell types."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex

import grnformer_sc as grs


def labels(axis):
    return [text.get_text() for text in axis.get_ticklabels()]


def relative(rna):
    """Attention over the mean of the genes that receive any, per group."""
    received = grs.get.attention_received(rna).astype(float)
    return received / received.where(received > 0).mean()


def test_the_heat_map_is_attention_over_that_of_the_mean_gene(rna):
    ax = grs.pl.attention(rna, kind="regulators")
    expected = relative(rna).loc[labels(ax.xaxis), labels(ax.yaxis)].to_numpy().T
    np.testing.assert_allclose(ax.images[0].get_array(), expected)


def test_the_size_of_a_network_does_not_show(rna):
    one = grs.pl.attention(rna, kind="regulators").images[0].get_array().copy()
    rna.varm["grnformer_attention"][:, 1] *= 0.01  # the same shares of a smaller whole
    np.testing.assert_allclose(grs.pl.attention(rna, kind="regulators").images[0].get_array(), one, rtol=1e-5)


def test_regulators_outside_the_network_of_a_type_are_blank(rna):
    rna.varm["grnformer_attention"][rna.var_names.get_loc("Cux1"), 0] = 0
    ax = grs.pl.attention(rna, kind="regulators")
    cell = labels(ax.yaxis).index("Astro"), labels(ax.xaxis).index("Cux1")
    assert np.ma.getmaskarray(ax.images[0].get_array())[cell]


def test_each_type_chooses_its_strongest_regulator_first(rna):
    table = relative(rna).loc[list({str(t) for t in rna.uns["grn"]["eregulons"]["tf"]})]
    shown = set(labels(grs.pl.attention(rna, kind="regulators", top=3).xaxis))
    assert set(table.idxmax()) <= shown
    assert len(shown) == 3


def test_bars_of_one_type_fall_and_equal_the_table(rna):
    ax = grs.pl.attention(rna, kind="regulators", group="L2/3", top=3)
    width = [bar.get_width() for bar in ax.patches]
    np.testing.assert_allclose(width, relative(rna).loc[labels(ax.yaxis), "L2/3"])
    assert width == sorted(width, reverse=True)
    assert ax.get_title(loc="right") == "3 of 4 TFs"


def test_links_of_one_type_are_its_strongest_and_tell_those_of_the_network(rna):
    ax = grs.pl.attention(rna, kind="links", group="Oligo", top=5)
    table = grs.get.attention(rna, group="Oligo").nlargest(5, "weight")
    assert labels(ax.yaxis) == [f"{a} \u2192 {b}" for a, b in zip(table["regulator"], table["target"], strict=True)]
    bars = ax.patches[:5]
    received = grs.get.attention_received(rna)["Oligo"].astype(float)
    np.testing.assert_allclose(
        [b.get_width() for b in bars], table["weight"] / received[received > 0].mean(), rtol=1e-5
    )
    colours = [to_hex(bar.get_facecolor()) for bar in bars]
    assert len({c for c, known in zip(colours, table["in_network"], strict=True) if known}) == 1
    assert [c == colours[0] for c in colours] == [k == table["in_network"].iloc[0] for k in table["in_network"]]


def test_a_dot_stands_for_every_pair_of_the_table_that_is_shown(rna):
    ax = grs.pl.attention(rna, kind="links", top=6)
    names, groups = labels(ax.xaxis), labels(ax.yaxis)
    assert len(names) == 6
    drawn = {(names[int(x)], groups[int(y)]) for x, y in ax.collections[0].get_offsets()}
    table = grs.get.attention(rna)
    pairs = table["regulator"].astype(str) + " \u2192 " + table["target"].astype(str)
    assert drawn == {(p, g) for p, g in zip(pairs, table["group"], strict=True) if p in names}


def test_the_strip_shows_the_three_comparisons_filled_where_significant(rna):
    table = grs.get.attention_enrichment(rna).set_index("group")
    ax = grs.pl.attention(rna, kind="enrichment")
    order = labels(ax.yaxis)
    columns = {"all other genes": "rho", "genes of equal degree": "rho_degree_matched"}
    columns["genes of equal expression"] = "rho_expression_matched"
    drawn = {c.get_label(): c for c in ax.collections if c.get_label() in columns}
    assert set(drawn) == set(columns)
    for label, column in columns.items():
        x, y = drawn[label].get_offsets().T
        np.testing.assert_allclose(x, table.loc[[order[round(v)] for v in y], column])
        p = table.loc[[order[round(v)] for v in y], column.replace("rho", "p") if column != "rho" else "p_value"]
        filled = [to_hex(face) != "#ffffff" for face in drawn[label].get_facecolors()]
        assert filled == (p < 0.05).tolist()


def test_panels_of_the_overview_share_the_order_of_cell_types(rna):
    axes = grs.pl.attention(rna)
    assert list(axes) == ["regulators", "links", "enrichment"]
    singles = {kind: grs.pl.attention(rna, kind=kind) for kind in axes}
    orders = {kind: labels(ax.yaxis) for kind, ax in singles.items()}
    assert orders["regulators"] == orders["links"] == orders["enrichment"] == labels(axes["regulators"].yaxis)
    for kind, ax in axes.items():
        assert ax.get_ylim() == singles[kind].get_ylim()


def test_the_overview_fits_into_a_part_of_a_figure(rna):
    figure = plt.figure(layout="constrained")
    left, right = figure.subfigures(1, 2)
    axes = grs.pl.attention(rna, figure=left)
    assert {ax.get_figure(root=False) for ax in axes.values()} == {left}
    assert right.axes == []
    assert plt.get_fignums() == [figure.number]


def test_a_model_on_tfs_only_has_no_comparison(rna):
    for column in ("rho", "rho_degree_matched", "rho_expression_matched"):
        rna.uns["grnformer"]["enrichment"][column] = np.nan
    assert list(grs.pl.attention(rna)) == ["regulators", "links"]
    with pytest.raises(ValueError, match="keys='all'"):
        grs.pl.attention(rna, kind="enrichment")


def test_the_figure_does_not_need_the_network_itself(rna):
    del rna.uns["grn"]
    assert set(labels(grs.pl.attention(rna, kind="regulators").xaxis)) <= set(
        grs.get.attention(rna)["regulator"].astype(str)
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "pie"}, "kind must be one of"),
        ({"ax": "ax"}, "pass figure="),
        ({"kind": "links", "figure": "figure"}, "pass ax="),
    ],
)
def test_wrong_options_say_what_to_pass(rna, options, message):
    with pytest.raises(ValueError, match=message):
        grs.pl.attention(rna, **options)
