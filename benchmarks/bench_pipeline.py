"""`build_grn` as a whole, and how well `grs.estimate` foretold it; the mouse cortex needs GRS_DATA_DIR."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from race import run

CORTEX = Path(os.environ.get("GRS_DATA_DIR", ""), "snare_mouse_cortex")
STAGES = {"pooled": "rows", "score_swapped": "region -> gene", "tf_gene_links": "TF -> gene", "fit_cells": "cells"}
# seconds and MB that the run may take
BARS = {"cortex, small": (60, 1500), "cortex, full": (120, 1500), "simulated 10x size": (1200, 6000)}


def load(name: str, path: str) -> Any:
    import mudata

    import grnformer_sc as grs

    mudata.set_options(pull_on_update=False)
    if name.startswith("cortex"):
        return grs.datasets.snare_cortex(subset="small" if name.endswith("small") else None)
    return mudata.read_h5mu(path)


def simulate(path: str) -> Callable[[], None]:
    import grnformer_sc as grs

    def call() -> None:
        grs.datasets.simulate_multiome(10_000, n_genes=20_000, n_tfs=300, n_types=10, rng=0).write_h5mu(path)

    return call


def network(name: str, path: str) -> Callable[[], dict[str, Any]]:
    """Estimate and run; the steps are timed from outside."""
    import grnformer_sc as grs
    import grnformer_sc.tl._build_regulons as module
    import grnformer_sc.tl._infer as runs
    from grnformer_sc.grn import links

    took: dict[str, float] = {}

    def timed(holder: Any, function: str) -> None:
        original = getattr(holder, function)

        def call(*args: Any, **options: Any) -> Any:
            start = time.perf_counter()
            out = original(*args, **options)
            took[STAGES[function]] = time.perf_counter() - start
            return out

        setattr(holder, function, call)

    grs.tl.build_grn(
        grs.datasets.simulate_multiome(200, n_genes=60, n_tfs=6, n_types=2), groupby="cell_type"
    )  # compiled
    mdata = load(name, path)
    found = {"estimate": grs.estimate(mdata, "cell_type", n_jobs=2)}
    for holder, function in (
        (runs, "pooled"),
        (links, "score_swapped"),
        (links, "tf_gene_links"),
        (module, "fit_cells"),
    ):
        timed(holder, function)

    def call() -> dict[str, Any]:
        grs.tl.build_grn(mdata, groupby="cell_type", n_jobs=2)
        edges = mdata["rna"].uns["grn"]["edges"]
        return {**found, "took": dict(took), "edges": len(edges), "eregulons": edges["eregulon"].nunique()}

    return call


@pytest.mark.parametrize("name", list(BARS))
def bench_build_grn(record: Callable[..., None], tmp_path: Path, name: str) -> None:
    if name.startswith("cortex") and not CORTEX.is_dir():
        pytest.skip("GRS_DATA_DIR does not hold the cortex files")
    path = os.environ.get(
        "GRS_BENCH_10X", str(tmp_path / "cells.h5mu")
    )  # a file made by `simulate`, where there is one
    if not name.startswith("cortex") and not Path(path).exists():
        run(simulate, path, repeats=1)
    lap = run(network, name, path, threads=1, repeats=1)  # two threads of our own, one of every library
    found = lap.result
    record(f"build_grn, {name}", "grnformer_sc", **lap.row(), edges=found["edges"], eregulons=found["eregulons"])
    foretold = found["estimate"]
    seconds, gb = foretold.loc["total", "seconds"], foretold.loc["total", "gb"]
    record(
        f"estimate, {name}", "total", foretold_s=seconds, took_s=lap.wall_s, foretold_gb=gb, took_gb=lap.extra_mb / 1000
    )
    for stage, took in found["took"].items():
        record(f"estimate, {name}", stage, foretold_s=float(foretold.loc[stage, "seconds"]), took_s=took)
    limit_s, limit_mb = BARS[name]
    assert lap.wall_s < limit_s
    assert lap.extra_mb < limit_mb
    assert 0.5 < seconds / lap.wall_s < 2
    assert 0.5 < 1000 * gb / lap.extra_mb < 2
    for stage, took in found["took"].items():
        assert took < 0.1 * lap.wall_s or 0.5 < foretold.loc[stage, "seconds"] / took < 2, stage
