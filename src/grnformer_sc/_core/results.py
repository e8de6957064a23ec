"""Results of a step, collected first and written at once, so that an error leaves the user's object as it was."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SLOTS = ("obs", "var", "obsm", "varm", "obsp", "varp", "uns")


@dataclass(slots=True)
class Results:
    """Values by slot and key, all complete before the first is written."""

    obs: dict[str, Any] = field(default_factory=dict)
    var: dict[str, Any] = field(default_factory=dict)
    obsm: dict[str, Any] = field(default_factory=dict)
    varm: dict[str, Any] = field(default_factory=dict)
    obsp: dict[str, Any] = field(default_factory=dict)
    varp: dict[str, Any] = field(default_factory=dict)
    uns: dict[str, Any] = field(default_factory=dict)

    def write(self, adata: Any) -> None:
        """Put every value into its slot of `adata`, replacing what an earlier run wrote there."""
        for slot in SLOTS:
            target = getattr(adata, slot)
            for key, value in getattr(self, slot).items():
                target[key] = value
