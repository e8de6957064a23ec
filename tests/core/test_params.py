"""A recorded recipe survives every file format."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from grnformer_sc._core.params import RECORDED_PACKAGES, SCHEMA, freeze, recipe, versions

TEXT = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x24F, exclude_characters="\x7f\\."), min_size=1, max_size=8
)
NUMBER = st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False)
SCALAR = st.none() | st.booleans() | NUMBER | TEXT
LISTS = (
    st.lists(SCALAR, max_size=4)
    | st.tuples(TEXT, NUMBER)
    | st.sets(st.integers(0, 9))
    | st.frozensets(TEXT, max_size=3)
)
VALUES = st.recursive(SCALAR | LISTS, lambda inner: st.dictionaries(TEXT, inner, max_size=3), max_leaves=6)
PARAMS = st.dictionaries(TEXT, VALUES, max_size=4)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return set(a) == set(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, np.ndarray):
        return [str(item) for item in a.tolist()] == [str(item) for item in np.asarray(b).tolist()]
    return type(a)(b) == a


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
@given(params=PARAMS)
@settings(max_examples=12, deadline=None, phases=[Phase.explicit, Phase.generate])  # a file per example
def test_frozen_parameters_come_back_from_a_file(suffix: str, params: dict[str, Any]) -> None:
    frozen = freeze(params)
    adata = anndata.AnnData(np.zeros((2, 2), dtype=np.float32), uns={"grn": {"params": frozen, "end": 1}})
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # formats warn about their own future, not about our values
        path = Path(folder, f"x.{suffix}")
        getattr(adata, f"write_{suffix}")(path)
        back = anndata.io.read_h5ad(path) if suffix == "h5ad" else anndata.io.read_zarr(path)
    assert same(frozen, back.uns["grn"].get("params", {}))


@given(params=PARAMS)
@settings(max_examples=50, deadline=None)
def test_freezing_twice_changes_nothing(params: dict[str, Any]) -> None:
    once = freeze(params)
    assert same(once, freeze(once))


def test_every_kind_of_value_has_its_frozen_form() -> None:
    frozen = freeze(
        {
            "none": None, "a/b": np.float32(0.5), "ints": (1, 2), "mixed": [1, "x"], "set": {"b", "a"}, "empty": [],
            "names": np.array(["x", "y"], dtype=object), "path": Path("x"), "deep": {"k": None},
        }
    )  # fmt: skip
    assert frozen["none"] == ""
    assert frozen["a_b"] == 0.5
    assert frozen["ints"].tolist() == [1, 2]
    assert frozen["mixed"].tolist() == ["1", "x"]
    assert frozen["set"].tolist() == ["a", "b"]
    assert frozen["empty"].dtype == float
    assert frozen["names"].dtype.kind == "U"
    assert "x" in frozen["path"]
    assert frozen["deep"] == {"k": ""}


def test_a_recipe_names_its_step_inputs_losses_and_versions() -> None:
    found = recipe("step", {"alpha": 0.5}, inputs={"rna": "X"}, dropped={"genes": 3})
    assert found["schema"] == SCHEMA
    assert (found["step"], found["alpha"], found["inputs"], found["dropped"]) == (
        "step",
        0.5,
        {"rna": "X"},
        {"genes": 3},
    )
    assert set(found["versions"]) == set(versions()) <= set(RECORDED_PACKAGES)
    assert "numpy" in found["versions"]


def test_packages_that_are_not_installed_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grnformer_sc._core.params.RECORDED_PACKAGES", ("numpy", "no-such-package"))
    assert list(versions()) == ["numpy"]
