"""LINGER's networks beside a plain loop of torch, what its links are worth on planted truth, and what a memory adds.

The loop makes a module per gene and takes 100 steps of Adam on the loss of the equations with autograd. Links are judged on
simulated cells (seeds 21 to 23): among those of a base network that is the truth mixed with twice as many made-up links (the
one of CellOracle's page, RNA alone), and among all TFs and genes with a motif in a region within 1 Mb of the TSS. Memory
(seeds 31 to 36): 200 cells with and without the networks of 2,000 other cells of the same simulation, of the same three cell
types or of three others; `better` counts the simulations with a higher average precision than without. Settings were chosen
on seeds 1 to 3.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from race import run

SIZES = {"many": (300, 100, 200), "few": (40, 60, 60)}  # TFs, regions of a gene, metacells
N_GENES, N_TIMED, N_EPOCHS = 64, 6, 100
SEEDS, MEMORY_SEEDS = (21, 22, 23), (31, 32, 33, 34, 35, 36)
N_FEW, N_OTHER = 200, 2000
WINDOW = 1_000_000


def design(size: str) -> Any:
    """Metacells, and genes with so many regions of their own; a tenth of the pairs of region and TF have a motif."""
    from grnformer_sc.grn.systems.linger.inputs import Samples, Wiring

    n_tfs, width, n_samples = SIZES[size]
    rng = np.random.default_rng(0)
    gene = np.repeat(np.arange(n_tfs, n_tfs + N_GENES), width)
    pairs = pd.DataFrame({"gene": gene, "region": np.arange(gene.size), "distance": 0})
    hits = sp.random(gene.size, n_tfs, density=0.1, format="csr", rng=rng)
    names = pd.Index([f"g{i:04d}" for i in range(n_tfs + N_GENES)])
    regions = pd.Index([f"chr1:{i * 1000 + 1}-{i * 1000 + 500}" for i in range(gene.size)])
    x = rng.normal(size=(names.size, n_samples)).astype(np.float32)
    access = rng.normal(size=(gene.size, n_samples)).astype(np.float32)
    return Samples(x, access), Wiring(names, names[:n_tfs], regions, pairs, hits)


def blocks(size: str, *, read: bool) -> Callable[[], int]:
    """Training of all genes in blocks; with `read` also contributions and similarities."""
    import torch

    from grnformer_sc.grn.systems.linger.inputs import blocks_of, task_of
    from grnformer_sc.grn.systems.linger.network import _start, fit
    from grnformer_sc.grn.systems.linger.options import LingerOptions
    from grnformer_sc.grn.systems.linger.training import train

    samples, wiring = design(size)
    targets, options = wiring.targets(samples), LingerOptions(epochs=N_EPOCHS)

    def call() -> int:
        torch.set_num_threads(1)
        if read:
            fit(samples, wiring, options, root=0, n_jobs=1)
            return targets.size
        for block in blocks_of(wiring, targets, SIZES[size][2]):
            train(_start(block, wiring, 0), task_of(block, wiring, samples, "cpu"), options)
        return targets.size

    return call


def loop(size: str) -> Callable[[], int]:
    """A module per gene, autograd, Adam; some genes."""
    import torch

    samples, wiring = design(size)
    assert samples.accessibility is not None
    assert wiring.hits is not None
    n_tfs, width, _ = SIZES[size]

    def one(gene: int) -> None:
        rows = np.arange(gene * width, (gene + 1) * width)
        x = torch.from_numpy(np.vstack([samples.expression[:n_tfs], samples.accessibility[rows]]).T.copy())
        y = torch.from_numpy(samples.expression[n_tfs + gene])[:, None]
        graph = np.zeros((n_tfs + width,) * 2, dtype=np.float32)
        graph[:n_tfs, n_tfs:] = (wiring.hits[rows].toarray() != 0).T
        matrix = torch.from_numpy(sp.csgraph.laplacian(graph + graph.T, normed=True))
        linear, relu = torch.nn.Linear, torch.nn.ReLU()
        net = torch.nn.Sequential(linear(n_tfs + width, 64), relu, linear(64, 16), relu, linear(16, 1))
        adam = torch.optim.Adam(net.parameters(), lr=0.01, weight_decay=0.01)
        for _ in range(N_EPOCHS):
            adam.zero_grad()
            first = net[0].weight
            loss = ((net(x) - y) ** 2).mean() + 0.01 * sum(part.abs().sum() for part in net.parameters())
            torch.autograd.backward(loss + torch.trace(first @ matrix @ first.T))
            adam.step()

    def call() -> int:
        torch.set_num_threads(1)
        for gene in range(N_TIMED):
            one(gene)
        return N_TIMED

    return call


@pytest.mark.parametrize(("size", "bar"), [("many", 4), ("few", 10)])
def bench_training(record: Callable[..., None], size: str, bar: float) -> None:
    n_tfs, width, n_samples = SIZES[size]
    what = f"LINGER: 1,000 genes on {n_tfs} TFs and {width} regions each, {n_samples} metacells"
    laps = {
        "plain loop, gene by gene": run(loop, size, repeats=2),
        "grnformer_sc": run(blocks, size, read=False, repeats=2),
        "grnformer_sc, with contributions": run(blocks, size, read=True, repeats=2),
    }
    seconds = {name: 1000 * lap.cpu_s / lap.result for name, lap in laps.items()}
    for name, lap in laps.items():
        faster = seconds["plain loop, gene by gene"] / seconds[name]
        more = {"times_less_cpu": faster} if name != "plain loop, gene by gene" else {}
        record(what, name, cpu_s=seconds[name], extra_mb=lap.extra_mb, **more)
    assert seconds["plain loop, gene by gene"] / seconds["grnformer_sc"] >= bar


def bench_base_network(record: Callable[..., None]) -> None:
    """RNA alone, on the links of CellOracle's page."""
    rows = pd.DataFrame([of_base_network(seed) for seed in SEEDS]).mean()
    for who, aupr in rows.items():
        record("LINGER: planted links among those of a base network, RNA alone", str(who), aupr=float(aupr))
    assert rows["grnformer_sc"] > rows["chance"]


