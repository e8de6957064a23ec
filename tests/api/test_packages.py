"""What the package stands on: declared packages with wheels for everyone, no upper limits, no network outside `datasets`."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import socket
import sys
import tomllib
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

import grnformer_sc as grs

ROOT = Path(__file__).parents[2]
PACKAGE = Path(grs.__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CORE = PROJECT["project"]["dependencies"]
EXTRAS = [name for names in PROJECT["project"]["optional-dependencies"].values() for name in names]
OTHER_NAMES = {"lazy-loader": "lazy_loader", "pyyaml": "yaml", "scikit-learn": "sklearn", "scvi-tools": "scvi"}
NETWORK = {"ftplib", "http", "httpx", "pooch", "requests", "socket", "urllib", "urllib3"}
WITH_TORCH = {"triton"}  # part of torch for CUDA on Linux
OPTIONAL = {"igraph", "networkx"}  # forms of `get.network`: an error names the package that is missing


def module_of(requirement: str) -> str:
    """Name to import of a requirement."""
    name = re.match(r"[\w.-]+", requirement)
    assert name is not None
    return OTHER_NAMES.get(name.group(), name.group().replace("-", "_"))


def imports(path: Path) -> Iterator[str]:
    """Top-level packages that a file imports, also where they are used and through `need`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module).split(".")[0]
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "id", "") == "need"
            and isinstance(node.args[0], ast.Constant)
        ):
            yield str(node.args[0].value).split(".")[0]


IMPORTS = {path.relative_to(PACKAGE).as_posix(): set(imports(path)) for path in PACKAGE.rglob("*.py")}


def test_only_declared_packages_are_imported() -> None:
    """So neither dask, distributed and arboreto nor flash_attn, torch_scatter and torchtext."""
    declared = {module_of(name) for name in CORE + EXTRAS} | OPTIONAL | WITH_TORCH | {"grnformer_sc"}
    found = {(name, path) for path, names in IMPORTS.items() for name in names}
    assert {pair for pair in found if pair[0] not in declared | set(sys.stdlib_module_names)} == set()
    assert not declared & {
        "arboreto",
        "dask",
        "distributed",
        "flash_attn",
        "torch_scatter",
        "torch_sparse",
        "torchtext",
    }


@pytest.mark.parametrize("requirement", CORE + EXTRAS)
def test_requirements_are_lower_bounds(requirement: str) -> None:
    """No pin, no upper limit, no address: any later version may be installed beside ours."""
    assert re.fullmatch(r"[\w.-]+>=[\d.]+", requirement)


@pytest.mark.parametrize("requirement", CORE)
def test_core_packages_come_as_wheels_for_everyone(requirement: str) -> None:
    """A package that had to be compiled here carries the tag of this machine alone."""
    name = re.split(r">=", requirement)[0]
    wheel = importlib.metadata.distribution(name).read_text("WHEEL") or ""
    tags = re.findall(r"^Tag: (.+)$", wheel, flags=re.MULTILINE)
    assert tags
    assert all(re.search(r"-none-any$|manylinux|musllinux|macosx|win", tag) for tag in tags), tags


def test_numpy_2_is_asked_for_and_deprecations_are_errors() -> None:
    assert "numpy>=2.0" in CORE
    assert PROJECT["tool"]["pytest"]["filterwarnings"][0] == "error"
    with pytest.raises(DeprecationWarning):
        warnings.warn("soon gone", DeprecationWarning, stacklevel=1)
    with pytest.raises(FutureWarning):
        warnings.warn("soon another", FutureWarning, stacklevel=1)


def test_only_datasets_can_reach_the_network() -> None:
    assert {path for path, names in IMPORTS.items() if names & NETWORK} <= {
        path for path in IMPORTS if path.startswith("datasets/")
    }


def test_networks_are_made_without_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Search space, TF names, motifs of JASPAR, links and cells, with every way out closed."""

    def closed(*_: object, **__: object) -> None:
        pytest.fail("something asked for the network")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, closed)
    for name in ("create_connection", "getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(socket, name, closed)
    mdata = grs.datasets.simulate_multiome(120, n_genes=60, n_tfs=8, n_types=2, rng=0)
    rna, atac = mdata["rna"], mdata["atac"]
    grs.pp.link_regions(mdata)
    grs.priors.read_motifs("JASPAR2024")
    assert grs.priors.guess_species(["GAD1", "SOX9", "ACTB"])
    grs.priors.tf_names(["Sox9", "Actb"])
    grs.tl.build_grn(mdata, groupby="cell_type")
    grs.tl.build_grn(rna, prior=rna.uns["truth"], key_added="prior")
    assert {"grn", "prior"} <= set(rna.uns)
    assert "region_gene" in atac.uns
