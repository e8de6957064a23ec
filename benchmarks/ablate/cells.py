"""The cells of a run: made or read, split, and given the network of the training cells."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from inputs import thin
from mudata import MuData

import grnformer_sc as grs

from .grid import DataSet, NetworkName
from .networks import CHANGES, LABEL, score_held_out

SIMULATED = {
    "simulated": {"n_cells": 1500, "n_genes": 160, "n_tfs": 32, "n_types": 5},
    "simulated deep": {"n_cells": 2000, "n_genes": 300, "n_tfs": 60, "n_types": 5},
    "simulated small": {"n_cells": 1200, "n_genes": 100, "n_tfs": 10, "n_types": 4},
}
WHOLE = {"batch": "batch", "type": LABEL}  # column of what is held out as a whole
KEPT = {
    "simulated": 0.3,
    "simulated deep": 1.0,
    "simulated small": 1.0,
}  # share of the RNA molecules; with 0.3 cells are as sparse as real ones


@dataclass(frozen=True, slots=True)
class Split:
    """Training and held-out cells with a network made from the former."""

    train: AnnData
    test: AnnData


@lru_cache(maxsize=4)
def cells_of(data: DataSet, seed: int, network: NetworkName) -> Split:
    """Cells, split and network of a seed: the same for all its settings."""
    train, test = with_network(data, seed)
    if network != "real":
        train, test = train.copy(), test.copy()
        CHANGES[network](train, test, seed)
    return Split(train["rna"], test["rna"])


@lru_cache(maxsize=1)
def with_network(data: DataSet, seed: int) -> tuple[MuData, MuData]:
    """Split the cells and build the network from those that train."""
    mdata = simulated(data.name, seed) if data.name in SIMULATED else grs.datasets.snare_cortex(subset="small")
    rng = np.random.default_rng(seed)
    if data.split == "cells":
        held = rng.random(mdata.n_obs) < data.held_out
    else:
        part = mdata["rna"].obs[WHOLE[data.split]].astype(str)
        names = np.unique(part)
        held = part.isin(rng.choice(names, round(data.held_out * names.size), replace=False)).to_numpy()
    train, test = (MuData({name: mdata[name][rows].copy() for name in ("rna", "atac")}) for rows in (~held, held))
    grs.tl.build_grn(train, groupby=LABEL)
    score_held_out(train, test)
    return train, test


def simulated(name: str, seed: int) -> MuData:
    """Cells, genes and network of a seed."""
    mdata = grs.datasets.simulate_multiome(**SIMULATED[name], rng=seed)
    thin(mdata["rna"].X, KEPT[name], np.random.default_rng(seed))
    return mdata


def unlabelled(cells: AnnData) -> AnnData:
    """The same cells as if their type were unknown: switches by the thresholds alone, the type left to the model.

    A type's network is read by the type of the cell, so a model with networks would otherwise be told the label.
    """
    out = cells.copy()
    table = cells.uns["grn"]["eregulons"]
    for auc, active, threshold in (
        ("grn_auc", "grn_active", "threshold"),
        ("grn_auc_region", "grn_active_region", "threshold_region"),
    ):
        if auc in out.obsm:
            out.obsm[active] = sp.csr_matrix(out.obsm[auc].to_numpy() > table[threshold].to_numpy())
    del out.obs["grn_group"]
    return out