def of_base_network(seed: int) -> dict[str, float]:
    import grnformer_sc as grs

    rna = grs.datasets.simulate_multiome(1500, n_genes=400, n_tfs=40, n_types=4, rng=seed)["rna"]
    truth = rna.uns["truth"][["tf", "gene"]].astype(str).drop_duplicates()
    rng = np.random.default_rng(seed)
    tfs, genes = rna.var_names[rna.var["is_tf"]], rna.var_names
    others = pd.DataFrame({"tf": rng.choice(tfs, 2 * len(truth)), "gene": rng.choice(genes, 2 * len(truth))})
    prior = pd.concat([truth, others]).drop_duplicates()
    prior = prior[prior["tf"] != prior["gene"]]
    options = {"top": 10**6}
    grs.tl.build_grn(rna, method="linger", prior=prior, groupby="cell_type", options=options)
    edges, strengths = rna.uns["grn_linger"]["edges"], rna.uns["grn_linger"]["strengths"]
    size = pd.Series(
        strengths["tf_contribution"].to_numpy(), index=pd.MultiIndex.from_frame(edges[["tf", "gene"]].astype(str))
    )
    pairs = pd.MultiIndex.from_frame(prior)
    real = pairs.isin(pd.MultiIndex.from_frame(truth))
    score = grs.metrics.average_precision
    return {
        "grnformer_sc": score(real, size.reindex(pairs).fillna(0).to_numpy()),
        "Pearson": score(real, of_cells(rna)[genes.get_indexer(prior["tf"]), genes.get_indexer(prior["gene"])]),
        "chance": float(real.mean()),
    }


def of_cells(rna: Any) -> np.ndarray:
    """Size of Pearson's correlation of all genes over single cells."""
    counts = rna.X.toarray()
    z = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)
    z = (z - z.mean(axis=0)) / np.maximum(z.std(axis=0), 1e-9)
    return np.abs(z.T @ z / len(z))


def bench_multiome(record: Callable[..., None]) -> None:
    """RNA and ATAC, on all pairs with a motif within the window."""
    rows = pd.DataFrame([of_multiome(seed) for seed in SEEDS]).mean()
    for who, aupr in rows.items():
        record("LINGER: planted links among those with a motif within 1 Mb", str(who), aupr=float(aupr))
    assert rows["grnformer_sc"] > rows["Pearson, the same metacells"]


def of_multiome(seed: int) -> dict[str, float]:
    import grnformer_sc as grs

    mdata = grs.datasets.simulate_multiome(1500, n_genes=160, n_tfs=20, n_types=3, rng=seed)
    rna = mdata["rna"]
    pairs, real = judged(mdata)
    out = {}
    for name, told in (
        ("grnformer_sc", {}), ("grnformer_sc, strengths as published", {"tf_factor": False}),
        ("grnformer_sc, 70 metacells per type", {"n_metacells": 70}),
    ):  # fmt: skip
        strength, contribution, rho = network(mdata, told)
        out[name] = grs.metrics.average_precision(real, strength.reindex(pairs).fillna(0).to_numpy())
        if name == "grnformer_sc":
            value = contribution.reindex(pairs).fillna(0).to_numpy()
            out["grnformer_sc, contributions alone"] = grs.metrics.average_precision(real, value)
            value = rho.reindex(pairs).fillna(0).to_numpy()
            out["Pearson, the same metacells"] = grs.metrics.average_precision(real, value)
    tf, gene = (rna.var_names.get_indexer(pairs.get_level_values(level)) for level in (0, 1))
    out["Pearson"] = grs.metrics.average_precision(real, of_cells(rna)[tf, gene])
    return {**out, "chance": float(real.mean())}


