"""FLeCS beside the original program, on its links and trajectories of iPSC cells; planted equations; needs GRS_GOLDEN_DIR.

The CPU seconds of the original are those stored beside its outputs, measured on a machine of the same class. Planted cells
follow known equations on half of the candidate links: weights are held against the true ones, those of Pearson's
correlation beside them, with trajectories measured as they are and with cells that are counted once and paired by optimal
transport. The original adds the reverse of every link: `reverse` is the mean size of the weights of such links, none of
which exists in the planted equations, over that of the links it was given. Held-out trajectories of the iPSC controls are
forecast from their first cell.
"""

from __future__ import annotations

import os
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from race import run

GOLDEN, DATA = (Path(os.environ.get(name, "")) for name in ("GRS_GOLDEN_DIR", "GRS_DATA_DIR"))
STORED_CPU = 3.25  # README of the golden files
SEEDS = range(4)
FINEST = 0.125
PLANTED = str(Path(__file__).parents[1] / "tests" / "grn" / "_flecs.py")


def golden() -> tuple[Any, Any, Any, dict[str, np.ndarray]]:
    """Links of the original, its start, its trajectories, and all that is stored."""
    import scipy.sparse as sp

    from grnformer_sc.grn.systems.flecs.model import Links, Parameters
    from grnformer_sc.grn.systems.flecs.trajectories import Paths

    with np.load(GOLDEN / "flecs" / "flecs_hipsc.npz") as file:
        stored = dict(file)
    source, target = stored["edges_model"].astype(np.int64).T
    start = Parameters(*(stored[f"init_{name}"].ravel() for name in ("simple_conv_weights", "bias", "alpha")))
    cells = stored["trajectory_cell_index"].astype(np.int64)
    x = sp.csr_matrix(np.log1p(stored["counts"].astype(np.float32)))
    return Links(source, target, 103), start, Paths(x, cells, np.arange(4.0), np.full(len(cells), -1)), stored


def training(max_step: float) -> Callable[[], Any]:
    """The 35 steps of the stored run."""
    from grnformer_sc.grn.systems.flecs.training import Training, train

    links, start, paths, _ = golden()
    epochs = [[np.arange(32) + 32 * number for number in range(7)]] * 5
    return lambda: train(links, start, paths, epochs, Training(lr=0.005, max_step=max_step)).parameters


@pytest.mark.skipif(not (GOLDEN / "flecs").is_dir(), reason="GRS_GOLDEN_DIR is not set")
@pytest.mark.parametrize(("max_step", "bar", "error"), [(0.125, 1.5, 2e-7), (0.25, 3, 1e-6), (0.5, 5, 2e-5)])
def bench_training(record: Callable[..., None], max_step: float, bar: float, error: float) -> None:
    lap, stored = run(training, max_step, repeats=3), golden()[3]
    largest = float(np.abs(lap.result.weight - stored["trained_simple_conv_weights"].ravel()).max())
    if max_step == FINEST:
        record("FLeCS: 35 steps of training", "FLeCS 75a8a92 (stored)", cpu_s=STORED_CPU)
    record(
        "FLeCS: 35 steps of training", f"grnformer_sc, steps of {max_step:g}", **lap.row(),
        times_less_cpu=STORED_CPU / lap.cpu_s, largest_difference=largest,
    )  # fmt: skip
    assert STORED_CPU / lap.cpu_s >= bar
    assert largest <= error


def fitted(made: Any, paths: Any, *, symmetrize: bool = False) -> tuple[Any, np.ndarray]:
    """Links and trained weights."""
    from grnformer_sc.grn.systems.flecs.model import Parameters
    from grnformer_sc.grn.systems.flecs.training import Training, batches_of, train

    links = made.links.symmetrized() if symmetrize else made.links
    start = Parameters.drawn(links, np.random.default_rng(0))
    epochs = list(batches_of(np.arange(len(paths.cells)), 100, 150, root=0))
    return links, train(links, start, paths, epochs, Training(lr=0.1, lr_drop=0.1, max_step=0.5)).parameters.weight


