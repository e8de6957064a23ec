"""Shared fixtures: small data, quiet settings, and the folders of real and golden files."""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib as mpl
import mudata
import pytest
from threadpoolctl import threadpool_limits

import grnformer_sc as grs

mpl.use("Agg")
mudata.set_options(pull_on_update=False)  # the behaviour of mudata 0.4; without it every copy warns

FOLDERS = {"realdata": "GRS_DATA_DIR", "golden": "GRS_GOLDEN_DIR"}


def _folder(variable: str) -> Path | None:
    value = os.environ.get(variable, "")
    return Path(value) if value and Path(value).is_dir() else None


def pytest_collection_modifyitems(items):
    for marker, variable in FOLDERS.items():
        if _folder(variable) is None:
            skip = pytest.mark.skip(reason=f"{variable} is not set to a folder with the {marker} files")
            for item in items:
                if marker in item.keywords:
                    item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def _quiet():
    """One BLAS/OpenMP thread, two threads of our own, no progress bars."""
    with threadpool_limits(1), grs.settings.override(progress=False, n_jobs=2):
        yield


@pytest.fixture(scope="session")
def toy_mdata():
    """Simulated multiome, shared by the session: never change it (use `toy`)."""
    return grs.datasets.simulate_multiome(240, n_genes=100, n_tfs=10, n_types=3, rng=0)


@pytest.fixture
def toy(toy_mdata):
    """Fresh copy of the simulated multiome."""
    return toy_mdata.copy()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real data."""
    folder = _folder("GRS_DATA_DIR")
    if folder is None:
        pytest.skip("GRS_DATA_DIR is not set to a folder with the realdata files")
    return folder


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """Folder of outputs of the original programs."""
    folder = _folder("GRS_GOLDEN_DIR")
    if folder is None:
        pytest.skip("GRS_GOLDEN_DIR is not set to a folder with the golden files")
    return folder
