"""What all plots promise: they draw where they are told, change nothing, and leave no label on another."""

from __future__ import annotations

import matplotlib.pyplot as plt
import mudata
import numpy as np
import pytest
from anndata import AnnData

import grnformer_sc as grs

ON_ONE_AXES = {
    "activity": grs.pl.activity,
    "network": grs.pl.network,
    "network of a group": lambda data, **kw: grs.pl.network(data, group="Astro", **kw),
    "training": grs.pl.training,
    **{
        f"attention {kind} {group}": (
            lambda data, kind=kind, group=group, **kw: grs.pl.attention(data, kind=kind, group=group, **kw)
        )
        for kind in ("regulators", "links", "enrichment")
        for group in (None, "L2/3")
    },
}


def contents(adata: AnnData):
    """Everything in the object, in a form that can be compared."""
    flat = {
        f"uns {k} {n}": v for k, part in adata.uns.items() for n, v in (part.items() if hasattr(part, "items") else ())
    }
    for slot in ("obsm", "obsp", "varm", "varp"):
        flat |= {f"{slot} {k}": v for k, v in getattr(adata, slot).items()}
    flat |= {"obs": adata.obs, "var": adata.var}
    return {name: str(value.toarray().tolist() if hasattr(value, "toarray") else value) for name, value in flat.items()}


@pytest.mark.parametrize("plot", ON_ONE_AXES.values(), ids=ON_ONE_AXES.keys())
def test_a_plot_stays_on_the_axes_it_was_given(rna, plot):
    figure, (ax, other) = plt.subplots(1, 2)
    place = ax.get_position().frozen()
    assert plot(rna, ax=ax) is ax
    figure.canvas.draw()
    assert plt.get_fignums() == [figure.number]
    assert figure.axes == [ax, other]
    assert not other.has_data()
    if ax.get_aspect() == "auto":
        np.testing.assert_allclose(ax.get_position().get_points(), place.get_points())


@pytest.mark.parametrize("plot", ON_ONE_AXES.values(), ids=ON_ONE_AXES.keys())
def test_without_axes_one_figure_is_made(rna, plot):
    ax = plot(rna)
    assert plt.get_fignums() == [ax.figure.number]


@pytest.mark.parametrize("plot", ON_ONE_AXES.values(), ids=ON_ONE_AXES.keys())
def test_the_data_are_left_alone(rna, plot):
    before = contents(rna)
    plot(rna)
    assert contents(rna) == before


@pytest.mark.parametrize("plot", ON_ONE_AXES.values(), ids=ON_ONE_AXES.keys())
def test_a_mudata_is_drawn_like_its_rna(rna, plot):
    first, second = plot(rna), plot(mudata.MuData({"gex": rna}), rna="gex")
    for axis in ("xaxis", "yaxis"):
        labels = [[t.get_text() for t in getattr(ax, axis).get_ticklabels()] for ax in (first, second)]
        assert labels[0] == labels[1]


@pytest.mark.parametrize("plot", ON_ONE_AXES.values(), ids=ON_ONE_AXES.keys())
def test_no_label_lies_on_another(rna, plot, overlaps):
    ax = plot(rna)
    ax.figure.canvas.draw()
    assert overlaps([*ax.texts, ax.title, *ax.get_yticklabels()], ax.figure) == []
    assert overlaps(ax.get_xticklabels(), ax.figure) == []


def test_a_missing_network_is_named(rna):
    del rna.uns["grn"]
    for plot in (grs.pl.activity, grs.pl.network):
        with pytest.raises(KeyError, match=r"grs\.tl\.build_grn"):
            plot(rna)
