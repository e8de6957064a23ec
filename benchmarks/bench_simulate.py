"""Simulated knock-outs beside real ones: network and coefficients from control cells alone.

What is observed is the mean of the cells without a gene minus that of the controls of the same day or replicate. Beside the
models stand the slope of every gene on the perturbed one alone (no network), the linear model on networks whose genes were
exchanged, and no change at all. Intervals come from resampled knock-outs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from threadpoolctl import threadpool_limits
from truth import dense, folder, knockout_targets

import grnformer_sc as grs
from grnformer_sc.grn.embedding import log_normalise

SETS = {
    "hipsc_crispr": ("hipsc_crispr/hipsc_crispr.h5ad", "knockout", "day"),
    "papalexi_thp1_eccite": ("papalexi_thp1_eccite/papalexi_299genes.h5ad", "perturbation", "replicate"),
}
MODELS = {
    "linear, 1 step": {"n_steps": 1},
    "linear, 3 steps": {},
    "boosted, 1 step": {"model": "boosted", "n_steps": 1},
    "boosted, 3 steps": {"model": "boosted"},
}
EXCHANGED = 10  # networks with other genes

pytestmark = pytest.mark.skipif(not (folder() / "hipsc_crispr").is_dir(), reason="GRS_DATA_DIR does not hold the sets")


@dataclass(frozen=True)
class Knockouts:
    """Control cells with a network, and what every knock-out changed (knock-outs x genes)."""

    controls: ad.AnnData
    observed: pd.DataFrame
    clear: pd.DataFrame  # bool: significant after correction for all knock-outs and genes


def read(at: str, by: str, stratum: str) -> Knockouts:
    """Network of the controls, and observed changes of the knocked-out genes that regulate something in it.

    All its links count, also those of eRegulons that few cells have on: in cells of one kind most are on in few.
    """
    data = ad.read_h5ad(folder() / at)
    label, batch = data.obs[by].astype(str).to_numpy(), data.obs[stratum].astype(str).to_numpy()
    x = dense(log_normalise(data.X.tocsr())).astype(np.float64)
    clear = knockout_targets(x, data.var_names, label, batch)
    for name in np.unique(batch):
        x[batch == name] -= x[(batch == name) & (label == "control")].mean(axis=0)
    listed = {line.strip() for line in (folder() / "regulatory_resources/lambert2018_human_tfs.txt").open()}
    tfs = [gene for gene in data.var_names if gene in listed or gene in set(label)]
    controls = data[label == "control"].copy()
    grs.tl.build_grn(controls, tfs=tfs)
    stored = controls.uns["grn"]
    stored["edge_groups"] = sp.csr_matrix(np.ones(stored["edge_groups"].shape, dtype=bool))
    lost = sorted(set(grs.get.grn(controls)["tf"].astype(str)) & set(label))
    observed = pd.DataFrame({gene: x[label == gene].mean(axis=0) for gene in lost}, index=data.var_names).T
    found = pd.MultiIndex.from_frame(clear[["tf", "gene"]])
    known = [[(tf, gene) in found for gene in observed.columns] for tf in lost]
    return Knockouts(controls, observed, pd.DataFrame(known, index=lost, columns=observed.columns))


def predicted(controls: ad.AnnData, tf: str, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Change of every gene, and which are reached."""
    out = grs.tl.simulate_ko(controls, tf, copy=True, **options)
    return out.varm["grn_ko"][:, 0].astype(float), out.varm["grn_ko_step"][:, 0] > 0


def slopes(controls: ad.AnnData, tf: str) -> np.ndarray:
    """Change of every gene by its slope on the perturbed one alone."""
    x = dense(log_normalise(controls.X.tocsr())).astype(np.float64)
    own = x[:, controls.var_names.get_loc(tf)]
    return -own.mean() * ((own - own.mean()) @ (x - x.mean(axis=0))) / max(((own - own.mean()) ** 2).sum(), 1e-9)


def exchanged(controls: ad.AnnData, seed: int) -> ad.AnnData:
    """The same network with every target gene under the name of another one."""
    out = controls.copy()
    edges = out.uns["grn"]["edges"].copy()
    names = out.var_names.to_numpy(dtype=object)
    other = dict(zip(names, np.random.default_rng(seed).permutation(names), strict=True))
    edges["gene"] = pd.Categorical(edges["gene"].astype(str).map(other))
    out.uns["grn"]["edges"] = edges
    return out


def figures(change: np.ndarray, reached: np.ndarray, seen: np.ndarray, clear: np.ndarray) -> dict[str, float]:
    """How a prediction fits one knock-out; genes that are not reached count as unchanged."""
    judged = reached & clear & (change != 0)
    r = np.corrcoef(change, seen)[0, 1] if change.std() > 0 else np.nan
    near = np.corrcoef(change[reached], seen[reached])[0, 1] if change[reached].std() > 0 else np.nan
    slope = change @ seen / (change @ change) if change.any() else np.nan
    right = (np.sign(change) == np.sign(seen))[judged].mean() if judged.any() else np.nan
    error = ((change - seen) ** 2).sum() / (seen**2).sum()
    return {
        "r": r, "r_reached": near, "right_sign": right, "n_signs": float(judged.sum()), "error": error, "slope": slope,
    }  # fmt: skip


def contenders(data: Knockouts, tf: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Predictions for one knock-out."""
    out = {who: predicted(data.controls, tf, **options) for who, options in MODELS.items()}
    everywhere = np.ones(data.observed.shape[1], dtype=bool)
    out["slope on the TF, all genes"] = slopes(data.controls, tf), everywhere
    reached = out["linear, 1 step"][1]
    out["slope on the TF, direct targets"] = np.where(reached, slopes(data.controls, tf), 0), reached
    out["no change"] = np.zeros(everywhere.size), everywhere
    return out


def bench_simulate(record: Callable[..., None]) -> None:
    with threadpool_limits(1), grs.settings.override(progress=False):
        for name, where in SETS.items():
            data = read(*where)
            rows = []
            for tf in data.observed.index:
                others = (data.observed.columns != tf).astype(bool)
                seen, clear = data.observed.loc[tf].to_numpy()[others], data.clear.loc[tf].to_numpy()[others]
                for who, (change, reached) in contenders(data, tf).items():
                    rows.append({"who": who, "tf": tf, **figures(change[others], reached[others], seen, clear)})
                nulls = [predicted(exchanged(data.controls, seed), tf, n_steps=1) for seed in range(EXCHANGED)]
                null = [figures(change[others], reached[others], seen, clear) for change, reached in nulls]
                rows.append({"who": "linear, 1 step, genes exchanged", "tf": tf, **pd.DataFrame(null).mean().to_dict()})
            table = pd.DataFrame(rows)
            for who, part in table.groupby("who", sort=False):
                summary = {"n_knockouts": len(part), "n_signs": float(part["n_signs"].sum())}
                for figure in ("r", "r_reached", "right_sign", "error", "slope"):
                    if part[figure].notna().any():
                        mean = grs.metrics.bootstrap_mean(part[figure])
                        summary |= {figure: mean["mean"], f"{figure}_low": mean["low"], f"{figure}_high": mean["high"]}
                record(name, who, **summary)
            for tf, part in table.groupby("tf"):
                best = part.set_index("who").loc["linear, 1 step"]
                record(f"{name}: {tf}", "linear, 1 step", **best.drop("tf").astype(float).to_dict())
