"""One informative log line per step; no handler is installed (show them with ``logging.basicConfig(level="INFO")``)."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from .settings import settings

T = TypeVar("T")


@contextmanager
def step(logger: logging.Logger, title: str) -> Iterator[list[str]]:
    """Time a step; facts appended to the yielded list end up in its one log line."""
    facts: list[str] = []
    start = time.perf_counter()
    yield facts
    logger.info("%s: %s (%.1f s)", title, "; ".join(facts) if facts else "done", time.perf_counter() - start)


def progress(items: Iterable[T], *, title: str, total: int | None = None) -> Iterable[T]:
    """Wrap an iterable in a progress bar when `settings.progress` is on and there is more than one item."""
    if not settings.progress or total == 1:
        return items
    from tqdm.auto import tqdm

    return tqdm(items, desc=title, total=total, leave=False)
