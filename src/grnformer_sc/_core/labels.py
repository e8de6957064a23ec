"""Binary labels of cells and lines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from .checks import fail, listing
from .tables import alike, by_upper

WORDS = {
    1: {"1", "1.0", "true", "yes", "s", "sens", "sensitive", "responder"},
    0: {"0", "0.0", "false", "no", "r", "res", "resistant", "non-responder"},
}


def binary_labels(obs: pd.DataFrame, column: str, *, where: str) -> np.ndarray:
    """Labels as 1 (sensitive), 0 (resistant) and NaN (not measured)."""
    if column not in obs:
        names = [str(name) for name in obs.columns]
        near = alike(str(column), by_upper(names), cutoff=0.6)
        spelled = [name for name in names if name in near]
        raise fail(
            KeyError, f"{where} needs the column {column!r}.", f"{listing(names)}.",
            f"did you mean {listing(spelled)}?" if spelled else "name one of them.",
        )  # fmt: skip
    values = obs[column]
    text = values.astype(object).where(values.notna(), None)
    code = text.map(lambda v: np.nan if v is None else _code(v)).to_numpy(dtype=np.float64)
    if (code < 0).any():
        raise fail(
            ValueError, f"{column!r} must hold 1 or 0 (sensitive or resistant), or nothing where it was not measured.",
            f"{listing(pd.unique(values[code < 0]), 5)}.", "binarise the response, for example at the drug's threshold.",
        )  # fmt: skip
    return code


def _code(value: Any) -> float:
    word = str(value).strip().lower()
    return next((float(code) for code, words in WORDS.items() if word in words), -1.0)
