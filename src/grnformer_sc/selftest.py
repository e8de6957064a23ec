"""Check of an installation: ``python -m grnformer_sc.selftest`` runs the main job on small simulated cells.

Prints versions and one line per check; the exit code is 0 when every check passed.
"""

from __future__ import annotations

import importlib.metadata
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

PACKAGES = (
    "grnformer-sc", "anndata", "mudata", "scanpy", "numpy", "scipy", "pandas", "numba", "scikit-learn", "torch",
    "torch-geometric", "lightning", "scvi-tools", "matplotlib",
)  # fmt: skip
N_TFS = 16
FLOOR = 1.5  # recovery of planted links, in multiples of chance


@dataclass(frozen=True, slots=True)
class Check:
    """One finished check: what was expected, whether it held, what was found, how long it took."""

    expected: str
    passed: bool
    found: str
    seconds: float


class _Run:
    """The main job on simulated cells, one method per check; later ones read what earlier ones made."""

    def __init__(self) -> None:
        import grnformer_sc as grs

        self.grs = grs

    def simulate(self) -> tuple[bool, str]:
        """Simulated cells have counts and a known network."""
        self.mdata, self.second = (
            self.grs.datasets.simulate_multiome(500, n_genes=200, n_tfs=N_TFS, n_types=3, rng=0) for _ in range(2)
        )
        truth = self.mdata["rna"].uns["truth"]
        return len(truth) > 0, f"{self.mdata.n_obs} cells, {len(truth)} planted links"

    def network(self) -> tuple[bool, str]:
        """build_grn recovers planted TF-gene links clearly better than chance."""
        self.grs.tl.build_grn(self.mdata, groupby="cell_type", n_jobs=1)
        rna = self.mdata["rna"]
        pairs = N_TFS * (rna.n_vars - 1)
        found = self.grs.metrics.link_recovery(self.grs.get.grn(rna), rna.uns["truth"], universe=pairs)
        ratio = found["aupr"] / found["random"]
        return ratio > FLOOR, f"AUPR {found['aupr']:.2f}, chance {found['random']:.2f}"

    def repeat(self) -> tuple[bool, str]:
        """The same seed gives the same bits with another number of threads."""
        self.grs.tl.build_grn(self.second, groupby="cell_type", n_jobs=2)
        first, second = self.mdata["rna"], self.second["rna"]
        edges = self.grs.get.grn(first).equals(self.grs.get.grn(second))
        bits = (first.obsm["grn_active"] != second.obsm["grn_active"]).nnz
        auc = np.array_equal(first.obsm["grn_auc"], second.obsm["grn_auc"])
        return edges and auc and bits == 0, f"{first.obsm['grn_active'].nnz} bits"

    def frozen(self) -> tuple[bool, str]:
        """A frozen network gives the same cells the same bits in any subset."""
        rna = self.mdata["rna"]
        new = rna[::3].copy()
        self.grs.tl.cell_grn(new, net=rna)
        n_changed = (new.obsm["grn_active"] != rna[::3].obsm["grn_active"]).nnz
        return n_changed == 0, f"{n_changed} bits changed in {new.n_obs} cells"

    def model(self) -> tuple[bool, str]:
        """Fit trains GRNFormer and writes a finite embedding."""
        rna = self.mdata["rna"]
        self.fitted = self.grs.tl.fit(rna, max_epochs=2, rng=0)
        embedding = np.asarray(rna.obsm["X_grnformer"])
        varied = embedding.std(axis=0).max() > 0
        return bool(np.isfinite(embedding).all() and varied), "embedding {} x {}".format(*embedding.shape)

    def saved(self) -> tuple[bool, str]:
        """A saved model gives the same embedding when it is loaded."""
        rna = self.mdata["rna"]
        with tempfile.TemporaryDirectory() as folder:
            self.fitted.save(f"{folder}/model")
            loaded = self.grs.model.GRNFormer.load(f"{folder}/model", adata=rna)
            difference = np.abs(loaded.get_latent_representation() - rna.obsm["X_grnformer"]).max()
        return bool(difference < 1e-5), f"largest difference {difference:.1e}"

    def plots(self) -> tuple[bool, str]:
        """Plots draw without a display."""
        import matplotlib as mpl

        with mpl.rc_context({"backend": "Agg"}):
            import matplotlib.pyplot as plt

            plots = (self.grs.pl.activity, self.grs.pl.attention)
            drawn = 0
            for plot in plots:
                plot(self.mdata["rna"])
                drawn += any(ax.has_data() for ax in plt.gcf().axes)
                plt.close("all")
        return drawn == len(plots), f"{drawn} of {len(plots)} plots"

    def steps(self) -> list[Callable[[], tuple[bool, str]]]:
        return [self.simulate, self.network, self.repeat, self.frozen, self.model, self.saved, self.plots]


def versions() -> pd.Series:
    """Versions of Python, the platform and the packages that matter; "missing" where one is not installed.

    Returns
    -------
    Series of text by name.

    Examples
    --------
    >>> from grnformer_sc.selftest import versions
    >>> "numpy" in versions()
    True
    """
    found = {"python": platform.python_version(), "platform": platform.platform(terse=True)}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "missing"
    return pd.Series(found)


def run() -> Iterator[Check]:
    """Run the checks one after the other; an error counts as a check that failed.

    Returns
    -------
    The finished checks, as they come.
    """
    import grnformer_sc as grs

    job = _Run()
    with grs.settings.override(progress=False):
        for step in job.steps():
            start = time.perf_counter()
            try:
                passed, found = step()
            except Exception as error:  # noqa: BLE001  (whatever breaks is what the user wants to see)
                passed, found = False, f"{type(error).__name__}: {error}"
            yield Check(_title(step), passed, found, time.perf_counter() - start)


def _title(step: Callable[..., Any]) -> str:
    return (step.__doc__ or step.__name__).strip().rstrip(".")


def main() -> int:
    """Print versions and checks; 0 when all passed.

    Returns
    -------
    The exit code.
    """
    write = sys.stdout.write
    write("".join(f"{name:<16} {version}\n" for name, version in versions().items()) + "\n")
    failed = 0
    for check in run():
        failed += not check.passed
        mark = "ok    " if check.passed else "FAILED"
        write(f"{mark} {check.seconds:5.1f} s  {check.expected}: {check.found}\n")
        sys.stdout.flush()
    write("\nall checks passed\n" if not failed else f"\n{failed} checks failed\n")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
