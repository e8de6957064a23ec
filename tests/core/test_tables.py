"""One edge table for every method: complete, typed, sorted, blind to the order of its input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grnformer_sc._core.keys import GrnKeys, ModelKeys
from grnformer_sc._core.tables import EDGE_COLUMNS, EVIDENCE, by_upper, edge_table, eregulon_name, places_by_upper

LINK = st.tuples(
    st.sampled_from("ABC"), st.sampled_from(["r1", "r2", ""]), st.sampled_from("xyz"), st.floats(0, 1, width=32)
)


@given(rows=st.lists(LINK, max_size=12, unique_by=lambda row: row[:3]), seed=st.integers(0, 9))
@settings(max_examples=30, deadline=None)
def test_the_table_does_not_depend_on_the_order_of_rows_and_columns(rows: list[tuple], seed: int) -> None:
    frame = pd.DataFrame(rows, columns=["tf", "region", "gene", "score"]).astype({"score": np.float64})
    shuffled = frame.sample(frac=1, random_state=seed)[["score", "gene", "tf", "region"]]
    pd.testing.assert_frame_equal(edge_table(frame), edge_table(shuffled))


def test_missing_columns_get_their_default_and_every_column_its_type() -> None:
    table = edge_table({"tf": ["B", "A"], "gene": ["x", "y"]})
    assert list(table.columns) == list(EDGE_COLUMNS)
    assert table["tf"].tolist() == ["A", "B"]
    assert table["region"].tolist() == ["", ""]
    assert table["score"].isna().all()
    assert table["sign"].tolist() == [0, 0]
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == EDGE_COLUMNS
    assert tuple(table["evidence"].cat.categories) == EVIDENCE
    assert table.index.tolist() == ["0", "1"]


def test_an_unknown_column_is_an_error() -> None:
    with pytest.raises(KeyError, match="wieght"):
        edge_table({"tf": ["A"], "wieght": [1.0]})


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("Sox2", 1, 1), "Sox2|act|open"), (("Sox2", -1, -1), "Sox2|rep|closed"), (("Sox2", 1, 0), "Sox2|act"),
        (("A/B", -1, 1), "A_B|rep|open"),
    ],
)  # fmt: skip
def test_eregulon_names_are_safe_in_every_format(arguments: tuple[str, int, int], name: str) -> None:
    assert eregulon_name(*arguments) == name


@given(names=st.lists(st.text("aBß", max_size=2), max_size=8), values=st.lists(st.text("AbSs", max_size=2), max_size=8))
def test_letter_case_is_set_aside_and_the_first_name_wins(names: list[str], values: list[str]) -> None:
    upper = [name.upper() for name in names]
    expected = [upper.index(value.upper()) if value.upper() in upper else -1 for value in values]
    assert places_by_upper(names, values).tolist() == expected
    assert by_upper(names) == {key: names[upper.index(key)] for key in upper}


def test_no_two_slots_share_a_name() -> None:
    keys = GrnKeys.for_method("eregulon")
    names = ["group", "auc", "active", "auc_region", "active_region", "connectivities", "distances", "cells"]
    assert len({getattr(keys, name) for name in names} | {keys.uns}) == len(names) + 1
    assert keys.varp == keys.uns == "grn"


def test_each_method_has_its_own_slots_unless_told_otherwise() -> None:
    assert GrnKeys.for_method("ridge").auc == "grn_ridge_auc"
    assert GrnKeys.for_method("ridge", "mine").auc == "mine_auc"
    model = ModelKeys()
    assert (model.embedding, model.genes, model.attention, model.uns) == (
        "X_grnformer", "grnformer", "grnformer_attention", "grnformer",
    )  # fmt: skip
