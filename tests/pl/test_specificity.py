"""The ranked scores of a cell type are those of the table, and the named eRegulons those it keeps."""

from __future__ import annotations

import inspect

import matplotlib.pyplot as plt
import mudata
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text
from scipy.spatial.distance import jensenshannon

import grnformer_sc as grs


def table_of(rna, group):
    table = grs.get.groups(rna).astype({"group": str, "eregulon": str})
    return table[table["group"] == group].sort_values("rss", ascending=False, kind="stable")


def names(ax):
    return [text.get_text() for text in ax.texts]


def test_every_eregulon_stands_at_its_rank_and_score(rna):
    axes = grs.pl.specificity(rna)
    assert [ax.get_title() for ax in axes] == ["Astro", "L2/3", "Oligo"]
    for ax in axes:
        table = table_of(rna, ax.get_title())
        at = ax.collections[0].get_offsets()
        np.testing.assert_array_equal(at[:, 0], np.arange(1, len(table) + 1))
        np.testing.assert_allclose(at[:, 1], table["rss"])
        pale = ax.collections[0].get_facecolors()[:, 0] > 0.6
        np.testing.assert_array_equal(pale, ~table["kept"])


@pytest.mark.parametrize("n_top", [1, 3, 50])
def test_the_first_that_a_type_keeps_are_named_at_their_dots(rna, n_top):
    for ax in grs.pl.specificity(rna, n_top=n_top):
        table = table_of(rna, ax.get_title())
        kept = table[table["kept"]].head(n_top)
        assert names(ax) == kept["eregulon"].tolist()
        np.testing.assert_allclose([text.xy[1] for text in ax.texts], kept["rss"])
        np.testing.assert_allclose([text.xy for text in ax.texts], ax.collections[1].get_offsets())


def test_named_eregulons_have_the_colour_of_their_type(rna):
    colours = [
        to_hex(ax.collections[1].get_facecolors()[0]) for ax in grs.pl.specificity(rna, groups=["Oligo", "Astro"])
    ]
    assert colours == ["#333333", "#111111"]


def test_scores_of_regions_are_computed_from_their_auc(rna):
    auc = rna.obsm["grn_auc_region"] = rna.obsm["grn_auc_region"] ** 3
    for ax in grs.pl.specificity(rna, kind="region"):
        inside = (rna.obs["grn_group"] == ax.get_title()).to_numpy(dtype=float)
        expected = [1 - jensenshannon(auc[name], inside, base=2) for name in auc]
        np.testing.assert_allclose(ax.collections[0].get_offsets()[:, 1], np.sort(expected)[::-1], rtol=1e-5)


def test_no_name_lies_on_another_or_on_a_dot(rna, overlaps):
    rna.uns["grn"]["groups"]["kept"] = True
    for n_top in (3, 8):
        axes = grs.pl.specificity(rna, n_top=n_top)
        figure = axes[0].figure
        figure.canvas.draw()
        texts = [text for ax in axes for text in (*ax.texts, ax.xaxis.label, ax.yaxis.label, ax.title)]
        texts += axes[0].get_legend().get_texts()
        assert overlaps(texts, figure) == []
        for ax in axes:
            dots = ax.transData.transform(ax.collections[0].get_offsets())
            assert min(Text.get_window_extent(text).x0 for text in ax.texts) > dots[:, 0].max()


def test_a_type_that_keeps_none_says_so(rna):
    groups = rna.uns["grn"]["groups"]
    groups.loc[groups["group"] == "Astro", "kept"] = False
    first, second = grs.pl.specificity(rna, groups=["Astro", "Oligo"])
    assert names(first) == ["keeps none"]
    assert "keeps none" not in names(second)


def test_it_is_drawn_on_the_axes_that_are_given(rna):
    figure, axes = plt.subplots(1, 3)
    assert grs.pl.specificity(mudata.MuData({"gex": rna}), rna="gex", axes=axes) == list(axes)
    assert plt.get_fignums() == [figure.number]
    with pytest.raises(ValueError, match="2 for 3"):
        grs.pl.specificity(rna, axes=axes[:2])


def test_wrong_input_is_named(rna):
    plot = inspect.unwrap(grs.pl.specificity)
    with pytest.raises(KeyError, match=r"unknown \[Neuron\]; known \[Astro, L2/3, Oligo\]"):
        plot(rna, groups=["Neuron"])
    with pytest.raises(ValueError, match="kind must be one of"):
        plot(rna, kind="cell")
    with pytest.raises(ValueError, match="n_top must be at least 1"):
        plot(rna, n_top=0)
    del rna.obsm["grn_auc_region"]
    with pytest.raises(KeyError, match="grn_auc_region"):
        plot(rna, kind="region")
    del rna.uns["grn"]
    with pytest.raises(KeyError, match=r"grs\.tl\.build_grn"):
        plot(rna)
