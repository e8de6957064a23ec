"""Settings of a preset, with what the caller wants otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .._core.checks import need_one_of
from ..grn.aucell import Norm
from ..grn.eregulons import Basc
from ..grn.settings import PRESETS, InferSettings


def settings_of(preset: str, *, basc: Basc | None = None, norm: Norm | None = None, **changes: Any) -> InferSettings:
    """Take the settings of the preset and change those that are given (not `None`)."""
    need_one_of(preset, tuple(PRESETS), name="preset")
    chosen = PRESETS[preset]
    if basc is not None:
        need_one_of(basc, (True, False, "scenicplus"), name="basc")
        chosen = replace(chosen, eregulons=replace(chosen.eregulons, basc=basc))
    if norm is not None:
        need_one_of(norm, ("decoupler", "pyscenic"), name="norm")
        chosen = replace(chosen, norm=norm)
    return replace(chosen, **{name: value for name, value in changes.items() if value is not None})
