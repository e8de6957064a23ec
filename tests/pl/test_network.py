"""Plots of the network, of activities, thresholds and training show what `get` reads."""

from __future__ import annotations

from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import Affine2D

import grnformer_sc as grs
from grnformer_sc.grn.thresholds import RULES
from grnformer_sc.pl._network import _draw as draw_links
from grnformer_sc.pl._order import cluster_order, take_turns
from grnformer_sc.pl._style import new_axes
from grnformer_sc.pl._thresholds import RULES as WORDS


def labels(axis):
    return [text.get_text() for text in axis.get_ticklabels()]


def node_names(ax):
    return [text.get_text() for text in ax.texts]


def test_the_graph_has_the_strongest_targets_of_each_regulator(rna):
    ax = grs.pl.network(rna, group="Astro", regulators=["Cux1", "Sox9"], n_targets=3)
    best = grs.get.network(rna, group="Astro", format="decoupler")
    best = best[best["source"].isin(["Cux1", "Sox9"])]
    best = best.assign(size=best["weight"].abs()).sort_values("size", ascending=False, kind="stable")
    shown = best.groupby("source").head(3)
    assert set(node_names(ax)) == set(shown["source"]) | set(shown["target"])
    assert ax.get_title(loc="right") == f"{len(shown)} of {len(best)} links of these TFs"


def test_regulators_are_bold_and_targets_are_not(rna):
    ax = grs.pl.network(rna, regulators=["Cux1", "Sox9"])
    assert {t.get_text() for t in ax.texts if t.get_fontweight() == "bold"} == {"Cux1", "Sox9"}


def test_names_of_targets_point_outwards_from_their_ring(rna):
    ax = grs.pl.network(rna, n_targets=12)
    assert ax.get_aspect() == 1
    for text in ax.texts:
        if text.get_fontweight() != "bold":
            x, y = text.get_position()
            assert np.hypot(x, y) > 1
            np.testing.assert_allclose(np.tan(np.radians(text.get_rotation())), y / x, rtol=1e-6, atol=1e-9)


def test_the_legend_names_only_signs_that_are_drawn(rna):
    positive = grs.get.network(rna, format="frame").query("tf == 'Sox9'")
    assert (positive["sign"] == 1).all()
    text = [t.get_text() for t in grs.pl.network(rna, regulators=["Sox9"]).get_legend().get_texts()]
    assert "activates" in text
    assert "represses" not in text


def turned_outline(text):
    """Outline of the letters of a text that is turned about its anchor."""
    turn = text.get_rotation()
    text.set_rotation(0)
    box = Text.get_window_extent(text).shrunk(0.95, 0.75)
    text.set_rotation(turn)
    anchor = text.get_transform().transform(text.get_position())
    corners = Path([*box.corners()[[0, 1, 3, 2, 0]]])
    return corners if turn == 0 else corners.transformed(Affine2D().rotate_deg_around(*anchor, turn))


@pytest.mark.parametrize(("n_tfs", "n_targets"), [(1, 30), (6, 5), (7, 12), (8, 11), (12, 12), (12, 30)])
def test_names_never_meet_and_the_strongest_targets_are_named(n_tfs, n_targets):
    rng = np.random.default_rng(0)
    tfs = [f"Tsc22d{i}Rik" for i in range(n_tfs)]
    rows = [(tf, f"2610035D{i}x{j}Rik", rng.random(), 1) for i, tf in enumerate(tfs) for j in range(n_targets)]
    links = pd.DataFrame(rows, columns=["tf", "gene", "weight", "sign"]).sort_values("weight", ascending=False)
    ax = new_axes(6, 6)
    draw_links(ax, links, tfs)
    ax.figure.canvas.draw()
    outlines = [turned_outline(text) for text in ax.texts]
    assert not [(a, b) for a, b in combinations(outlines, 2) if a.intersects_path(b)]
    named = set(node_names(ax))
    assert set(tfs) | {links["gene"].iloc[0]} <= named
    if n_tfs * n_targets <= 96:
        assert set(links["gene"]) <= named


def test_widths_follow_importances_only_where_they_differ(rna):
    edges = rna.uns["grn"]["edges"]
    for low, labels in (
        (0.2, {"importance 0.2", "importance 1"}),
        (0.99, {"importance 0.99 to 1"}),
        (1, {"importance 1"}),
    ):
        edges["tf_gene_importance"] = np.float32(1)
        first = (edges["tf"] == "Sox9") & (edges["gene"] == edges.loc[edges["tf"] == "Sox9", "gene"].iloc[0])
        edges.loc[first, "tf_gene_importance"] = np.float32(low)
        ax = grs.pl.network(rna, regulators=["Sox9"], n_targets=40)
        assert labels <= {text.get_text() for text in ax.get_legend().get_texts()}
        widths = {arrow.get_linewidth() for arrow in ax.patches}
        assert len(widths) == (2 if low == 0.2 else 1)


def test_the_layout_is_the_same_every_time(rna):
    first, second = ([t.get_position() for t in grs.pl.network(rna, regulators=["Cux1"]).texts] for _ in range(2))
    assert first == second


def test_links_that_are_not_there_cannot_be_drawn(rna):
    with pytest.raises(ValueError, match=r"none of \['Pax6'\].*choose other regulators"):
        grs.pl.network(rna, regulators=["Pax6"])


