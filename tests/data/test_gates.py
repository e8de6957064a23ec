from __future__ import annotations

import dataclasses
import logging
import runpy
from pathlib import Path

import numpy as np
import pytest

from grnformer_sc._core.keys import GrnKeys
from grnformer_sc.data.fields import read_cells, read_network
from grnformer_sc.data.gates import NeighbourGate, Reference, StoredGate, build_gate, resolve_gate
from grnformer_sc.data.visible import hide

toy = runpy.run_path(str(Path(__file__).with_name("toy.py")))
toy_rna, rates_of = toy["toy_rna"], toy["rates_of"]


@pytest.fixture
def cells():
    adata = toy_rna()
    return read_cells(adata, read_network(adata, "grn"), layer=None, keys=GrnKeys())


def visible_of(cells, index, hidden):
    return hide(cells.counts.take(index), hidden, rates_of(cells.counts.to_memory()))


def test_auto_takes_regions_where_they_exist_and_logs_it(cells, caplog):
    rna_only = toy_rna(region=False)
    rna_only = read_cells(rna_only, read_network(rna_only, "grn"), layer=None, keys=GrnKeys())
    with caplog.at_level(logging.INFO, logger="grnformer_sc"):
        assert resolve_gate("auto", cells) == "region"
        assert resolve_gate("auto", rna_only) == "neighbour"
        assert resolve_gate("gene", cells) == "gene"
    assert ["region bits" in caplog.text, "neighbour bits" in caplog.text, "flattered" in caplog.text] == [True] * 3
    with pytest.raises(KeyError, match="region bits"):
        resolve_gate("region", rna_only)
    with pytest.raises(ValueError, match="gate must be one of"):
        resolve_gate("paper", cells)


def test_neighbours_equal_a_brute_force_search_without_the_cell_itself(cells):
    reference = Reference.fit(cells, seed=0)
    index, hidden = np.array([3, 50, 99]), np.zeros((3, cells.n_genes), dtype=bool)
    gate = NeighbourGate.of(reference, cells.cells)
    found = reference.find(visible_of(cells, index, hidden), gate.self_row[index], k=15)
    for row, cell in enumerate(index):
        distance = ((reference.scores - reference.scores[cell]) ** 2).sum(axis=1)
        distance[cell] = np.inf
        assert set(found[row]) == set(np.argsort(distance)[:15])
        votes = cells.gene_bits.toarray()[found[row]].mean(axis=0)
        np.testing.assert_array_equal(reference.vote(found)[row], votes > 0.5)


def test_a_new_cell_may_be_its_own_twin(cells):
    reference = Reference.fit(cells, seed=0)
    stranger = NeighbourGate.of(reference, cells.cells + "-new")
    assert (stranger.self_row == -1).all()
    seen = visible_of(cells, np.arange(5), np.zeros((5, cells.n_genes), dtype=bool))
    assert (reference.find(seen, stranger.self_row[:5], k=1).ravel() == np.arange(5)).all()


def test_neighbour_bits_recover_the_activity_of_the_cells(cells):
    reference = Reference.fit(cells, seed=0)
    gate = NeighbourGate.of(reference, cells.cells)
    index = np.arange(cells.n_cells)
    rng = np.random.default_rng(0)
    bits = gate.bits(visible_of(cells, index, rng.random((index.size, cells.n_genes)) < 0.3), index)
    assert (bits == cells.gene_bits.toarray()).mean() > 0.75


def test_groups_come_from_the_majority_of_neighbours(cells):
    reference = Reference.fit(cells, seed=0)
    seen = visible_of(cells, np.arange(120), np.zeros((120, cells.n_genes), dtype=bool))
    groups = reference.groups(reference.find(seen, np.arange(120)))
    assert (groups == cells.codes).mean() > 0.8


def test_the_reference_is_capped_and_keeps_its_rows_together(cells, monkeypatch):
    monkeypatch.setattr("grnformer_sc.data.gates.MAX_REFERENCE", 40)
    reference = Reference.fit(cells, seed=1)
    rows = cells.cells.get_indexer(reference.cells)
    assert reference.scores.shape[0] == 40
    np.testing.assert_array_equal(reference.codes, cells.codes[rows])
    np.testing.assert_array_equal(reference.stored.toarray(), cells.gene_bits[rows].toarray())


def test_cells_without_accessibility_get_the_bits_of_their_neighbours(cells, caplog):
    reference = Reference.fit(cells, seed=0)
    bare = dataclasses.replace(cells, region_bits=None, gene_bits=None)
    with caplog.at_level(logging.INFO, logger="grnformer_sc"):
        gate = build_gate("region", bare, reference)
    assert "bits of the nearest training cells" in caplog.text
    seen = visible_of(cells, np.arange(9), np.zeros((9, cells.n_genes), dtype=bool))
    same = build_gate("neighbour", bare, reference).bits(seen, np.arange(9))
    np.testing.assert_array_equal(gate.bits(seen, np.arange(9)), same)
    with pytest.raises(KeyError, match=r"map_reference"):
        build_gate("gene", bare, reference)
    with pytest.raises(KeyError, match="region bits"):  # nor did the training cells have any
        build_gate("region", bare, Reference.fit(bare, seed=0))


def test_stored_bits_are_looked_up(cells):
    gate = build_gate("gene", cells, Reference.fit(cells, seed=0))
    assert isinstance(gate, StoredGate)
    seen = visible_of(cells, np.array([4, 2]), np.zeros((2, cells.n_genes), dtype=bool))
    np.testing.assert_array_equal(gate.bits(seen, np.array([4, 2])), cells.gene_bits[[4, 2]].toarray())
