"""The main job on the small mouse cortex set: seconds, memory, and held-out masked counts beside controls.

Needs GRS_DATA_DIR; writes results/cortex.csv.

A fifth of the cells is held out. Network, thresholds, co-expression and neighbours come from the other cells; the held-out
cells are scored with the frozen network. Controls: the same model without a network, and with every eRegulon's targets
exchanged for those of others (each TF keeps its number of targets, each gene its number of regulators).
"""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

import mudata
import numpy as np
import pandas as pd
import pytest

import grnformer_sc as grs
from grnformer_sc._core.tables import edge_table

RESULTS = Path(__file__).parent / "results"
SEED = 0


def rewired(uns: dict, rng: np.random.Generator) -> dict:
    """Exchange target genes between the links of different TFs; regions follow their genes."""
    edges = uns["edges"]
    gene = edges["gene"].astype(str).to_numpy()
    pairs = pd.Series([f"{e}\t{g}" for e, g in zip(edges["eregulon"].astype(str), gene, strict=True)])
    unique = pairs.unique()
    own = np.array([p.split("\t")[1] for p in unique])
    new = dict(zip(unique, rng.permutation(own), strict=True))
    changed = edges.assign(gene=pairs.map(new).to_numpy(), row=np.arange(len(edges)))
    order = edge_table(changed.drop(columns="row"))
    place = changed.sort_values(["tf", "eregulon", "gene", "region"], key=lambda c: c.astype(str), kind="stable")["row"]
    return {**uns, "edges": order, "edge_groups": uns["edge_groups"].tocsr()[place.to_numpy()]}


@pytest.mark.skipif(not os.environ.get("GRS_DATA_DIR"), reason="GRS_DATA_DIR is not set")
def bench_cortex() -> None:
    with grs.settings.override(progress=False), mudata.set_options(pull_on_update=False):
        compare()


def compare() -> None:
    mdata = grs.datasets.snare_cortex(subset="small")
    rows: list[tuple[str, float]] = []
    for name in ("build_grn, first call (with compilation), s", "build_grn, warm, s"):
        start = time.perf_counter()
        grs.tl.build_grn(mdata, groupby="cell_type")
        rows.append((name, time.perf_counter() - start))
    rows.append(("peak memory after build_grn, GB", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6))

    test = np.random.default_rng(SEED).random(mdata.n_obs) < 0.2
    train, held = (mudata.MuData({k: mdata[k][rows_].copy() for k in ("rna", "atac")}) for rows_ in (~test, test))
    for part in (train, held):
        for slot in ("uns", "obsm", "obsp", "varp"):
            getattr(part["rna"], slot).clear()
        del part["rna"].obs["grn_group"]
    grs.tl.build_grn(train, groupby="cell_type")
    grs.tl.cell_grn(held, net=train, groupby="cell_type")
    network = train["rna"].uns["grn"]
    for name, options, uns in (
        ("GRNFormer", {}, network),
        ("random GRN", {}, rewired(network, np.random.default_rng(SEED))),
        ("no GRN", {"use_grn": False}, network),
    ):
        train["rna"].uns["grn"] = uns
        start = time.perf_counter()
        model = grs.tl.fit(train["rna"], **options)
        rows.append((f"fit, {name}, s", time.perf_counter() - start))
        table = model.evaluate_masked(held["rna"], rng=SEED)
        rows += [(f"deviance, {p if p != 'model' else name}", float(d)) for p, d in table["deviance"].items()]
        print(table.to_string(), flush=True)
        write(rows)


def write(rows: list[tuple[str, float]]) -> None:
    """Table of what was measured so far."""
    out = pd.DataFrame(rows, columns=["what", "value"]).drop_duplicates("what").round(4)
    print(out.to_string(index=False))
    RESULTS.mkdir(exist_ok=True)
    out.to_csv(RESULTS / "cortex.csv", index=False)