def test_dots_show_active_fractions_and_scaled_scores(rna):
    ax = grs.pl.activity(rna)
    names, groups = labels(ax.xaxis), labels(ax.yaxis)
    table = grs.get.groups(rna).astype({"group": str, "eregulon": str})
    wide = table.set_index(["group", "eregulon"])
    dots = ax.collections[0]
    cells = pd.MultiIndex.from_product([groups, names])
    share = wide.loc[cells, "active_fraction"].to_numpy()
    np.testing.assert_allclose(dots.get_sizes() / dots.get_sizes().max(), share / share.max())
    auc = wide.loc[cells, "mean_auc"].to_numpy().reshape(len(groups), -1)
    scaled = (auc - auc.min(axis=0)) / np.ptp(auc, axis=0)
    np.testing.assert_allclose(dots.get_array(), scaled.ravel())


def test_each_type_shows_its_most_specific_eregulon(rna):
    table = grs.get.groups(rna).query("kept").astype({"group": str, "eregulon": str})
    best = table.loc[table.groupby("group")["rss"].idxmax(), "eregulon"]
    ax = grs.pl.activity(rna, n=1)
    assert set(best) <= set(labels(ax.xaxis))
    assert ax.get_title(loc="right") == f"{len(labels(ax.xaxis))} of {len(grs.get.eregulons(rna))} eRegulons"


def test_a_network_that_no_type_keeps_is_named(rna):
    rna.uns["grn"]["groups"]["kept"] = False
    with pytest.raises(ValueError, match="keep an eRegulon"):
        grs.pl.activity(rna)


def test_histograms_count_every_cell_and_are_cut_at_the_threshold(rna):
    names = list(grs.get.eregulons(rna)["name"][:3])
    for kind, cut in (("gene", 0.5), ("region", 0.25)):
        for ax, name in zip(grs.pl.thresholds(rna, eregulons=names, kind=kind), names, strict=True):
            assert ax.get_title() == name
            assert sum(bar.get_height() for bar in ax.patches) == rna.n_obs
            assert set(ax.lines[0].get_xdata()) == {cut}
            activity = grs.get.activity(rna, kind=kind)[:, name]
            text = ax.texts[0].get_text()
            assert f"{(cut < activity.X).mean():.1%} above" in text
            assert f"{activity.layers['active'].mean():.1%} active" in text


def test_every_rule_has_its_words():
    assert set(WORDS) == set(RULES)


def test_thresholds_are_drawn_on_the_axes_that_are_given(rna):
    figure, axes = plt.subplots(1, 2)
    assert grs.pl.thresholds(rna, n=2, axes=axes) == list(axes)
    assert plt.get_fignums() == [figure.number]
    with pytest.raises(ValueError, match="2 for 3"):
        grs.pl.thresholds(rna, n=3, axes=axes)


def test_thresholds_of_unknown_eregulons_are_refused(rna):
    with pytest.raises(KeyError, match=r"unknown \[Pax6\|act\]"):
        grs.pl.thresholds(rna, eregulons=["Pax6|act"])


def test_the_kept_epoch_is_that_of_the_lowest_validation_loss(rna):
    ax = grs.pl.training(rna)
    history = grs.get.training(rna)
    lines = {line.get_label(): line for line in ax.lines}
    np.testing.assert_array_equal(lines["training"].get_ydata(), history["train_loss"])
    np.testing.assert_array_equal(lines["validation"].get_ydata(), history["validation_loss"])
    assert "kept (epoch 3)" in lines


def test_training_takes_a_table_a_model_or_the_data(rna):
    history = grs.get.training(rna)
    model = type("Model", (), {"history_": history})()
    for source in (history, model, rna):
        np.testing.assert_array_equal(grs.pl.training(source).lines[0].get_ydata(), history["train_loss"])


def test_training_without_validation_has_no_kept_epoch(rna):
    ax = grs.pl.training(grs.get.training(rna).drop(columns="validation_loss"))
    assert [line.get_label() for line in ax.lines] == ["training"]


def test_an_untrained_model_is_named(rna):
    with pytest.raises(ValueError, match="at least one epoch"):
        grs.pl.training(pd.DataFrame(columns=["epoch", "train_loss"]))


RANKED = st.dictionaries(
    st.sampled_from("ABCD"), st.lists(st.sampled_from([f"g{i}" for i in range(8)]), unique=True, max_size=8), min_size=1
)


@given(ranked=RANKED, n=st.integers(0, 10))
def test_taking_turns_fills_up_without_repeats_and_is_fair(ranked, n):
    chosen = take_turns(ranked, n)
    everything = {name for names in ranked.values() for name in names}
    assert len(chosen) == len(set(chosen)) == min(n, len(everything))
    if n >= len(ranked):
        assert all(names[0] in chosen for names in ranked.values() if names)


def test_similar_rows_become_neighbours():
    x = np.array([[0.0, 0], [10, 10], [0.1, 0], [10, 10.1]])
    order = cluster_order(x)
    assert sorted(order) == [0, 1, 2, 3]
    assert abs(order.index(0) - order.index(2)) == 1
    assert cluster_order(x[:2]) == [0, 1]
