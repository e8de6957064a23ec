"""The panel shows the stored changes, direct targets apart from the others, on a scale centred on 0."""

from __future__ import annotations

import inspect

import matplotlib.pyplot as plt
import mudata
import numpy as np
import pytest
from matplotlib.colors import to_hex

import grnformer_sc as grs


@pytest.fixture
def changed(rna):
    grs.tl.simulate_ko(rna, "Cux1", n_steps=2)
    return rna


def label_texts(ax, axis):
    return [tick.get_text() for tick in getattr(ax, f"get_{axis}ticklabels")()]


def test_colours_are_the_changes_and_dots_the_direct_targets(changed):
    ax = grs.pl.perturbation(changed, top=12)
    genes, groups = label_texts(ax, "y"), label_texts(ax, "x")
    assert groups == ["Astro", "L2/3", "Oligo"]
    assert len(set(genes)) == 12
    at = changed.var_names.get_indexer(genes)
    change, step = changed.varm["grn_ko"][at], changed.varm["grn_ko_step"][at]
    shown = ax.images[0].get_array()
    np.testing.assert_array_equal(shown.filled(np.nan), np.where(step > 0, change, np.nan))
    low, high = ax.images[0].get_clim()
    assert high == -low == np.nanmax(np.abs(shown))
    x, y = ax.collections[0].get_offsets().T.astype(int)
    assert set(zip(y, x, strict=True)) == set(zip(*np.nonzero(step == 1), strict=True))


def test_the_genes_are_those_that_change_most_and_never_the_perturbed_one(changed):
    others = changed.var_names != "Cux1"
    size = np.abs(changed.varm["grn_ko"][others]).max(axis=1)
    first = set(changed.var_names[others][np.argsort(-size)[:5]])
    assert set(label_texts(grs.pl.perturbation(changed, top=5), "y")) == first


def test_genes_that_rise_stand_above_those_that_fall(changed):
    shown = grs.pl.perturbation(changed).images[0].get_array()
    rises = shown.mean(axis=1) > 0
    assert (np.diff(rises.astype(int)) <= 0).all()


def test_a_group_has_bars_filled_for_direct_targets(changed):
    ax = grs.pl.perturbation(changed, group="L2/3", top=15)
    table = grs.get.perturbation(changed, group="L2/3")
    table = table[(table["step"] > 0) & (table["change"] != 0)].head(15)
    names = label_texts(ax, "y")
    assert set(names) == set(table["gene"])
    bars = dict(zip(names, ax.patches, strict=True))
    for gene, change, step in zip(table["gene"], table["change"], table["step"], strict=True):
        assert bars[gene].get_width() == pytest.approx(change)
        assert (to_hex(bars[gene].get_facecolor()) == "#ffffff") == (step > 1)
    assert ax.get_title(loc="left") == "Knock-out of Cux1, L2/3"


def test_the_title_says_what_was_done(rna):
    grs.tl.simulate_ko(rna, ["Cux1", "Sox9"], level={"Cux1": 0, "Sox9": 2.5})
    assert grs.pl.perturbation(rna).get_title(loc="left") == "Knock-out of Cux1, Sox9 held at 2.5"


def test_no_label_lies_on_another(changed, overlaps):
    for options in ({}, {"top": 3}, {"group": "Astro"}, {"group": "Astro", "top": 2}):
        ax = grs.pl.perturbation(changed, **options)
        ax.figure.canvas.draw()
        texts = [ax.title, ax._left_title, ax.yaxis.label, *ax.get_yticklabels(), *ax.get_legend().get_texts()]
        for bar in ax.child_axes:
            low, high = bar.get_ylim()
            drawn = [t for t in bar.get_yticklabels() if low <= t.get_position()[1] <= high]
            texts += [*drawn, bar._left_title]
        assert overlaps(texts, ax.figure) == []
        assert overlaps(ax.get_xticklabels(), ax.figure) == []


def test_it_is_drawn_on_the_axes_that_are_given(changed):
    figure, (ax, other) = plt.subplots(1, 2)
    assert grs.pl.perturbation(mudata.MuData({"gex": changed}), rna="gex", ax=ax) is ax
    assert plt.get_fignums() == [figure.number]
    assert not other.has_data()


def test_wrong_input_is_named(changed):
    plot = inspect.unwrap(grs.pl.perturbation)
    with pytest.raises(ValueError, match="top must be at least 1"):
        plot(changed, top=0)
    with pytest.raises(KeyError, match=r"group='Neuron' is no cell type.*Astro, L2/3, Oligo"):
        plot(changed, group="Neuron")
    with pytest.raises(KeyError, match=r"grs\.tl\.simulate_ko"):
        plot(changed, key="other")
    with pytest.raises(KeyError, match="must name a simulated perturbation"):
        plot(changed, key="grn")
    changed.varm["grn_ko"][changed.var_names != "Cux1"] = 0
    with pytest.raises(ValueError, match="a gene must change in any cell type"):
        plot(changed)
