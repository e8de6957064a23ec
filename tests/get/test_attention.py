"""Results of a model and recipes are read as tables of their own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import grnformer_sc as grs


@pytest.mark.parametrize(
    ("read", "name"),
    [(grs.get.attention, "attention"), (grs.get.attention_enrichment, "enrichment"), (grs.get.training, "history")],
)
def test_tables_are_read_as_they_were_stored(rna, read, name):
    pd.testing.assert_frame_equal(read(rna), rna.uns["grnformer"][name])
    assert read(rna) is not rna.uns["grnformer"][name]


def test_a_group_selects_its_rows(rna):
    assert set(grs.get.attention(rna, group="L2/3")["group"]) == {"L2/3"}
    assert len(grs.get.attention_enrichment(rna, group="L2/3")) == 1


def test_received_attention_has_genes_as_rows_and_groups_as_columns(rna):
    found = grs.get.attention_received(rna)
    np.testing.assert_array_equal(found.to_numpy(), rna.varm["grnformer_attention"])
    assert list(found.columns) == list(rna.uns["grnformer"]["group_names"])
    found.iloc[:] = 0
    assert rna.varm["grnformer_attention"].any()


def test_unknown_groups_are_answered_with_those_of_the_model(rna):
    with pytest.raises(KeyError, match=r"group='L5'.*Astro"):
        grs.get.attention(rna, group="L5")


def test_without_a_model_the_error_names_fit(rna):
    del rna.uns["grnformer"]
    with pytest.raises(KeyError, match=r"needs 'grnformer'.*grs\.tl\.fit"):
        grs.get.attention(rna)


def test_a_model_without_a_network_has_no_attention(rna):
    del rna.uns["grnformer"]["attention"]
    with pytest.raises(KeyError, match="use_grn=True"):
        grs.get.attention(rna)


def test_params_are_a_copy_of_the_recipe(rna):
    found = grs.get.params(rna)
    assert found == rna.uns["grn"]["params"]
    found["inputs"]["rna"] = "other"
    assert rna.uns["grn"]["params"]["inputs"]["rna"] == "X"


def test_params_of_something_else_are_refused(rna):
    rna.uns["pca"] = {"variance": 1.0}
    with pytest.raises(KeyError, match="needs 'params'"):
        grs.get.params(rna, "pca")
