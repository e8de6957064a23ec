"""AUCell beside decoupler, pySCENIC and rustscenic; a million cells from zarr."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from inputs import random_sets, sparse_counts
from race import run, run_peer

CELLS = 10_000


def ours(ties: str, threads: int) -> Callable[[], np.ndarray]:
    from grnformer_sc.grn.aucell import aucell

    counts, sets = sparse_counts(CELLS), random_sets()
    aucell(counts[:100], sets, ties=ties, n_jobs=threads)
    return lambda: aucell(counts, sets, ties=ties, n_jobs=threads)


def decoupler(n_cells: int) -> Callable[[], Any]:
    import decoupler as dc

    counts, sets = sparse_counts(CELLS)[:n_cells], random_sets()
    rows, cols = sets.nonzero()
    net = pd.DataFrame({"source": [f"s{i}" for i in rows], "target": [f"g{i}" for i in cols]})
    adata = ad.AnnData(counts, var=pd.DataFrame(index=[f"g{i}" for i in range(counts.shape[1])]))
    dc.mt.aucell(adata[:50].copy(), net, tmin=0)
    return lambda: dc.mt.aucell(adata, net, tmin=0)


@pytest.mark.parametrize("threads", [1, 2])
def bench_against_decoupler(record: Callable[..., None], threads: int) -> None:
    what = f"AUCell 10,000 cells x 3,000 genes x 300 sets, {threads} thread(s)"
    n_theirs = 2000  # their time is linear in cells
    theirs = run(decoupler, n_theirs, threads=threads)
    scale = CELLS / n_theirs
    record(what, "decoupler", cpu_s=theirs.cpu_s * scale, wall_s=theirs.wall_s * scale, note="2,000 cells x 5")
    for ties in ("expected", "random"):
        lap = run(ours, ties, threads, threads=threads, repeats=9)
        ratio = theirs.wall_s * scale / lap.wall_s
        record(what, f"grnformer_sc, ties={ties}", **lap.row(), times_faster=ratio)
        assert ratio >= 60
        assert lap.extra_mb < 100


@pytest.mark.usefixtures("peers")
def bench_against_pyscenic(record: Callable[..., None]) -> None:
    what, n_theirs = "AUCell 10,000 cells x 3,000 genes x 300 sets, 1 thread(s)", 2000
    counts, sets = sparse_counts(CELLS)[:n_theirs], random_sets()
    rows, cols = sets.nonzero()
    given = {
        "data": counts.data, "indices": counts.indices, "indptr": counts.indptr, "shape": counts.shape,
        "member_regulon": rows, "member_gene": cols, "top": 0.05, "workers": 1, "seed": 0,
    }  # fmt: skip
    lap = run(ours, "random", 1, repeats=9)
    scale = CELLS / n_theirs
    for peer, bar in (("pyscenic", 200), ("rustscenic", 0)):
        theirs = run_peer(f"{peer}_aucell", **given)
        ratio = theirs.wall_s * scale / lap.wall_s
        record(what, peer, cpu_s=theirs.cpu_s * scale, wall_s=theirs.wall_s * scale, note="2,000 cells x 5")
        record(what, f"grnformer_sc against {peer}", **lap.row(), times_faster=ratio)
        assert ratio >= bar


def from_zarr(path: str, threads: int) -> Callable[[], int]:
    import zarr

    import grnformer_sc as grs

    group = zarr.open(path, mode="r")
    counts = ad.io.sparse_dataset(group["X"])
    names = [f"g{i}" for i in range(counts.shape[1])]
    sets = random_sets()
    net = {f"s{i}": [names[g] for g in sets[[i]].indices] for i in range(sets.shape[0])}
    adata = ad.AnnData(counts, var=pd.DataFrame(index=names))

    def call() -> int:
        with grs.settings.override(progress=False):
            grs.tl.aucell(adata, net, n_jobs=threads)
        return adata.obsm["aucell"].shape[0]

    return call


def bench_a_million_cells_from_zarr(record: Callable[..., None], tmp_path: Path) -> None:
    block = sparse_counts(50_000)
    wall = {}
    for n_cells in (250_000, 1_000_000):
        path = tmp_path / f"{n_cells}.zarr"
        ad.AnnData(sp.vstack([block] * (n_cells // block.shape[0]), "csr")).write_zarr(path)
        lap = run(from_zarr, str(path), 2, threads=2, repeats=1)
        wall[n_cells] = lap.wall_s
        record(f"AUCell {n_cells:,} cells x 300 sets from zarr, 2 threads", "grnformer_sc", **lap.row())
        assert lap.result == n_cells
        assert lap.extra_mb < 4000
        shutil.rmtree(path)
    assert wall[1_000_000] < 1.25 * 4 * wall[250_000]
