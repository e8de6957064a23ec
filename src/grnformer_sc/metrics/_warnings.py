"""Warnings that a judgement may come with, to be silenced or turned into errors by name."""

from __future__ import annotations

from .._core.warnings import (
    ConfoundedLabelsWarning,
    FewLinesWarning,
    InvertedLabelsWarning,
    JudgementWarning,
    LostGenesWarning,
    MissingLabelsWarning,
    OneClassWarning,
)

__all__ = [
    "ConfoundedLabelsWarning",
    "FewLinesWarning",
    "InvertedLabelsWarning",
    "JudgementWarning",
    "LostGenesWarning",
    "MissingLabelsWarning",
    "OneClassWarning",
]
