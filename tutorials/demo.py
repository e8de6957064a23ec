"""The main job from counts to figures, on simulated cells and, where its files are found, on mouse cortex.

Called by ``nox -s demo``. Nothing is downloaded: the cortex files (SNARE-seq, GSE126074) are looked for in
`GRS_DATA_DIR` and in the cache. Figures, the MuData and the model go to ``demo_output/<data set>/``.
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import mudata
import numpy as np
import pandas as pd
import scanpy as sc
import scipy.sparse as sp

import grnformer_sc as grs

OUTPUT = Path("demo_output")
EPOCHS = {"simulation": 3, "cortex": 5}  # few, so that the demo stays short
TOKENS = 256  # expressed genes that the model sees of a cell
CHUNK = 4000  # pairs correlated at a time


@dataclass
class Report:
    """What the demo prints and, at its end, sums up."""

    steps: list[dict[str, Any]] = field(default_factory=list)
    facts: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def step(self, data: str, name: str) -> Iterator[None]:
        """Time a step and note the peak memory of the process so far."""
        print(f"  {name} ...", end=" ", flush=True)
        start = time.perf_counter()
        yield
        seconds = time.perf_counter() - start
        say(f"{seconds:.1f} s")
        self.steps.append({"data": data, "step": name, "seconds": round(seconds, 1), "peak_gb": round(peak_gb(), 2)})

    def fact(self, data: str, what: str, value: object) -> None:
        """Keep a number for the summary."""
        self.facts.append({"data": data, "what": what, "value": value})


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)


def peak_gb() -> float:
    """Largest memory of this process so far (0 where the platform does not tell)."""
    try:
        import resource
    except ImportError:
        return 0.0
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def main() -> int:
    """Run the demo on every data set that is here."""
    mudata.set_options(pull_on_update=False)
    grs.settings.progress = sys.stderr.isatty()
    start, report = time.perf_counter(), Report()
    loaders: dict[str, Callable[[], Any]] = {
        "simulation": lambda: grs.datasets.simulate_multiome(rng=0),
        "cortex": lambda: grs.datasets.snare_cortex(subset="small", download=False),
    }
    for name, load in loaders.items():
        say(f"\n=== {name} ===")
        try:
            with report.step(name, "load"):
                data = load()
        except FileNotFoundError as error:
            say(f"skipped. {error}")
        else:
            run(name, data, report)
    say("\n=== Summary ===")
    say(pd.DataFrame(report.steps).to_string(index=False))
    say("\n" + pd.DataFrame(report.facts).to_string(index=False))
    say(f"\n{time.perf_counter() - start:.0f} s in all; figures, data and models are in {OUTPUT}/")
    return 0


def run(name: str, data: Any, report: Report) -> None:
    """Build, fit, plot and write one data set."""
    folder = OUTPUT / name
    folder.mkdir(parents=True, exist_ok=True)
    rna, atac = data["rna"], data["atac"]
    say(f"  {rna.n_obs} cells, {rna.n_vars} genes, {atac.n_vars} regions, {rna.obs['cell_type'].nunique()} cell types")
    with report.step(name, "build_grn"):
        grs.tl.build_grn(data, groupby="cell_type", rng=0)
    edges, bits = grs.get.grn(rna), rna.obsm["grn_active"]
    report.fact(name, "links / eRegulons", f"{len(edges)} / {bits.shape[1]}")
    report.fact(name, "active eRegulons per cell", round(bits.sum() / rna.n_obs, 1))
    if "truth" in rna.uns:
        with report.step(name, "recovery"):
            table = recovery(data)
        say(table.round(3).to_string())
        for link, row in table.iterrows():
            beside = f"Pearson {row['Pearson']:.2f}, chance {row['chance']:.3f}"
            report.fact(name, f"AUPR {link}", f"{row['network']:.2f} ({beside})")
    with report.step(name, "fit"):
        model = grs.tl.fit(rna, max_epochs=EPOCHS[name], rng=0, model_settings={"max_tokens": TOKENS})
    loss = grs.get.training(rna)["validation_loss"]
    report.fact(name, "validation loss, first and best epoch", f"{loss.iloc[0]:.3f}, {loss.min():.3f}")
    with report.step(name, "figures"):
        draw(rna, folder)
    with report.step(name, "write"):
        data.write(folder / f"{name}.h5mu")
        model.save(folder / "model", overwrite=True)


def recovery(data: Any) -> pd.DataFrame:
    """Average precision of planted links: the network beside absolute Pearson correlation over cells and chance."""
    rna, atac = data["rna"], data["atac"]
    truth, edges = rna.uns["truth"], grs.get.grn(rna)
    tfs = list(atac.uns["motifs"]["tfs"])
    x, y = standardised(rna.X), standardised(atac.X)
    links = search_space(data)
    gene, region = rna.var_names.get_indexer(links["gene"]), atac.var_names.get_indexer(links["region"])
    links = links[["region", "gene"]].assign(score=correlate(y, x, region, gene))
    tf = rna.var_names.get_indexer(tfs)
    r = np.abs(x[:, tf].T @ x) / x.shape[0]
    rows, cols = np.nonzero(tf[:, None] != np.arange(rna.n_vars))
    pairs = pd.DataFrame({"tf": np.array(tfs)[rows], "gene": rna.var_names[cols], "score": r[rows, cols]})
    hits = sp.coo_matrix(atac.varm["motifs"])
    sites = pd.DataFrame({"region": atac.var_names[hits.row], "tf": np.array(tfs)[hits.col]})
    triplets = links.merge(sites, on="region").merge(pairs, on=["tf", "gene"], suffixes=("_region", "_tf"))
    triplets["score"] = np.sqrt(triplets["score_region"] * triplets["score_tf"])
    kinds = {
        "region -> gene": (["region", "gene"], links), "TF -> gene": (["tf", "gene"], pairs),
        "TF -> region -> gene": (["tf", "region", "gene"], triplets),
    }  # fmt: skip
    rows_out = {}
    for kind, (on, baseline) in kinds.items():
        known = pd.concat([baseline[on].astype(str), truth[on].astype(str)]).drop_duplicates()
        ours = grs.metrics.link_recovery(edges, truth, on=on, universe=len(known))
        other = grs.metrics.link_recovery(baseline, truth, on=on, universe=len(known))
        rows_out[kind] = {"network": ours["aupr"], "Pearson": other["aupr"], "chance": ours["random"]}
    return pd.DataFrame(rows_out).T


def search_space(data: Any) -> pd.DataFrame:
    """Candidate region-gene pairs, without changing the data."""
    pair = grs.pp.link_regions((data["rna"], data["atac"]), copy=True)
    return pair[1].uns["region_gene"]


def standardised(counts: sp.csr_matrix) -> np.ndarray:
    """Log-normalised values with mean 0 and variance 1 per column (small data only: dense)."""
    x = counts.toarray().astype(np.float32)
    x = np.log1p(x / np.maximum(x.sum(axis=1, keepdims=True), 1) * 1e4)
    x -= x.mean(axis=0)
    return x / np.maximum(x.std(axis=0), 1e-6)


def correlate(a: np.ndarray, b: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Absolute Pearson correlation of columns of `a` with columns of `b`, pair by pair."""
    parts = [slice(start, start + CHUNK) for start in range(0, rows.size, CHUNK)]
    return np.concatenate([np.abs((a[:, rows[part]] * b[:, cols[part]]).mean(axis=0)) for part in parts])


