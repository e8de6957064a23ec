"""Time one task of a peer package: pySCENIC, arboreto (GRNBoost2) or rustscenic.

The peers need old pins, so this script runs in an environment of its own and knows nothing of our package:

    python3.11 -m venv rivals-env
    rivals-env/bin/pip install -r benchmarks/rivals/requirements.txt
    OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 rivals-env/bin/python benchmarks/rivals/peers.py TASK INPUT.npz OUTPUT.npz

TASK                                 reads                                                     writes
pyscenic_aucell, rustscenic_aucell   data, indices, indptr, shape (CSR, cells x genes),        auc (cells x regulons)
                                     member_regulon, member_gene (one entry per membership),
                                     top (fraction of genes), workers, seed (pySCENIC's ties)
pyscenic_binarize                    auc (cells x regulons)                                    thresholds
grnboost2, rustscenic_grn            expression (cells x genes, dense), tf, target (columns),  importance (targets x TFs),
                                     optional seed and workers (rustscenic)                    trees, n_fitted

Regulons are numbered from 0 to the largest number in `member_regulon`. Importances sum to the number of trees of their
target, as in arboreto; that number depends on the release of scikit-learn (requirements.txt). rustscenic fits every column
that it is given, so it gets TFs and targets; `n_fitted` is the number of columns that the time is for.

Every output has `wall_s` and `cpu_s` of the peer's call (all threads and child processes), without imports, compilation
and conversion of the input, and `peak_mb`, the largest resident set of the process or of one child, with these. Linux
hands a parent's peak on to the process that it starts: where `start_mb`, taken before anything is loaded, is more than the
10 MB of a bare interpreter, a `peak_mb` close to it is the parent's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from time import perf_counter
from typing import Any

START_KB = getrusage(RUSAGE_SELF).ru_maxrss

import numpy as np  # noqa: E402 - after the first look at memory

Arrays = dict[str, Any]  # of an npz file
Call = Callable[[], Arrays]


def labels(prefix: str, n: int) -> list[str]:
    """Names of cells, genes or regulons, since the peers work with names."""
    return [f"{prefix}{i}" for i in range(n)]


def regulons(given: Arrays) -> dict[str, list[str]]:
    """Genes of every regulon that has any."""
    order = np.argsort(given["member_regulon"], kind="stable")
    numbers, starts = np.unique(given["member_regulon"][order], return_index=True)
    groups = np.split(given["member_gene"][order], starts[1:])
    return {f"r{r}": [f"g{g}" for g in group] for r, group in zip(numbers, groups, strict=True)}


def pyscenic_aucell(given: Arrays) -> Call:
    """AUCell on a dense table, the only input that pySCENIC takes."""
    import pandas as pd
    from ctxcore.genesig import GeneSignature
    from pyscenic.aucell import aucell

    n_cells, n_genes = (int(n) for n in given["shape"])
    dense = np.zeros((n_cells, n_genes), given["data"].dtype)
    dense[np.repeat(np.arange(n_cells), np.diff(given["indptr"])), given["indices"]] = given["data"]
    cells, names = labels("c", n_cells), labels("r", given["member_regulon"].max() + 1)
    table = pd.DataFrame(dense, index=cells, columns=labels("g", n_genes))
    signatures = [GeneSignature(name, genes) for name, genes in regulons(given).items()]
    settings = {"auc_threshold": float(given["top"]), "seed": int(given["seed"])}
    aucell(table.iloc[:8], signatures[:2], num_workers=1, **settings)  # compiles ctxcore's numba function

    def call() -> Arrays:
        auc = aucell(table, signatures, num_workers=int(given["workers"]), **settings)
        return {"auc": auc.reindex(index=cells, columns=names, fill_value=0.0).to_numpy()}  # one worker sorts by name

    return call


def rustscenic_aucell(given: Arrays) -> Call:
    """AUCell of rustscenic on the sparse counts."""
    from rustscenic.aucell import score
    from scipy.sparse import csr_matrix

    shape = tuple(int(n) for n in given["shape"])
    counts = csr_matrix((given["data"], given["indices"], given["indptr"]), shape=shape)
    genes, names, members = labels("g", shape[1]), labels("r", given["member_regulon"].max() + 1), regulons(given)

    def call() -> Arrays:
        auc = score((counts, genes), members, top_frac=float(given["top"]))  # breaks ties by the order of genes
        return {"auc": auc.reindex(columns=names, fill_value=0.0).to_numpy()}

    return call


def pyscenic_binarize(given: Arrays) -> Call:
    """Threshold of every regulon."""
    import pandas as pd
    from pyscenic.binarization import binarize

    table = pd.DataFrame(given["auc"], columns=labels("r", given["auc"].shape[1]))
    return lambda: {"thresholds": binarize(table, seed=123, num_workers=1)[1].loc[table.columns].to_numpy()}


def importances(links: Any, given: Arrays) -> np.ndarray:
    """Targets x TFs from a table of links; links of other targets are left out."""
    row, column = ({f"g{j}": k for k, j in enumerate(given[key])} for key in ("target", "tf"))
    links = links[links["target"].isin(row)]
    out = np.zeros((len(row), len(column)))
    out[links["target"].map(row), links["TF"].map(column)] = links["importance"]
    return out


def grnboost2(given: Arrays) -> Call:
    """GRNBoost2, one target after the other and without dask."""
    import pandas as pd
    from arboreto.core import DEMON_SEED, SGBM_KWARGS, infer_partial_network

    expression, tfs, targets = given["expression"], given["tf"], given["target"]
    regulators, names = np.ascontiguousarray(expression[:, tfs]), [f"g{j}" for j in tfs]
    settings = {"include_meta": True, "seed": int(given.get("seed", DEMON_SEED))}

    def call() -> Arrays:
        fits = [
            infer_partial_network("GBM", SGBM_KWARGS, regulators, names, f"g{j}", expression[:, j], **settings)
            for j in targets
        ]
        links, meta = (pd.concat(tables) for tables in zip(*fits, strict=True))
        trees = meta["n_estimators"].to_numpy()
        return {"importance": importances(links, given), "trees": trees, "n_fitted": len(fits)}

    return call


def rustscenic_grn(given: Arrays) -> Call:
    """GRN inference of rustscenic with its default settings, which are those of GRNBoost2."""
    from rustscenic.grn import infer

    columns = np.union1d(given["tf"], given["target"])
    expression, genes = np.ascontiguousarray(given["expression"][:, columns]), [f"g{j}" for j in columns]
    settings = {"seed": int(given["seed"])} if "seed" in given else {}

    def call() -> Arrays:
        out = importances(infer((expression, genes), [f"g{j}" for j in given["tf"]], verbose=False, **settings), given)
        trees = np.rint(out.sum(axis=1)).astype(int)  # the package itself tells only their mean
        return {"importance": out, "trees": trees, "n_fitted": len(columns)}

    return call


def main(task: str, source: str, out: str) -> None:
    """Prepare one task, time it and write its result."""
    tasks = {f.__name__: f for f in (pyscenic_aucell, rustscenic_aucell, pyscenic_binarize, grnboost2, rustscenic_grn)}
    with np.load(source) as file:
        given = dict(file)
    os.environ["RAYON_NUM_THREADS"] = str(int(given.get("workers", 1)))  # read by rustscenic at its first call
    call, who = tasks[task](given), (RUSAGE_SELF, RUSAGE_CHILDREN)
    cpu, wall = sum(sum(getrusage(w)[:2]) for w in who), perf_counter()
    result = call()
    wall, cpu = perf_counter() - wall, sum(sum(getrusage(w)[:2]) for w in who) - cpu
    peak = max(getrusage(w).ru_maxrss for w in who)
    np.savez(out, cpu_s=cpu, wall_s=wall, peak_mb=peak / 1024, start_mb=START_KB / 1024, **result)
    print(f"{task}: {wall:.2f} s wall, {cpu:.2f} s CPU, {peak / 1024:.0f} MB")


if __name__ == "__main__":
    main(*sys.argv[1:])
