"""Where torch works, and sums in one order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

from .checks import fail


def device_of(name: str) -> str:
    """The device that is named; a GPU where there is one for `"auto"`."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (AssertionError, RuntimeError) as error:  # torch says by either what the machine lacks
        raise fail(
            ValueError, "device must be one of this machine.", f"{name!r} ({str(error).splitlines()[0]}).",
            "pass device='auto' or 'cpu'.",
        ) from error  # fmt: skip
    return name


def set_up_solvers(device: str) -> None:
    """Let torch set up its solvers on a device; at their first call two threads at once are an error of torch."""
    import torch

    torch.linalg.cholesky(torch.eye(1, device=device))


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