def draw(rna: Any, folder: Path) -> None:
    """Write every figure of the three-call story as a PNG."""
    largest = rna.obs["grn_group"].value_counts().index[0]
    figures: dict[str, Callable[[], Any]] = {
        "activity": lambda: grs.pl.activity(rna),
        "network": lambda: grs.pl.network(rna, group=largest),
        "thresholds": lambda: grs.pl.thresholds(rna),
        "training": lambda: grs.pl.training(rna),
        "attention": lambda: grs.pl.attention(rna),
    }
    for name, plot in figures.items():
        plot()
        save(folder / f"{name}.png")
    sc.tl.umap(rna, neighbors_key="grn_cells")
    rna.obsm["X_umap_grn"] = rna.obsm.pop("X_umap")
    sc.pp.neighbors(rna, use_rep="X_grnformer", key_added="grnformer_cells")
    sc.tl.umap(rna, neighbors_key="grnformer_cells")
    _, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for ax, basis, title in zip(axes, ("X_umap_grn", "X_umap"), ("overlap of networks", "GRNFormer"), strict=True):
        last = ax is axes[-1]
        sc.pl.embedding(
            rna, basis=basis, color="grn_group", ax=ax, show=False, frameon=False, title=title,
            legend_loc="right margin" if last else "none",
        )  # fmt: skip
    save(folder / "cells.png")


def save(path: Path) -> None:
    """Write the current figure and close it."""
    plt.savefig(path, dpi=150, bbox_inches="tight")
    plt.close("all")


if __name__ == "__main__":
    sys.exit(main())
