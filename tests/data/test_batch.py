from __future__ import annotations

import dataclasses
import runpy
from pathlib import Path

import numpy as np
import pytest

from grnformer_sc._core.keys import GrnKeys
from grnformer_sc.data.batch import Collator, TokenSpec, choose_masked, swap_groups
from grnformer_sc.data.fields import read_cells, read_network
from grnformer_sc.data.gates import Reference, StoredGate
from grnformer_sc.data.visible import hide, quantile_edges

toy = runpy.run_path(str(Path(__file__).with_name("toy.py")))
toy_rna, rates_of = toy["toy_rna"], toy["rates_of"]


def collator(adata=None, genes=None, **spec):
    adata = toy_rna() if adata is None else adata
    network = read_network(adata, "grn")
    cells = read_cells(adata, network, layer=None, keys=GrnKeys(), genes=genes)
    rates = rates_of(cells.counts.to_memory())
    gate = StoredGate(cells.region_bits)
    return Collator(cells, gate, network.kept(), rates, 50.0, TokenSpec(**spec), Reference.fit(cells, seed=0))


def test_a_batch_equals_a_loop_over_cells():
    make = collator(mask_ratio=0.3, max_queries=7)
    index = np.array([5, 80, 31, 2])
    batch = make(index, np.random.default_rng(3))
    x = make.cells.counts.to_memory().toarray()[index]
    keys = np.random.default_rng(3).random(x.shape, dtype=np.float32)
    for cell in range(index.size):
        order = np.argsort(keys[cell])
        masked = np.isin(np.arange(60), order[:18])
        shown = np.flatnonzero((x[cell] > 0) & ~masked)
        token = ~batch.padding[cell] & ~batch.masked[cell]
        np.testing.assert_array_equal(batch.genes[cell][token], shown)
        np.testing.assert_array_equal(batch.genes[cell][batch.masked[cell]], np.sort(order[:7]))
        np.testing.assert_array_equal(batch.counts[cell][batch.masked[cell]], x[cell][np.sort(order[:7])])
        assert (batch.counts[cell][~batch.masked[cell]] == 0).all()
        seen = hide(make.cells.counts.take(index[[cell]]), masked[None], make.rates)
        np.testing.assert_array_equal(batch.values[cell][token], x[cell][shown])
        np.testing.assert_array_equal(batch.edges[cell], quantile_edges(seen.counts, 51)[0])
        np.testing.assert_array_equal(batch.shown[cell], ~masked)
        np.testing.assert_allclose(batch.depth[cell], np.log10(seen.size[[0, 0]]), rtol=1e-6)
        assert batch.log_size[cell] == pytest.approx(np.log(seen.size[0] / 50), rel=1e-5)
        np.testing.assert_array_equal(np.flatnonzero(batch.visible[cell]), shown)
        allowed = make.kept[make.cells.codes[index[cell]]]
        np.testing.assert_array_equal(batch.bits[cell], make.cells.region_bits[index[cell]].toarray()[0] & allowed)


def test_a_share_of_the_training_cells_gets_the_network_of_another_type_and_nothing_else_changes():
    index, share = np.arange(120), 0.3
    still, swapped = collator(), collator(swap_types=share)
    other = 0
    for seed in range(20):
        rng, again = np.random.default_rng(seed), np.random.default_rng(seed)
        batch, plain = swapped(index, rng, training=True), still(index, again, training=True)
        moved = (batch.group != plain.group).numpy()
        other += moved.sum()
        rows = swapped.cells.region_bits[index].toarray()
        np.testing.assert_array_equal(batch.bits, rows & swapped.kept[batch.group])
        for name in ("genes", "values", "masked", "counts", "log_size", "visible", "edges"):
            np.testing.assert_array_equal(getattr(batch, name), getattr(plain, name))
    assert other / (20 * index.size) == pytest.approx(share, abs=0.03)


