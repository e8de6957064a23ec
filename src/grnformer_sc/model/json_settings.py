"""Frozen dataclasses that travel through JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, Self

from .._core.checks import fail, listing


class JsonSettings:
    """Round trip through plain dictionaries of JSON types."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Fields as a dictionary."""
        return asdict(self)  # type: ignore[call-overload]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from a dictionary; an unknown field is an error that names the known ones."""
        known = {field.name for field in fields(cls)}  # type: ignore[arg-type]
        unknown = sorted(set(values) - known)
        if unknown:
            raise fail(
                TypeError, f"{cls.__name__} has the fields {listing(sorted(known), 40)}.", f"{listing(unknown)}.",
                "correct the spelling, or update grnformer-sc if a newer version wrote this file.",
            )  # fmt: skip
        return cls(**values)


def need_at_least(config: object, low: float, *names: str) -> None:
    """Raise `ValueError` when one of the named fields is smaller."""
    for name in names:
        if not getattr(config, name) >= low:
            raise fail(ValueError, f"{name} must be at least {low}.", f"{getattr(config, name)!r}.", f"raise {name}.")
