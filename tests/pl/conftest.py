"""The stored results that are read here."""

from __future__ import annotations

import runpy
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

stored_rna = runpy.run_path(str(Path(__file__).parents[1] / "_stored.py"))["stored_rna"]


@pytest.fixture
def rna():
    """Fresh cells with a network and a model."""
    return stored_rna()


@pytest.fixture(autouse=True)
def _closed():
    """No figure enters or outlives a test; a plot that changes matplotlib's settings fails."""
    plt.close("all")  # doctests in the same process leave theirs
    before = dict(mpl.rcParams)
    yield
    plt.close("all")
    assert dict(mpl.rcParams) == before
