"""Warnings by name: what a user may want to silence, or turn into an error, one by one."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

PACKAGE = str(Path(__file__).parents[1])


class JudgementWarning(UserWarning):
    """A figure can be computed, but what it says is in doubt."""


class InvertedLabelsWarning(JudgementWarning):
    """Two sets of labels are one, as it is or turned round."""


class ConfoundedLabelsWarning(JudgementWarning):
    """Labels follow the batch, so that whatever tells batches apart scores."""


class OneClassWarning(JudgementWarning):
    """All labels are equal: nothing can be ranked."""


class MissingLabelsWarning(JudgementWarning):
    """Labels are missing, and their rows are left out."""


class FewLinesWarning(JudgementWarning):
    """Too few cell lines of a class for a figure that holds."""


class LostGenesWarning(JudgementWarning):
    """Most genes of one side are not on the other."""


def warn(category: type[JudgementWarning], expected: str, found: str, fix: str) -> None:
    """Warn in the one message form, at the line of the user's code that called the package."""
    level = 1
    frame = sys._getframe()  # noqa: SLF001  (warnings knows no other way before Python 3.12)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(f"{expected} Found: {found} Fix: {fix}", category, stacklevel=level)
