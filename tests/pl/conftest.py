"""The stored results that are read here."""

from __future__ import annotations

import runpy
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from matplotlib.text import Text

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


@pytest.fixture
def overlaps():
    """Function that gives the pairs of visible texts whose boxes share area."""

    def find(texts, figure):
        renderer = figure.canvas.get_renderer()
        shown = [t for t in texts if t.get_text() and t.get_visible()]
        boxes = [Text.get_window_extent(t, renderer).shrunk(0.9, 0.8) for t in shown]  # without the arrow of a note
        return [
            (shown[i].get_text(), shown[j].get_text())
            for i in range(len(boxes))
            for j in range(i)
            if boxes[i].overlaps(boxes[j])
        ]

    return find
