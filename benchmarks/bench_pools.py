"""How many shallow cells a pool should hold: planted links that networks of pools of different sizes recover.

Region -> gene links of shallow cells are fitted to pools of neighbours. Their size (`grn.pooling.cells_of_pool`)
was chosen on seeds 1 and 2; others are used here. Cells are thinned to so many counts of RNA and of ATAC.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from inputs import thin
from threadpoolctl import threadpool_limits

SEEDS = (11, 12)
SIZES = (20, 40, 80, 160)  # cells of a pool


def shallow(n_cells: int, rna: int, atac: int, seed: int) -> Any:
    """Simulated cells of so many counts (median)."""
    import grnformer_sc as grs

    mdata = grs.datasets.simulate_multiome(n_cells, rng=seed)
    rng = np.random.default_rng(seed)
    for name, wanted in (("rna", rna), ("atac", atac)):
        counts = mdata[name].X
        kept = min(1.0, wanted / float(np.median(np.asarray(counts.sum(axis=1)))))
        thin(counts, kept, rng)
    return mdata


def recovered(edges: pd.DataFrame, truth: pd.DataFrame, pairs: pd.DataFrame, n_tfs: int) -> dict[str, float]:
    """AUPRC of the links of a network, of regions and genes and with their TFs."""
    import grnformer_sc as grs

    known, recovery = truth.merge(pairs, on=["region", "gene"]), grs.metrics.link_recovery
    out = {}
    for what, on, n in (
        ("region_gene", ("region", "gene"), len(pairs)),
        ("triplet", ("tf", "region", "gene"), n_tfs * len(pairs)),
    ):
        links = known[list(on)].drop_duplicates()
        out[f"aupr_{what}"] = float(recovery(edges, links, on=on, score="score", universe=n)["aupr"])
    return out


@pytest.mark.parametrize(
    ("n_cells", "rna", "atac"), [(1000, 250, 90), (2000, 250, 90), (4000, 250, 90), (2000, 600, 300)]
)
def bench_pools(record: Callable[..., None], n_cells: int, rna: int, atac: int) -> None:
    import grnformer_sc as grs
    from grnformer_sc._core.rng import as_root, seeds_for
    from grnformer_sc.grn.embedding import pca_scores
    from grnformer_sc.grn.infer import infer_edges
    from grnformer_sc.grn.links import Work
    from grnformer_sc.grn.settings import PRESETS
    from grnformer_sc.tl._infer import pooled
    from grnformer_sc.tl._read import gather

    found: dict[int, list[dict[str, float]]] = {size: [] for size in SIZES}
    with threadpool_limits(1), grs.settings.override(progress=False):
        for seed in SEEDS:
            mdata = shallow(n_cells, rna, atac, seed)
            read = gather(
                mdata, groupby="cell_type", batch_key=None, rna="rna", atac="atac", layer=None, atac_layer=None,
                barcodes="exact", annotation=None, tfs=None, motifs=None, prior=None, settings=PRESETS["default"],
            )  # fmt: skip
            work = Work(settings=PRESETS["default"], root=as_root(0), n_jobs=grs.settings.n_jobs)
            embedding, seeds = pca_scores(read.cells.counts)[0], seeds_for(work.root, "rows", read.rna.obs_names)
            named = {"gene": read.cells.genes, "region": read.cells.regions}
            pairs = pd.DataFrame({name: names[read.pairs[name]] for name, names in named.items()})
            for size in {*SIZES, read.plan.n_neighbours}:
                plan = replace(read.plan, n_neighbours=size)
                pools = pooled(read, read.cells, embedding, np.arange(n_cells), plan, seeds)
                edges = infer_edges([pools], read.evidence, work).edges
                found.setdefault(size, []).append(recovered(edges, mdata["rna"].uns["truth"], pairs, read.tfs.size))
    for size, figures in found.items():
        chosen = ", the default" if size == read.plan.n_neighbours else ""
        mean = pd.DataFrame(figures).mean().to_dict()
        record(f"simulated, {n_cells:,} cells, {rna} counts of RNA and {atac} of ATAC", f"{size} cells{chosen}", **mean)
