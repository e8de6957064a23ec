"""Arguments that a choice leaves without effect are refused."""

from __future__ import annotations

from typing import Any

from .._core.checks import fail, listing


def unless(value: Any, usual: Any) -> Any:
    """The value, or `None` where it is the default."""
    return None if value == usual else value


def need_unset(given: dict[str, Any], *, expected: str, fix: str) -> None:
    """Raise `ValueError` when any of some arguments is given (not `None`)."""
    names = [name for name, value in given.items() if value is not None]
    if names:
        raise fail(ValueError, expected, f"{listing(names)}.", fix)
