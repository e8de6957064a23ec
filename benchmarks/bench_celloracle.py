"""CellOracle's regressions beside scikit-learn's, gene by gene, and what its links are worth on planted truth.

The regressions are those of the equations: bags of cells, a share of the TFs, ridge; scikit-learn gets them as one
`BaggingRegressor` per gene, as the original does. Links are judged on simulated cells (seeds 21 to 23) whose base network is
the truth mixed with twice as many made-up links: average precision of the truth among the links of the base network, beside
the size of Pearson's correlation on the same links and the share of true links (chance).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from race import run

N_CELLS, N_TFS, N_GENES, N_TIMED = 2000, 300, 2000, 40
CANDIDATES = 40  # TFs of a gene
SEEDS = (21, 22, 23)


def design() -> tuple[np.ndarray, list[np.ndarray]]:
    rng = np.random.default_rng(0)
    x = rng.gamma(2, 1, (N_CELLS, N_TFS + N_GENES))
    return x, [np.sort(rng.choice(N_TFS, CANDIDATES, replace=False)) for _ in range(N_GENES)]


def ours() -> Callable[[], int]:
    """All genes."""
    from threadpoolctl import threadpool_limits

    from grnformer_sc.grn.systems.celloracle.bagging import BLOCK_CELLS, bags, centred_products, ridge_of_gene

    x, candidates = design()
    tfs, genes = np.arange(N_TFS), np.arange(N_TFS, N_TFS + N_GENES)

    def load(columns: np.ndarray) -> Iterator[np.ndarray]:
        for first in range(0, N_CELLS, BLOCK_CELLS):
            yield x[first : first + BLOCK_CELLS][:, columns]

    def call() -> int:
        rng = np.random.default_rng(0)
        with threadpool_limits(1):
            weights = bags(N_CELLS, 20, rng)
            gram = centred_products(load, weights, tfs, tfs, n_jobs=1)
            cross = centred_products(load, weights, tfs, genes, n_jobs=1)
            for place, own in enumerate(candidates):
                ridge_of_gene(gram[:, own[:, None], own], cross[:, own, place], 10.0, 0.8, rng)
        return N_GENES

    return call


def scikit_learn() -> Callable[[], int]:
    """Some genes."""
    from sklearn.ensemble import BaggingRegressor
    from sklearn.linear_model import Ridge

    x, candidates = design()

    def call() -> int:
        for place, own in enumerate(candidates[:N_TIMED]):
            model = BaggingRegressor(Ridge(alpha=10), n_estimators=20, max_features=0.8, random_state=0)
            model.fit(x[:, own], x[:, N_TFS + place])
        return N_TIMED

    return call


def bench_regressions(record: Callable[..., None]) -> None:
    what = f"CellOracle: {N_GENES} genes on {CANDIDATES} of {N_TFS} TFs, {N_CELLS} cells"
    laps = {
        name: run(call, repeats=2)
        for name, call in (("grnformer_sc", ours), ("scikit-learn, gene by gene", scikit_learn))
    }
    seconds = {name: lap.cpu_s / lap.result * N_GENES for name, lap in laps.items()}
    times = seconds["scikit-learn, gene by gene"] / seconds["grnformer_sc"]
    record(what, "scikit-learn, gene by gene", cpu_s=seconds["scikit-learn, gene by gene"])
    record(
        what,
        "grnformer_sc",
        cpu_s=seconds["grnformer_sc"],
        extra_mb=laps["grnformer_sc"].extra_mb,
        times_less_cpu=times,
    )
    assert times >= 5


def bench_planted(record: Callable[..., None]) -> None:
    rows = pd.DataFrame([precision(seed) for seed in SEEDS]).mean()
    what = "CellOracle: planted links among those of the base network"
    for who, aupr in rows.items():
        record(what, str(who), aupr=float(aupr))
    assert rows["grnformer_sc"] > rows["chance"]


def precision(seed: int) -> dict[str, float]:
    import grnformer_sc as grs

    rna = grs.datasets.simulate_multiome(1500, n_genes=400, n_tfs=40, n_types=4, rng=seed)["rna"]
    truth = rna.uns["truth"][["tf", "gene"]].astype(str).drop_duplicates()
    rng = np.random.default_rng(seed)
    tfs, genes = rna.var_names[rna.var["is_tf"]], rna.var_names
    others = pd.DataFrame({"tf": rng.choice(tfs, 2 * len(truth)), "gene": rng.choice(genes, 2 * len(truth))})
    prior = pd.concat([truth, others]).drop_duplicates()
    prior = prior[prior["tf"] != prior["gene"]]
    grs.tl.build_grn(rna, method="celloracle", prior=prior, options={"max_p": 1.0, "top": 10**6})
    tf, gene = genes.get_indexer(prior["tf"]), genes.get_indexer(prior["gene"])
    real = pd.MultiIndex.from_frame(prior).isin(pd.MultiIndex.from_frame(truth))
    counts = rna.X.toarray()
    z = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)
    z = (z - z.mean(axis=0)) / np.maximum(z.std(axis=0), 1e-9)
    score = grs.metrics.average_precision
    return {
        "grnformer_sc": score(real, np.abs(np.asarray(rna.varp["grn_celloracle"][tf, gene]).ravel())),
        "Pearson": score(real, np.abs((z[:, tf] * z[:, gene]).mean(axis=0))),
        "chance": float(real.mean()),
    }
