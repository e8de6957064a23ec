"""The import is light and silent; heavy packages are loaded where they are used."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

HEAVY = ("torch", "scvi", "lightning", "torch_geometric", "matplotlib")
BUDGET = 0.3  # seconds beyond anndata's own import
NOISE = 0.5  # seconds by which a busy machine may be wrong
TIMED = "import time; start = time.process_time(); import {}; print(time.process_time() - start)"


def fresh(code: str) -> str:
    # Coverage measures this process only; its hook would slow the fresh one.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COV_CORE")}
    done = subprocess.run(  # noqa: S603  (our own code)
        [sys.executable, "-W", "error", "-c", code], check=False, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.mark.parametrize(
    "use",
    [
        "grs",
        "grs.settings",
        "grs.tl.build_grn",
        "grs.tl.cell_grn",
        "grs.get.grn",
        "grs.datasets.simulate_multiome",
        "grs.metrics.link_recovery",
    ],
)
def test_nothing_heavy_is_loaded(use: str) -> None:
    code = f"import sys; import grnformer_sc as grs; {use}; print([m for m in {HEAVY} if m in sys.modules])"
    assert fresh(code) == "[]"


def test_namespaces_are_listed_before_they_are_loaded() -> None:
    listed = fresh("import grnformer_sc as grs; print({'pp', 'tl', 'get', 'pl', 'model'} <= set(dir(grs)))")
    assert listed == "True"


def test_an_unknown_name_is_an_attribute_error() -> None:
    import grnformer_sc as grs

    with pytest.raises(AttributeError, match="no_such"):
        _ = grs.no_such


def test_the_import_costs_little_more_than_that_of_anndata() -> None:
    times = {name: min(float(fresh(TIMED.format(name))) for _ in range(2)) for name in ("anndata", "grnformer_sc")}
    assert times["grnformer_sc"] < times["anndata"] + BUDGET + NOISE, times
