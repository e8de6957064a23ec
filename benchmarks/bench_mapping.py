"""Networks of RNA-only cells by `pp.map_reference`, and a trained model carried over to other cells.

Half of the cells (of the cortex also half of the batches) are held out and lose accessibility, labels and network; the
network comes from the other half. Their bits are compared with those that `tl.cell_grn` gives the same cells by their
own expression and by their accessibility, over the eRegulons that their true type keeps: `agreement` is the share of
equal bits, `mcc` their correlation. Two baselines know the label of the cell: the majority of the bits in its type, and
all eRegulons that its type keeps. `neighbour`, `type` and `none` are the shares of cells by where their bits come from.

Shifts change the held-out RNA only, and the bits it is compared with stay those of the cells as they were: sequenced at
a fraction of the depth; every gene's counts times a factor of its own (log-normal, the same in all cells; rounded at
random); or the names of the genes exchanged, so that the cells are like nothing in the reference. Types left out of the
reference show how often a cell is taken for what it is not, and what tells it (`auroc`: area under the ROC curve, mean
over types).

Carried over: a model trained on one half is evaluated on masked counts of cells from the other half whose genes have
such factors, as it is, trained further on other cells of that kind, or trained on these alone after `pp.map_reference`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import anndata
import mudata
import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import roc_auc_score

import grnformer_sc as grs
from grnformer_sc.grn.network import Network

SEEDS = (1, 2)
MAPPINGS: dict[str, dict[str, Any]] = {
    "15 neighbours (default)": {},
    "1 neighbour, no cut (the paper)": {"k": 1, "cut": None},
}
SHIFTS: dict[str, dict[str, Any]] = {
    "half of the depth": {"depth": 0.5}, "a quarter of the depth": {"depth": 0.25},
    "gene factors, sd 0.5": {"spread": 0.5}, "gene factors, sd 1": {"spread": 1.0}, "genes exchanged": {"exchange": True},
}  # fmt: skip


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with grs.settings.override(progress=False), mudata.set_options(pull_on_update=False):
        yield


def parts_of(mdata: Any, held: np.ndarray) -> tuple[Any, Any]:
    """Reference with its network, and held-out cells with bits by their own expression and accessibility."""
    old, new = (mudata.MuData({name: mdata[name][rows].copy() for name in ("rna", "atac")}) for rows in (~held, held))
    grs.tl.build_grn(old, groupby="cell_type")
    known = np.isin(new["rna"].obs["cell_type"].astype(str), old["rna"].uns["grn"]["group_names"])
    new = mudata.MuData({name: new[name][known].copy() for name in ("rna", "atac")})
    grs.tl.cell_grn(new, net=old, groupby="cell_type")
    return old, new


def bare(rna: anndata.AnnData, *, depth: float = 1.0, spread: float = 0.0, exchange: bool = False) -> anndata.AnnData:
    """The RNA alone, shifted."""
    rng = np.random.default_rng(0)
    x = sp.csr_matrix(rna.X, copy=True)
    if exchange:
        x = sp.csr_matrix(x[:, rng.permutation(x.shape[1])])
    wanted = x.data * (np.exp(rng.normal(0, spread, x.shape[1]))[x.indices] if spread else 1.0)
    values = np.floor(wanted + rng.random(x.nnz)) if spread else wanted
    values = rng.binomial(values.astype(np.int64), depth)
    x = sp.csr_matrix((values.astype(np.float32), x.indices, x.indptr), x.shape)
    x.eliminate_zeros()
    new = anndata.AnnData(x, obs=rna.obs[["cell_type"]].copy(), var=rna.var[[]].copy())
    new.obs_names = "new-" + new.obs_names
    return new[np.asarray(x.sum(axis=1)).ravel() > 0].copy()


def figures(bits: np.ndarray, new: Any, kept: np.ndarray) -> dict[str, float]:
    """Agreement with bits by expression and by accessibility."""
    out = {}
    for kind, slot in (("gene", "grn_active"), ("region", "grn_active_region")):
        truth = new["rna"].obsm[slot].toarray()[kept]
        got = bits[kept]
        out[f"{kind}_agreement"] = float((got == truth).mean())
        varies = got.min() < got.max()
        out[f"{kind}_mcc"] = float(np.corrcoef(got, truth)[0, 1]) if varies else float("nan")
    return out


def mapped_figures(query: anndata.AnnData, new: Any, kept: np.ndarray) -> dict[str, float]:
    """Agreement of mapped cells (those that kept counts), and where their bits come from."""
    rows = new["rna"].obs_names.get_indexer(query.obs_names.str.removeprefix("new-"))
    right = query.obs["grn_group"].astype(str).to_numpy() == new["rna"].obs["cell_type"].astype(str).to_numpy()[rows]
    share = query.obs["grn_mapped"].value_counts(normalize=True)
    same = mudata.MuData({"rna": new["rna"][rows].copy()})
    return {
        "group": float(right.mean()), **{name: float(share[name]) for name in ("neighbour", "type", "none")},
        **figures(query.obsm["grn_active"].toarray(), same, kept[rows]),
    }  # fmt: skip


def compare(record: Callable[..., None], what: str, old: Any, new: Any, *, shifts: bool) -> None:
    """All ways to give held-out cells bits, and what shifts do to them."""
    network = Network.from_uns(old["rna"].uns["grn"])
    codes = new["rna"].obs["grn_group"].cat.codes.to_numpy()
    kept = network.kept()[codes]
    reference, of_cell = old["rna"].obsm["grn_active"].toarray(), old["rna"].obs["grn_group"].cat.codes.to_numpy()
    majority = np.stack([reference[of_cell == c].mean(axis=0) > 0.5 for c in range(len(network.group_names))])
    record(what, "majority of the true type", **figures(majority[codes], new, kept))
    record(what, "all that the true type keeps", **figures(kept, new, kept))
    record(what, "own expression (tl.cell_grn)", **figures(new["rna"].obsm["grn_active"].toarray(), new, kept))
    record(
        what, "own accessibility (tl.cell_grn)", **figures(new["rna"].obsm["grn_active_region"].toarray(), new, kept)
    )
    ways = MAPPINGS | {"15 neighbours, region bits": {"kind": "region"}}
    if shifts:
        ways["15 neighbours, embedding of a model"] = {"model": grs.tl.fit(old["rna"], rng=0)}
    for who, options in ways.items():
        query = bare(new["rna"])
        grs.pp.map_reference(query, old, **options)
        record(what, who, **mapped_figures(query, new, kept))
    for name, shift in SHIFTS.items() if shifts else ():
        for who, options in MAPPINGS.items():
            query = bare(new["rna"], **shift)
            grs.pp.map_reference(query, old, **options)
            record(f"{what}: {name}", who, **mapped_figures(query, new, kept))
        query = bare(new["rna"], **shift)
        rows = new["rna"].obs_names.get_indexer(query.obs_names.str.removeprefix("new-"))
        grs.tl.cell_grn(query, net=old, groupby="cell_type")
        same = mudata.MuData({"rna": new["rna"][rows].copy()})
        own = figures(query.obsm["grn_active"].toarray(), same, kept[rows])
        record(f"{what}: {name}", "own expression (tl.cell_grn)", **own)


def leave_out(record: Callable[..., None], what: str, old: Any, new: Any, types: list[str]) -> None:
    """Where the bits of cells come from whose type the reference lacks, and what tells them from other cells."""
    shares: dict[str, list[Any]] = {"cells of the missing type": [], "all other cells": []}
    told: dict[str, list[float]] = {"grn_map_distance": [], "grn_map_agreement": []}
    for name in types:
        less = old["rna"][(old["rna"].obs["cell_type"] != name).to_numpy()].copy()
        query = bare(new["rna"])
        grs.pp.map_reference(query, less)
        missing = (query.obs["cell_type"] == name).to_numpy()
        for who, rows in zip(shares, (missing, ~missing), strict=True):
            shares[who].append(query.obs["grn_mapped"][rows].value_counts(normalize=True))
        for column, sign in (("grn_map_distance", 1), ("grn_map_agreement", -1)):
            told[column].append(roc_auc_score(missing, sign * query.obs[column]))
    for who, found in shares.items():
        mean = sum(found) / len(found)
        record(f"{what}: a type left out", who, **{part: float(mean[part]) for part in ("neighbour", "type", "none")})
    for column, values in told.items():
        record(f"{what}: a type left out", f"told apart by {column}", auroc=float(np.mean(values)))


@pytest.mark.parametrize("seed", SEEDS)
def bench_simulated(record: Callable[..., None], seed: int) -> None:
    mdata = grs.datasets.simulate_multiome(2000, n_genes=300, n_tfs=24, n_types=5, rng=seed)
    held = np.random.default_rng(seed).random(mdata.n_obs) < 0.5
    old, new = parts_of(mdata, held)
    compare(record, f"simulated cells, seed {seed}", old, new, shifts=seed == SEEDS[0])
    leave_out(record, f"simulated cells, seed {seed}", old, new, [f"type{i}" for i in range(1, 6)])


@pytest.mark.skipif(not os.environ.get("GRS_DATA_DIR"), reason="GRS_DATA_DIR is not set")
@pytest.mark.parametrize("split", ["cells", "batches"])
def bench_cortex(record: Callable[..., None], split: str) -> None:
    mdata = grs.datasets.snare_cortex(subset="small")
    batch = mdata["rna"].obs["batch"].astype(str)
    by_cell = np.random.default_rng(0).random(mdata.n_obs) < 0.5
    held = by_cell if split == "cells" else batch.isin(sorted(batch.unique())[::2]).to_numpy()
    old, new = parts_of(mdata, held)
    compare(record, f"mouse cortex, by {split}", old, new, shifts=split == "cells")
    if split == "cells":
        leave_out(record, "mouse cortex", old, new, ["Astro", "Oligo", "L2/3", "L6", "Pvalb", "Sst"])


@pytest.mark.parametrize("seed", SEEDS)
def bench_carried_over(record: Callable[..., None], seed: int) -> None:
    mdata = grs.datasets.simulate_multiome(2000, n_genes=300, n_tfs=24, n_types=5, rng=seed)
    part = np.random.default_rng(seed).integers(0, 4, mdata.n_obs)  # two quarters are the reference
    old, new = parts_of(mdata, part >= 2)
    model = grs.tl.fit(old["rna"], rng=seed)
    new.obs["part"] = part[mdata.obs_names.get_indexer(new.obs_names)]
    cells = bare(new["rna"], spread=0.5)
    tune = new.obs["part"].to_numpy() == 2
    test, what = cells[~tune].copy(), f"carried over, simulated cells, seed {seed}"
    table = model.evaluate_masked(test, rng=0)["deviance"]
    record(what, "gene rates of the reference", deviance=float(table["gene rate"]))
    record(what, "as it is", deviance=float(table["model"]))
    for who, freeze in (("trained further", "none"), ("trained further, backbone frozen", "backbone")):
        carried = grs.model.GRNFormer.load_query_data(cells[tune].copy(), model, freeze=freeze)
        carried.train(lr=1e-3, rng=seed)
        record(what, who, deviance=float(carried.evaluate_masked(test, rng=0)["deviance"]["model"]))
    alone = cells[tune].copy()
    grs.pp.map_reference(alone, old)
    alone = alone[(alone.obs["grn_mapped"] != "none").to_numpy()].copy()
    fresh = grs.tl.fit(alone, rng=seed)
    record(
        what, "from scratch on the new cells", deviance=float(fresh.evaluate_masked(test, rng=0)["deviance"]["model"])
    )
