"""Where torch works, and sums in one order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits


def device_of(name: str) -> str:
    """The device that is named; a GPU where there is one for `"auto"`."""
    import torch

    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums in one order, whatever the machine has: the same bits for any number of threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)
