"""Shapes and types of the pure core are checked at run time in the tests, its numba kernels never."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "grnformer_sc"


def instrumented() -> list[str]:
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["addopts"]
    prefix = "--jaxtyping-packages="
    return next(option.removeprefix(prefix) for option in options if option.startswith(prefix)).split(",")


@pytest.mark.parametrize("part", ["grn", "nn"])
def test_every_module_of_the_core_is_listed(part) -> None:
    modules = {f"grnformer_sc.{part}.{path.stem}" for path in (PACKAGE / part).glob("*.py") if path.stem != "__init__"}
    packages = {f"grnformer_sc.{part}.{path.parent.name}" for path in (PACKAGE / part).glob("[a-z]*/__init__.py")}
    assert modules | packages == {name for name in instrumented() if name.startswith(f"grnformer_sc.{part}.")}
    assert {"grnformer_sc.metrics", "beartype.beartype"} <= set(instrumented())


def test_the_checks_are_on() -> None:
    from jaxtyping import TypeCheckError

    from grnformer_sc.grn.aucell import aucell

    with pytest.raises(TypeCheckError):
        aucell(np.ones((3, 4)), sp.csr_matrix((1, 4)))  # type: ignore[arg-type]
