"""Strength of links equals a plain computation with the target taken out, in any order and any blocks of cells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import grnformer_sc as grs
from grnformer_sc._core.rows import Rows
from grnformer_sc.grn.aucell import aucell
from grnformer_sc.grn.edge_strength import FEWEST_DETECTED, Members, collect_sums, link_strength

N_UNITS = 3


@pytest.fixture
def example():
    """Counts of 120 cells x 80 genes, shallow ones too, four regulons (one of a single gene), and units of the cells."""
    rng = np.random.default_rng(0)
    programme = rng.gamma(2, 0.5, (120, 1)) * (rng.random(80) < 0.3)
    counts = rng.poisson(rng.lognormal(-1.5, 1, 80) * (0.3 + programme) * rng.uniform(0.3, 4, (120, 1)))
    counts[:, 0] += 1  # no empty cell
    x = sp.csr_matrix(counts, dtype=np.float32)
    members = sp.csr_matrix(np.vstack([rng.random((3, 80)) < 0.2, np.arange(80) == 7]))
    return x, members, rng.integers(0, N_UNITS, 120)


def gains(row, cutoff):
    """cutoff - rank of every gene, at least 0; genes of equal value share their mean."""
    order = np.argsort(-row, kind="stable")
    gain = np.empty(row.size)
    gain[order] = np.maximum(cutoff - np.arange(row.size), 0)
    return np.array([gain[row == value].mean() for value in row])


def by_hand(x, members, units):
    counts = x.toarray().astype(float)
    depth = np.log(counts.sum(axis=1))
    values = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))
    gain = np.array([gains(row, int(np.ceil(0.05 * counts.shape[1])) - 1) for row in counts])
    links = [(r, g) for g in range(counts.shape[1]) for r in range(members.shape[0]) if members[r, g]]
    out = np.full((N_UNITS, len(links)), np.nan)
    for unit in range(N_UNITS):
        inside = units == unit
        base = np.column_stack([np.ones(inside.sum()), depth[inside]])
        for e, (r, g) in enumerate(links):
            others = members[r].toarray().ravel().astype(bool)
            others[g] = False
            both = np.column_stack([values[inside, g], gain[inside][:, others].sum(axis=1)])
            left = both - base @ np.linalg.lstsq(base, both, rcond=None)[0]
            if (counts[inside, g] > 0).sum() >= FEWEST_DETECTED and (left.std(axis=0) > 1e-9).all():
                out[unit, e] = np.arctanh(np.clip(np.corrcoef(left.T)[0, 1], -0.9999, 0.9999))
    return out


def strength(x, members, units, rows=None, n_units=N_UNITS):
    rows = np.arange(x.shape[0]) if rows is None else rows
    found = Members.of(members)
    return link_strength(collect_sums(Rows(x), pd.RangeIndex(x.shape[0]), rows, units, n_units, found), found)


def test_equal_to_a_plain_partial_correlation(example):
    expected = by_hand(*example)
    assert 0.2 < np.isnan(expected).mean() < 0.9
    np.testing.assert_allclose(strength(*example), expected, rtol=2e-5, atol=2e-6)


def test_the_gains_are_those_of_aucell(example):
    x, _, _ = example
    areas = aucell(x, sp.identity(80, format="csr"), norm="pyscenic") * 4  # cutoff + 1
    np.testing.assert_allclose(areas, [gains(row, 3) for row in x.toarray()], rtol=1e-5)


def test_cells_come_in_any_order_and_blocks_and_may_be_left_out(example):
    x, members, units = example
    expected = strength(*example)
    order = np.random.default_rng(1).permutation(120)
    np.testing.assert_allclose(strength(x[order], members, units[order]), expected, rtol=1e-7, atol=1e-9)
    with grs.settings.override(chunk_cells=7):
        np.testing.assert_array_equal(strength(*example), expected)
    some = np.flatnonzero(units != 1)
    found = strength(x, members, units[some], rows=some)
    np.testing.assert_array_equal(found[[0, 2]], expected[[0, 2]])
    assert np.isnan(found[1]).all()


def test_counting_cells_twice_changes_nothing(example):
    x, members, units = example
    once = strength(*example)
    known = ~np.isnan(once)
    twice = strength(sp.csr_matrix(sp.vstack([x, x])), members, np.tile(units, 2))
    np.testing.assert_allclose(twice[known], once[known], rtol=1e-6, atol=1e-8)


def test_a_gene_alone_in_its_regulon_has_no_strength(example):
    x, members, units = example
    found = Members.of(members)
    assert np.isnan(strength(x, members, units)[:, found.regulon == 3]).all()


def test_depth_alone_makes_no_link():
    """Genes that share nothing but the depth of their cells are correlated, and not so given the depth."""
    rng = np.random.default_rng(2)
    member = np.arange(600) < 30
    rate = np.where(member, 0.5, rng.lognormal(-1, 1, 600))
    x = sp.csr_matrix(rng.poisson(rate * rng.lognormal(0, 0.7, (1500, 1))), dtype=np.float32)
    members = Members.of(sp.csr_matrix(member[None]))
    sums = collect_sums(Rows(x), pd.RangeIndex(1500), np.arange(1500), np.zeros(1500, int), 1, members)
    blind = replace(
        sums, cells=sums.cells * [1, 0, 0], genes=sums.genes * [1, 1, 1, 0, 1, 0], regulons=sums.regulons * [1, 1, 0]
    )
    assert link_strength(blind, members).mean() < -0.08
    assert abs(link_strength(sums, members).mean()) < 0.01