def judged(mdata: Any) -> tuple[pd.MultiIndex, np.ndarray]:
    """Pairs of a TF and a gene with its motif in a region within the window, and which of them are planted."""
    import grnformer_sc as grs

    made = mdata.copy()
    grs.pp.link_regions(made, window=WINDOW)
    rna, atac, near = made["rna"], made["atac"], made["atac"].uns["region_gene"]
    place = rna.var_names.get_indexer(near["gene"]), atac.var_names.get_indexer(near["region"])
    reach = sp.csr_matrix((np.ones(len(near)), place), (rna.n_vars, atac.n_vars)) @ (
        sp.csr_matrix(atac.varm["motifs"]) != 0
    )
    gene, tf = sp.csr_matrix(reach).nonzero()
    tfs = pd.Index(atac.uns["motifs"]["tfs"]).astype(str)
    pairs = pd.MultiIndex.from_arrays([tfs[tf], rna.var_names[gene]])
    pairs = pairs[pairs.get_level_values(0) != pairs.get_level_values(1)]
    truth = rna.uns["truth"][["tf", "gene"]].astype(str).drop_duplicates()
    return pairs, pairs.isin(pd.MultiIndex.from_frame(truth))


def network(mdata: Any, told: dict[str, Any]) -> list[pd.Series]:
    """Strength of every link in its strongest cell type, what its TF contributes, and size of the correlation."""
    import grnformer_sc as grs

    made = mdata.copy()
    grs.tl.build_grn(
        made, method="linger", groupby="cell_type", options={"top": 10**6, "top_regions": 1, **told}, n_jobs=1
    )
    uns = made["rna"].uns["grn_linger"]
    pair = pd.MultiIndex.from_frame(uns["edges"][["tf", "gene"]].astype(str))
    columns = uns["edges"]["tf_gene_importance"], uns["strengths"]["tf_contribution"], uns["edges"]["tf_gene_rho"].abs()
    return [pd.Series(column.to_numpy(), index=pair)[~pair.duplicated()] for column in columns]


@pytest.mark.parametrize("types", ["the same", "other"])
def bench_memory(record: Callable[..., None], tmp_path: Path, types: str) -> None:
    """Few cells with the networks of many others."""
    rows = pd.DataFrame([of_memory(seed, types, tmp_path / f"{seed}.safetensors") for seed in MEMORY_SEEDS])
    for who in rows:
        better = {} if who == "without" else {"better": f"{int((rows[who] > rows['without']).sum())} of {len(rows)}"}
        record(f"LINGER: {N_FEW} cells, memory of {types} cell types", str(who), aupr=float(rows[who].mean()), **better)
    assert rows["ewc"].mean() > rows["without"].mean()


def of_memory(seed: int, types: str, path: Path) -> dict[str, float]:
    import grnformer_sc as grs
    from grnformer_sc._core.inputs import as_mudata

    whole = grs.datasets.simulate_multiome(2 * (N_FEW + N_OTHER) + 400, n_genes=120, n_tfs=20, n_types=6, rng=seed)
    label = whole["rna"].obs["cell_type"].astype(str).to_numpy()
    one, two = (np.flatnonzero(np.isin(label, [f"type{k}" for k in part])) for part in ((1, 2, 3), (4, 5, 6)))
    few, many = one[:N_FEW], (one[N_FEW:] if types == "the same" else two)[:N_OTHER]
    few, many = (as_mudata({name: whole[name][rows].copy() for name in ("rna", "atac")}) for rows in (few, many))
    pairs, real = judged(whole)

    def precision(mdata: Any, told: dict[str, Any]) -> float:
        strength = network(mdata, told)[0]
        return grs.metrics.average_precision(real, strength.reindex(pairs).fillna(0).to_numpy())

    return {
        "the other cells alone": precision(many, {"save": path}),
        "without": precision(few, {}),
        "ewc": precision(few, {"bulk": path}),
        "inner": precision(few, {"bulk": path, "prior_term": "inner"}),
        "start alone": precision(few, {"bulk": path, "prior_weight": 0}),
    }
