"""Two processes of one thread that work the missing runs off."""

from __future__ import annotations

import logging
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path

from .grid import Run
from .store import append


def work(left: list[Run], out: Path, workers: int) -> None:
    """Give the runs of one data set and seed to one process: they share cells and network."""
    jobs = [list(part) for _, part in groupby(left, key=lambda run: (run.data, run.seed))]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=quiet) as pool:
        for done in as_completed([pool.submit(do, job, out) for job in jobs]):
            done.result()


def do(job: list[Run], out: Path) -> None:
    """Run one after the other; each is written before the next begins."""
    from .one import figures

    for run in job:
        begin = time.perf_counter()
        append(out, run, figures(run))
        print(*run.key, f"{time.perf_counter() - begin:.0f} s", sep=" | ", flush=True)


def quiet() -> None:
    """One thread, no progress bars, no notes."""
    import mudata
    import torch

    import grnformer_sc as grs

    torch.set_num_threads(1)
    grs.settings.progress = False
    mudata.set_options(pull_on_update=False)
    logging.getLogger("grnformer_sc").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
