"""Dots and bars are those of the table; what was not tested looks so."""

from __future__ import annotations

import inspect

import matplotlib.pyplot as plt
import mudata
import numpy as np
import pytest
from matplotlib.colors import to_hex

import grnformer_sc as grs


@pytest.fixture
def ranked(rna):
    """Activities in which the second half of the cells differs, some eRegulons more than others; five donors a side."""
    rna.obs["drug"] = np.where(np.arange(60) < 30, "no", "yes")
    rna.obs["donor"] = [f"d{i // 6}" for i in range(60)]
    auc = rna.obsm["grn_auc"]
    auc.iloc[30:] += np.linspace(-0.6, 0.6, auc.shape[1], dtype=np.float32)
    grs.tl.rank_eregulons(rna, "drug", reference="no", sample_key="donor", min_cells=3)
    return rna


def test_dots_and_bars_are_those_of_the_table(ranked):
    table = grs.get.rank_eregulons(ranked)
    for n_top in (3, 50):
        ax = grs.pl.rank_eregulons(ranked, n_top=n_top)
        shown = table.head(n_top).sort_values("difference")
        assert [t.get_text() for t in ax.get_yticklabels()] == shown["eregulon"].tolist()
        bars, dots = ax.collections
        np.testing.assert_allclose(dots.get_offsets()[:, 0], shown["difference"])
        np.testing.assert_allclose([b[:, 0] for b in bars.get_segments()], shown[["ci_low", "ci_high"]])
        filled = [to_hex(c) != "#ffffff" for c in dots.get_facecolors()]
        np.testing.assert_array_equal(filled, shown["fdr"] <= 0.05)
    assert any(filled)
    assert not all(filled)
    assert ax.get_title(loc="left") == "yes - no"
    assert "5 and 5 samples" in ax.get_xlabel()


def test_colours_follow_the_sign(ranked):
    dots = grs.pl.rank_eregulons(ranked, max_fdr=1.0).collections[1]
    colours = [to_hex(c) for c in dots.get_facecolors()]
    up = dots.get_offsets()[:, 0] > 0
    assert len({c for c, positive in zip(colours, up, strict=True) if positive}) == 1
    assert len(set(colours)) == 2


def test_without_a_test_the_figure_says_so(ranked):
    grs.tl.rank_eregulons(ranked, "drug", reference="no")
    ax = grs.pl.rank_eregulons(ranked)
    assert "too few samples for a test" in ax.get_xlabel()
    assert {to_hex(c) for c in ax.collections[1].get_facecolors()} == {"#ffffff"}


def test_it_stays_on_the_axes_it_was_given_and_leaves_no_label_on_another(ranked, overlaps):
    figure, (ax, other) = plt.subplots(1, 2)
    assert grs.pl.rank_eregulons(mudata.MuData({"gex": ranked}), rna="gex", ax=ax) is ax
    figure.canvas.draw()
    assert plt.get_fignums() == [figure.number]
    assert figure.axes == [ax, other]
    assert not other.has_data()
    alone = grs.pl.rank_eregulons(ranked)
    alone.figure.canvas.draw()
    texts = [*alone.get_yticklabels(), alone.xaxis.label, alone.title, alone._left_title, alone._right_title]
    assert overlaps(texts, alone.figure) == []


def test_one_contrast_is_drawn_at_a_time(ranked):
    plot = inspect.unwrap(grs.pl.rank_eregulons)
    grs.tl.rank_eregulons(ranked, "grn_group", within="drug", sample_key="donor", min_cells=1)
    with pytest.raises(KeyError, match=r"one contrast.*group \[Astro, L2/3, Oligo\].*group='...'"):
        plot(ranked)
    with pytest.raises(KeyError, match=r"within \[no, yes\]"):
        plot(ranked, group="L2/3")
    assert plot(ranked, group="L2/3", within="yes").get_title(loc="left") == "L2/3 - rest, yes"
    with pytest.raises(KeyError, match="group='Neuron' is not in the result"):
        plot(ranked, group="Neuron")
    with pytest.raises(ValueError, match="n_top must be at least 1"):
        plot(ranked, n_top=0)
    with pytest.raises(KeyError, match=r"grs\.tl\.rank_eregulons"):
        plot(ranked, key="other")
