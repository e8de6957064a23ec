"""Results of a step, collected first and written at once, so that an error leaves the user's object as it was."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

SLOTS = ("obs", "var", "obsm", "varm", "obsp", "varp", "layers", "uns")
_ABSENT = object()


@dataclass(slots=True)
class Results:
    """Values by slot and key, all complete before the first is written.

    `stale` names slots and keys of an earlier run that would not fit what is written now: they are taken away.
    """

    obs: dict[str, Any] = field(default_factory=dict)
    var: dict[str, Any] = field(default_factory=dict)
    obsm: dict[str, Any] = field(default_factory=dict)
    varm: dict[str, Any] = field(default_factory=dict)
    obsp: dict[str, Any] = field(default_factory=dict)
    varp: dict[str, Any] = field(default_factory=dict)
    layers: dict[str, Any] = field(default_factory=dict)
    uns: dict[str, Any] = field(default_factory=dict)
    stale: list[tuple[str, str]] = field(default_factory=list)

    def write(self, adata: Any) -> list[tuple[str, str]]:
        """Put every value into its slot of `adata`, replacing what an earlier run wrote there, or none of them.

        Stale ones go as well; returned are the slots and keys of those that were there.
        """
        gone: list[tuple[str, str]] = []
        with ExitStack() as undo:
            for slot in SLOTS:
                target = getattr(adata, slot)
                for key, value in getattr(self, slot).items():
                    undo.callback(_restore, target, key, target.get(key, _ABSENT))
                    target[key] = value
            for slot, key in self.stale:
                target = getattr(adata, slot)
                if key in target and key not in getattr(self, slot):
                    undo.callback(_restore, target, key, target[key])
                    del target[key]
                    gone.append((slot, key))
            undo.pop_all()  # all is written: nothing to take back
        return gone


def _restore(target: Any, key: str, before: Any) -> None:
    if before is not _ABSENT:
        target[key] = before
    elif key in target:
        del target[key]
