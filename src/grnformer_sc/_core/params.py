"""The recipe stored beside every result, in types that survive h5ad, h5mu and zarr."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

RECORDED_PACKAGES = ("grnformer-sc", "anndata", "numpy", "scipy", "numba", "torch", "scikit-learn")
SCHEMA = 1


def freeze(value: Any) -> Any:
    """Turn a parameter into something every AnnData format can hold.

    `None` becomes the empty text, tuples and sets become arrays, lists of mixed types become text, keys lose "/", numpy
    scalars become Python scalars, anything else becomes its `repr`.
    """
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return {str(k).replace("/", "_"): freeze(v) for k, v in value.items()}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.ndarray):
        return value if value.dtype.kind in "biuf" else value.astype(str)
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value, key=str) if isinstance(value, (set, frozenset)) else list(value)
        kinds = {type(item) for item in items}
        if kinds <= {int} or kinds <= {float, int} or kinds <= {bool}:
            return np.asarray(items, dtype=float if not items else None)
        return np.asarray([str(item) for item in items], dtype=object)
    return repr(value)


def versions() -> dict[str, str]:
    """Versions of the packages that decide the numbers."""
    found = {}
    for name in RECORDED_PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def recipe(
    step: str, params: Mapping[str, Any], *, inputs: Mapping[str, str], dropped: Mapping[str, int]
) -> dict[str, Any]:
    """Everything needed to repeat a step: parameters, input slots, what was dropped, versions."""
    return {
        "schema": SCHEMA,
        "step": step,
        **freeze(params),
        "inputs": freeze(inputs),
        "dropped": freeze(dropped),
        "versions": versions(),
    }