def paired(made: Any) -> Any:
    """Trajectories of the same cells when each is counted (Poisson) and destroyed: pairs come from optimal transport."""
    import scipy.sparse as sp

    from grnformer_sc._core.rows import Rows
    from grnformer_sc.grn.systems.flecs.trajectories import Design, Paths, chains

    n, n_times, n_genes = made.states.shape
    counts = np.random.default_rng(1).poisson(np.expm1(made.states)).reshape(-1, n_genes).astype(np.float32)
    time = np.tile(np.arange(n_times), n)
    design = Design(time, np.zeros(time.size, dtype=np.int64), made.times, ("all",), np.array([-1]))
    cells, _ = chains(Rows(sp.csr_matrix(counts)), design, n_trajectories=n, n_comps=20, root=0, n_jobs=1)
    return Paths(sp.csr_matrix(np.log1p(counts)), cells, made.times, np.full(n, -1))


def bench_planted(record: Callable[..., None]) -> None:
    planted = runpy.run_path(PLANTED)["planted"]
    rows = []
    for seed in SEEDS:
        made = planted(seed, n_genes=20, n_paths=400)
        truth = made.truth.weight
        for what, paths in (("trajectories", made.paths()), ("counts, pairs by transport", paired(made))):
            x = paths.expression.toarray()
            prior = np.corrcoef(x.T)[made.links.source, made.links.target]
            rows.append((what, "Pearson's correlation", np.corrcoef(prior, truth)[0, 1], np.nan))
            _, weight = fitted(made, paths)
            rows.append((what, "directed", np.corrcoef(weight, truth)[0, 1], np.nan))
            both, weight = fitted(made, paths, symmetrize=True)
            place = {pair: i for i, pair in enumerate(zip(both.source, both.target, strict=True))}
            given = np.array([place[pair] for pair in zip(made.links.source, made.links.target, strict=True)])
            size = np.abs(np.delete(weight, given)).mean() / np.abs(weight[given]).mean()
            rows.append((what, "symmetrized, as the original", np.corrcoef(weight[given], truth)[0, 1], size))
    table = pd.DataFrame(rows, columns=["what", "who", "correlation", "reverse"]).groupby(["what", "who"])
    for (what, who), own in table:
        record(
            f"FLeCS: planted weights, {what}", who, correlation=float(own["correlation"].mean()),
            lowest=float(own["correlation"].min()), reverse=float(own["reverse"].mean()),
        )  # fmt: skip
    mean = table["correlation"].mean()
    for what in ("trajectories", "counts, pairs by transport"):
        assert mean[what, "directed"] > mean[what, "Pearson's correlation"]
    assert mean["trajectories", "directed"] > 0.85


@pytest.mark.skipif(not (DATA / "hipsc_crispr").is_dir(), reason="GRS_DATA_DIR is not set")
@pytest.mark.parametrize("seed", [0, 1])
def bench_forecasts(record: Callable[..., None], seed: int) -> None:
    import anndata as ad

    import grnformer_sc as grs

    cells = ad.read_h5ad(DATA / "hipsc_crispr" / "hipsc_crispr.h5ad")
    controls = cells[cells.obs["knockout"] == "control"].copy()
    grs.tl.build_grn(controls, method="correlation", tfs=list(controls.var_names))
    told = {"network": "grn_correlation", "time_key": "day", "epochs": 60}
    grs.tl.build_grn(controls, method="flecs", options=told, rng=seed)
    model, losses = controls.uns["grn_flecs"]["model"], controls.uns["grn_flecs"]["training"]
    what = f"FLeCS: held-out trajectories of iPSC controls, seed {seed}"
    record(what, "grnformer_sc", squared_error=float(losses["held_out"].iloc[-1]))
    record(what, "no change", squared_error=float(model["no_change"]))
    record(what, "mean of the time", squared_error=float(model["mean_of_time"]))
