"""Shapes and types of the pure core are checked at run time in the tests, its numba kernels never."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

ROOT = Path(__file__).parents[2]
GRN = ROOT / "src" / "grnformer_sc" / "grn"


def instrumented() -> list[str]:
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["addopts"]
    prefix = "--jaxtyping-packages="
    return next(option.removeprefix(prefix) for option in options if option.startswith(prefix)).split(",")


def test_every_module_of_the_core_is_listed() -> None:
    modules = {f"grnformer_sc.grn.{path.stem}" for path in GRN.glob("*.py") if path.stem != "__init__"}
    assert modules == {name for name in instrumented() if name.startswith("grnformer_sc.grn")}
    assert {"grnformer_sc.nn", "grnformer_sc.metrics", "beartype.beartype"} <= set(instrumented())


def test_the_checks_are_on() -> None:
    from jaxtyping import TypeCheckError

    from grnformer_sc.grn.aucell import aucell

    with pytest.raises(TypeCheckError):
        aucell(np.ones((3, 4)), sp.csr_matrix((1, 4)))  # type: ignore[arg-type]
