"""Work that a GPU does beside other work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch


def moment(device: torch.device) -> torch.cuda.Event | None:
    """All that a GPU was asked for until now; None on other devices."""
    return torch.cuda.current_stream(device).record_event() if device.type == "cuda" else None


@contextmanager
def aside(after: torch.cuda.Event | None) -> Iterator[None]:
    """Let the GPU do the enclosed work beside what it was asked for since the moment `after`; what follows waits for both.

    Selecting the edges of a batch asks the GPU for numbers (how many rows are on, how many edges come in). Behind the layers
    of a backbone each answer would take as long as they do. The enclosed work must need nothing asked for since `after`.
    """
    if after is None:
        yield
        return
    before = torch.cuda.current_stream()
    side = _side(before.device)
    side.wait_event(after)
    with torch.cuda.stream(side):
        yield
    before.wait_stream(side)


@cache
def _side(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
