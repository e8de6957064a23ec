"""eRegulons and thresholds beside the programs that made the golden files; needs GRS_GOLDEN_DIR.

SCENIC+ is not on PyPI: its CPU seconds are those stored beside its outputs, measured on a machine of the same class. The
thresholds of pySCENIC are timed here where its environment is given.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from race import PEERS_PYTHON, run, run_peer

GOLDEN = Path(os.environ.get("GRS_GOLDEN_DIR", ""))
STORED_CPU = {"cortex": 21.8, "papalexi": 12.7}  # of pySCENIC's thresholds: README of the golden files

pytestmark = pytest.mark.skipif(not (GOLDEN / "scenicplus").is_dir(), reason="GRS_GOLDEN_DIR is not set")


def scenicplus(name: str) -> Callable[[], int]:
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "golden"))
    from test_scenicplus import arguments, load

    from grnformer_sc.grn.eregulons import motif_eregulons

    given = arguments(load(GOLDEN / "scenicplus", name))

    def call() -> int:
        return motif_eregulons(*given).tf.size

    call()
    return call


@pytest.mark.parametrize(("name", "n_rows"), [("planted", 5283), ("cortex", 1172)])
def bench_eregulons(record: Callable[..., None], name: str, n_rows: int) -> None:
    what = f"eRegulons of SCENIC+ from its adjacencies, {name}, with modules"
    stored = json.loads((GOLDEN / "scenicplus" / "timings.json").read_text())[name]
    theirs = stored["build_grn_1000_permutations_cli"]["cpu_s"]
    record(what, "SCENIC+ 1.0a1 (stored)", cpu_s=theirs)
    lap = run(scenicplus, name, repeats=9)
    record(what, "grnformer_sc", **lap.row(), times_less_cpu=theirs / lap.cpu_s, rows=lap.result)
    assert lap.result == n_rows
    assert theirs / lap.cpu_s >= 50


def thresholds(name: str) -> Callable[[], Any]:
    from grnformer_sc.grn.thresholds import fit_thresholds

    auc = np.load(GOLDEN / "aucell" / f"{name}.npz")["pyscenic_thr05_seeds"][0]
    fit_thresholds(auc, rule="trough")
    return lambda: fit_thresholds(auc, rule="trough").value


@pytest.mark.parametrize("name", ["cortex", "papalexi"])
def bench_thresholds(record: Callable[..., None], name: str) -> None:
    what = f"thresholds of 50 regulons x 1,000 cells, {name}"
    theirs, who = STORED_CPU[name], "pySCENIC 0.12.1 (stored)"
    if PEERS_PYTHON:
        auc = np.load(GOLDEN / "aucell" / f"{name}.npz")["pyscenic_thr05_seeds"][0]
        theirs, who = run_peer("pyscenic_binarize", auc=auc).cpu_s, "pySCENIC 0.12.1"
    record(what, who, cpu_s=theirs)
    lap = run(thresholds, name, repeats=9)
    record(what, "grnformer_sc", **lap.row(), times_less_cpu=theirs / lap.cpu_s)
    assert theirs / lap.cpu_s >= 50


def spearman() -> Callable[[], np.ndarray]:
    from grnformer_sc.grn.spearman import spearman_pairs

    given = pairs()
    spearman_pairs(*given, n_jobs=1)
    return lambda: spearman_pairs(*given, n_jobs=1)


def spearman_scipy(n_pairs: int) -> Callable[[], np.ndarray]:
    from scipy.stats import spearmanr

    expression, access, gene, region = pairs()
    dense = access[:, np.unique(region[:n_pairs])].toarray()
    column = np.unique(region[:n_pairs], return_inverse=True)[1]
    return lambda: np.array(
        [spearmanr(expression[:, g], dense[:, r])[0] for g, r in zip(gene[:n_pairs], column, strict=True)]
    )


def pairs() -> tuple[Any, ...]:
    """5,000 cells, 1,000 genes with 40 regions each of 30,000 regions (4 % open)."""
    from inputs import sparse_counts

    rng = np.random.default_rng(0)
    expression = rng.poisson(0.5, (5000, 1000)).astype(np.float32)
    gene = np.repeat(np.arange(1000), 40)
    region = np.concatenate([np.sort(rng.choice(30_000, 40, replace=False)) for _ in range(1000)])
    return expression, sparse_counts(5000, 30_000, density=0.04).tocsc(), gene, region


def bench_spearman(record: Callable[..., None]) -> None:
    what, n = "Spearman correlation of 40,000 region-gene pairs, 5,000 cells", 1000
    theirs, lap = run(spearman_scipy, n, repeats=1), run(spearman)
    scale = 40_000 / n
    record(what, "scipy", cpu_s=theirs.cpu_s * scale, wall_s=theirs.wall_s * scale, note="1,000 pairs x 40")
    record(what, "grnformer_sc", **lap.row(), times_less_cpu=theirs.cpu_s * scale / lap.cpu_s)
    np.testing.assert_allclose(lap.result[:n], np.nan_to_num(theirs.result), atol=1e-6)  # constants: 0
