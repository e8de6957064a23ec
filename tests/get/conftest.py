"""The stored results that are read here."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

stored_rna = runpy.run_path(str(Path(__file__).parents[1] / "_stored.py"))["stored_rna"]


@pytest.fixture
def rna():
    """Fresh cells with a network and a model."""
    return stored_rna()
