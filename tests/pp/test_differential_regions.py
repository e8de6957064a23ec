"""Differential regions of AnnData objects."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import grnformer_sc as grs


def test_the_table_is_the_same_from_every_kind_of_object(toy):
    grs.pp.differential_regions(toy, "cell_type")
    table = toy["atac"].uns["differential_regions"]
    assert list(table.columns) == ["group", "region", "share", "share_rest", "log2fc", "pvalue", "fdr"]
    assert set(table["group"]) == {"type1", "type2", "type3"}
    assert (table["fdr"] <= 0.05).all()
    assert (table["share"] > table["share_rest"]).mean() > 0.95
    atac = toy["atac"].copy()
    atac.obs["cell_type"] = toy["rna"].obs["cell_type"]
    atac.uns.clear()
    grs.pp.differential_regions(atac, "cell_type")
    pd.testing.assert_frame_equal(atac.uns["differential_regions"], table)
    pair = grs.pp.differential_regions((toy["rna"], toy["atac"][::-1].copy()), "cell_type", copy=True)
    pd.testing.assert_frame_equal(pair[1].uns["differential_regions"], table)


def test_shuffled_labels_find_next_to_nothing(toy):
    toy["rna"].obs["shuffled"] = np.random.default_rng(0).permutation(toy["rna"].obs["cell_type"].to_numpy())
    grs.pp.differential_regions(toy, "shuffled", min_log2fc=0)
    assert len(toy["atac"].uns["differential_regions"]) < 0.01 * 3 * toy["atac"].n_vars


def test_wrong_input_is_named(toy):
    with pytest.raises(KeyError, match="names no column"):
        grs.pp.differential_regions(toy, "nothing")
    toy["rna"].obs["one"] = "x"
    with pytest.raises(ValueError, match="two groups"):
        grs.pp.differential_regions(toy, "one")
    with pytest.raises(KeyError, match="modality 'peaks'"):
        grs.pp.differential_regions(toy, "cell_type", atac="peaks")
    with pytest.raises(ValueError, match="max_fdr must lie"):
        grs.pp.differential_regions(toy, "cell_type", max_fdr=2)