def test_other_types_come_alike_and_all_cells_swap_at_one():
    codes = np.repeat([0, 1, 2, 3], 3000)
    drawn = swap_groups(codes, 1.0, n_groups=4, rng=np.random.default_rng(0))
    table = np.histogram2d(codes, drawn, bins=(np.arange(5), np.arange(5)))[0] / 3000
    np.testing.assert_allclose(table, (1 - np.eye(4)) / 3, atol=0.03)


@pytest.mark.parametrize("way", [{}, {"training": True, "mask": False}])
def test_types_stay_outside_training_and_without_a_seed(way):
    batch = collator(swap_types=1.0)(np.arange(120), None if way else np.random.default_rng(0), **way)
    np.testing.assert_array_equal(batch.group, collator().cells.codes)


def test_swapping_types_needs_two():
    make = collator()
    parts = {f.name: getattr(make, f.name) for f in dataclasses.fields(make)}
    one = parts | {"kept": make.kept[:1], "spec": TokenSpec(swap_types=0.2)}
    with pytest.raises(ValueError, match=r"swap_types needs a network of two types or more\. Found: 1\."):
        Collator(**one)


def test_masked_genes_are_drawn_from_all_measured_genes_alike():
    spec = TokenSpec(mask_ratio=0.25, max_queries=10)
    keys = np.random.default_rng(0).random((4000, 40), dtype=np.float32)
    masked, queries = choose_masked(keys, 40, spec, mask=True)
    assert (masked.sum(axis=1) == 10).all()
    np.testing.assert_allclose(masked.mean(axis=0), 0.25, atol=0.03)
    assert np.take_along_axis(masked, queries, axis=1).all()


def test_without_masking_every_expressed_gene_is_a_token():
    make = collator()
    batch = make(np.arange(20), None, mask=False)
    x = make.cells.counts.take(np.arange(20)).toarray()
    assert not batch.masked.any()
    np.testing.assert_array_equal((~batch.padding).sum(dim=1), (x > 0).sum(axis=1))
    np.testing.assert_allclose(batch.log_size.exp() * 50, x.sum(axis=1), rtol=1e-5)


def test_only_training_cells_are_thinned_and_their_targets_are_not():
    make = collator(mask_ratio=0.3, max_queries=7, thinned=True)
    index = np.arange(60)
    plain, thinned = (make(index, np.random.default_rng(3), training=on) for on in (False, True))
    assert (plain.depth[:, 0] == plain.depth[:, 1]).all()
    less = thinned.depth[:, 1] < thinned.depth[:, 0]
    assert 0.3 < less.float().mean() < 0.7
    for name in ("log_size", "group", "bits", "shown"):
        assert (getattr(plain, name) == getattr(thinned, name)).all(), name
    assert (plain.depth[:, 0] == thinned.depth[:, 0]).all()
    assert (plain.counts[plain.masked] == thinned.counts[thinned.masked]).all()
    assert (thinned.visible <= plain.visible).all()


def test_more_genes_than_tokens_give_a_random_subset():
    make = collator(max_tokens=6)
    first, second = (make(np.arange(30), np.random.default_rng(s), mask=False) for s in (0, 1))
    assert first.genes.shape == (30, 6)
    assert not (first.genes == second.genes).all()
    fixed, alone = make(np.arange(30), None, mask=False), make(np.array([4]), None, mask=False)
    np.testing.assert_array_equal(fixed.genes[4], alone.genes[0])  # the same cell, the same tokens


def test_unmeasured_genes_are_neither_asked_nor_shown():
    adata = toy_rna()
    part = adata[:, np.arange(60) % 4 != 0].copy()
    make = collator(part, genes=adata.var_names, mask_ratio=0.5, max_queries=60)
    batch = make(np.arange(40), np.random.default_rng(0))
    assert (batch.genes[~batch.padding] % 4 != 0).all()
    assert batch.masked.sum() == 40 * round(0.5 * 45)


@pytest.mark.parametrize(
    ("spec", "message"), [({"n_bins": 2}, "n_bins must be at least 3"), ({"mask_ratio": 1}, "mask_ratio must lie")]
)
def test_impossible_tokens_are_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        TokenSpec(**spec)
