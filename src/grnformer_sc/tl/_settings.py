"""Settings of a preset, with what the caller wants otherwise."""

from __future__ import annotations

from dataclasses import replace

from .._core.checks import need_between, need_one_of
from ..grn.aucell import Norm
from ..grn.eregulons import Basc
from ..grn.infer import PRESETS, InferSettings


def settings_of(
    preset: str, *, window: int | None = None, basc: Basc | None = None, norm: Norm | None = None
) -> InferSettings:
    """Take the settings of the preset and change those that are given."""
    need_one_of(preset, tuple(PRESETS), name="preset")
    chosen = PRESETS[preset]
    if window is not None:
        need_between(window, 0, float("inf"), name="window")
        chosen = replace(chosen, window=window)
    if basc is not None:
        need_one_of(basc, (True, False, "scenicplus"), name="basc")
        chosen = replace(chosen, eregulons=replace(chosen.eregulons, basc=basc))
    if norm is not None:
        need_one_of(norm, ("decoupler", "pyscenic"), name="norm")
        chosen = replace(chosen, norm=norm)
    return chosen
