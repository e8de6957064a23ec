"""The comparison shows each network's figures beside its random networks."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import pytest

import grnformer_sc as grs


@pytest.fixture(scope="module")
def compared(toy_mdata: Any) -> Any:
    mdata = toy_mdata.copy()
    for method in ("correlation", "ridge"):
        grs.tl.build_grn(mdata, method=method, groupby="cell_type")
    grs.tl.compare_grns(mdata, truth=mdata["rna"].uns["truth"], n_nulls=3)
    return mdata


def test_dots_are_the_values_and_bars_the_nulls(compared: Any) -> None:
    axes = grs.pl.comparison(compared)
    table = grs.get.comparison(compared)
    aupr = table[table["figure"] == "aupr"].set_index("network")
    names = [label.get_text() for label in axes[0].get_yticklabels()]
    assert names == list(aupr["value"].sort_values(ascending=False).index)
    bars, dots = axes[0].collections[:2], axes[0].collections[-2]
    assert [tuple(segment[:, 0]) for segment in bars[0].get_segments()] == [
        tuple(aupr.loc[name, ["degree_low", "degree_high"]]) for name in names
    ]
    drawn = {tuple(point) for c in axes[0].collections for point in c.get_offsets().tolist()}
    assert {(aupr.loc[name, "value"], float(i)) for i, name in enumerate(names)} <= drawn
    assert dots is not None
    plt.close("all")


def test_networks_can_be_chosen_and_axes_given(compared: Any) -> None:
    _, axes = plt.subplots(1, 4)
    drawn = grs.pl.comparison(compared, networks=["grn_ridge"], axes=list(axes))
    assert drawn == list(axes)
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["grn_ridge"]
    plt.close("all")


def test_unknown_networks_and_missing_axes_are_named(compared: Any) -> None:
    with pytest.raises(KeyError, match="networks must be among"):
        grs.pl.comparison(compared, networks=["x"])
    with pytest.raises(ValueError, match="one axes per figure"):
        grs.pl.comparison(compared, axes=[])
