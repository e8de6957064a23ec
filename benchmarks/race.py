"""Time contenders side by side: each in a fresh process, warmed up, with CPU seconds, wall seconds and extra memory.

A contender is a function that prepares its input and returns the call to be timed. The call is repeated, its smallest
times count, and its last result comes back.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

THREAD_VARIABLES = tuple(f"{name}_NUM_THREADS" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA"))
os.environ["GRS_PROGRESS"] = "0"
PEERS = Path(__file__).parent / "rivals" / "peers.py"
PEERS_PYTHON = os.environ.get("GRS_PEERS_PYTHON", "")  # interpreter of the environment of rivals/requirements.txt


@dataclass(frozen=True, slots=True)
class Lap:
    """What one contender took; `extra_mb` is the peak of resident memory during the call above that before it."""

    cpu_s: float
    wall_s: float
    extra_mb: float
    result: Any

    def row(self) -> dict[str, float]:
        """Figures for the table."""
        return {"cpu_s": self.cpu_s, "wall_s": self.wall_s, "extra_mb": self.extra_mb}


def run(
    contender: Callable[..., Callable[[], Any]], *args: Any, threads: int = 1, repeats: int = 3, **options: Any
) -> Lap:
    """Measure one contender in a process of its own that may use so many threads."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(_measure, partial(contender, *args, **options), repeats).result()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _measure(contender: Callable[[], Callable[[], Any]], repeats: int) -> Lap:
    call = contender()
    cpu, wall, result = [], [], None
    resident = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # start the peak anew
    for _ in range(repeats):
        start, start_cpu = time.perf_counter(), time.process_time()
        result = call()
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - start_cpu)
    return Lap(min(cpu), min(wall), _status("VmHWM") - resident, result)


def take_turns(calls: dict[str, Callable[[], Any]], laps: int, skipped: int) -> dict[str, list[float]]:
    """Median CPU and wall seconds of calls that take turns; the first laps do not count."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for lap in range(laps):
        for name, step in calls.items():
            start, start_cpu = time.perf_counter(), time.process_time()
            step()
            if lap >= skipped:
                taken[name].append((time.process_time() - start_cpu, time.perf_counter() - start))
    return {name: np.median(values, axis=0).tolist() for name, values in taken.items()}


def rise(step: Callable[[], Any]) -> float:
    """How far resident memory rises above what was held before a call, in MB."""
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    step()
    return _status("VmHWM") - before


def _status(field: str) -> float:
    """Memory of this process in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def run_peer(task: str, **arrays: Any) -> Lap:
    """Measure a task of rivals/peers.py in its own environment, on one thread."""
    with TemporaryDirectory() as folder:
        given, made = Path(folder, "given.npz"), Path(folder, "made.npz")
        np.savez(given, **arrays)
        env = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, "1"), "TQDM_DISABLE": "1"}
        command = shlex.join([PEERS_PYTHON, str(PEERS), task, str(given), str(made)])
        # through a shell, because Linux hands the peak of a parent's memory on to what it starts
        subprocess.run(["sh", "-c", f"{command}; exit $?"], check=True, env=env, stdout=sys.stderr)
        with np.load(made) as found:
            return Lap(float(found["cpu_s"]), float(found["wall_s"]), float(found["peak_mb"]), dict(found))
