"""The neighbour graph of 100,000 cells by their networks, in ten groups and in one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from inputs import active_eregulons
from race import run

N_CELLS, N_EREGULONS, SAMPLED, K = 100_000, 300, 2000, 15


def inputs(n_groups: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(1)
    active = active_eregulons(N_CELLS, N_EREGULONS)
    codes = rng.integers(0, n_groups, N_CELLS)
    own = rng.integers(10, 500, (n_groups, N_EREGULONS)).astype(float)
    return active, codes, np.minimum(own[:, None], own[None])


def graph(n_groups: int) -> Callable[[], Any]:
    from grnformer_sc.grn.overlap import overlap_graph

    active, codes, counts = inputs(n_groups)
    overlap_graph(active[:500], codes[:500], counts)

    return lambda: overlap_graph(active, codes, counts, n_jobs=2).connectivities


def recall(active: np.ndarray, codes: np.ndarray, counts: np.ndarray, found: Any) -> float:
    """Share of the links to the K closest cells of the own group; a tie with the last of them counts."""
    shares = []
    for cell in np.random.default_rng(2).choice(N_CELLS, SAMPLED, replace=False):
        inside = np.flatnonzero(codes == codes[cell])
        weight = counts[codes[cell], codes[cell]]
        common = active[inside] @ (weight * active[cell])
        size = active[inside] @ weight
        exact = common / np.maximum(size + weight @ active[cell] - common, 1e-12)
        exact[inside == cell] = 0
        last = np.partition(exact, -K)[-K]
        linked = np.isin(inside, found[[cell]].indices)
        shares.append(min((exact[linked] >= last - 1e-7).sum(), K) / K)
    return float(np.mean(shares))


@pytest.mark.parametrize("n_groups", [10, 1])
def bench_overlap(record: Callable[..., None], n_groups: int) -> None:
    lap = run(graph, n_groups, repeats=1)
    share = recall(*inputs(n_groups), lap.result)
    what = f"overlap graph, 100,000 cells x 300 eRegulons, {n_groups} group(s), 2 threads"
    record(what, "grnformer_sc", **lap.row(), recall=share)
    assert lap.wall_s < 120
    assert lap.extra_mb < 2000
    assert share >= 0.9
